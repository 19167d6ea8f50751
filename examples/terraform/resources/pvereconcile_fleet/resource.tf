resource "pvereconcile_fleet" "homelab" {
  file  = "fleet.yaml"
  allow = ["restart"]
}
