output "disk" {
  value = provider::pvereconcile::resolve_disk("specialty-linux", { storage_type = "lvm", media = "ssd", shared = "true" })
}
