output "volblocksize" {
  value = provider::pvereconcile::volblocksize_for("specialty-linux", "models")
}
