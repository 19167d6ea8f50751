data "pvereconcile_role" "db" {
  role  = "specialty-linux"
  node  = "pve1"
  disks = { data = { slot = "scsi1", size = "100GiB", purpose = "database" } }
}

output "why_this_volblocksize" {
  value = data.pvereconcile_role.db.reasons["data/volblocksize"]
}
