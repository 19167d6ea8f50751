resource "pvereconcile_storage" "models" {
  id      = "tank-models"
  type    = "zfspool"
  pool    = "tank/models"
  content = ["images"]
  sparse  = true
  media   = "ssd"
}
