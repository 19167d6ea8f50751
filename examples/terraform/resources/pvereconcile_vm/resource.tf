resource "pvereconcile_vm" "ai" {
  name   = "ai-01"
  vmid   = 701
  role   = "specialty-linux"
  node   = "pve1"
  cores  = 16
  memory = "128GiB"

  hostpci = [{ mapping = "gpu-ai", pcie = true }]

  # By name: their order means nothing.
  disks = {
    root   = { slot = "scsi0", size = "64GiB" }
    models = { slot = "scsi2", size = "256GiB", purpose = "models" }
  }

  # What may be done to the guest without asking again.
  allow = ["restart"]

  timeouts = { create = "30m" }
}

output "cache_of_models" {
  value = pvereconcile_vm.ai.resolved["models/cache"]
}
