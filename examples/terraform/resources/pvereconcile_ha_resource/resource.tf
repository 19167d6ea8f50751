resource "pvereconcile_ha_resource" "dns" {
  vmid        = 201
  state       = "started"
  max_restart = 2
}
