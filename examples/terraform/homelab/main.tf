# The VMs of examples/homelab/fleet.yaml as resources. They resolve to the same settings.
terraform {
  required_providers {
    pvereconcile = {
      source = "pvereconcile/pvereconcile"
    }
  }
}

provider "pvereconcile" {
  fleet_file = "fleet.yaml"
}

resource "pvereconcile_vm" "app_01" {
  name   = "app-01"
  vmid   = 201
  role   = "generalized-linux"
  cores  = 4
  memory = "8GiB"
  ha     = {}
  disks = {
    root = { slot = "scsi0", size = "64GiB" }
  }
}

resource "pvereconcile_vm" "app_02" {
  name   = "app-02"
  vmid   = 202
  role   = "generalized-linux"
  cores  = 4
  memory = "8GiB"
  ha     = {}
  disks = {
    root = { slot = "scsi0", size = "64GiB" }
  }
}

resource "pvereconcile_vm" "dc_01" {
  name    = "dc-01"
  vmid    = 301
  role    = "generalized-windows"
  cores   = 4
  memory  = "8GiB"
  ha      = {}
  efidisk = {}
  disks = {
    root = { slot = "scsi0", size = "80GiB" }
  }
}

resource "pvereconcile_vm" "pki_01" {
  name    = "pki-01"
  vmid    = 302
  role    = "generalized-windows"
  cores   = 2
  memory  = "4GiB"
  efidisk = {}
  disks = {
    root = { slot = "scsi0", size = "60GiB" }
  }
}

resource "pvereconcile_vm" "ai_01" {
  name    = "ai-01"
  vmid    = 701
  role    = "specialty-linux"
  node    = "pve1"
  cores   = 16
  memory  = "128GiB"
  bios    = "ovmf"
  hostpci = [{ mapping = "gpu-ai", pcie = true }]
  efidisk = {}
  disks = {
    root   = { slot = "scsi0", size = "64GiB" }
    models = { slot = "scsi2", size = "256GiB", purpose = "models" }
  }
}

resource "pvereconcile_vm" "win11_gpu_template" {
  name    = "win11-gpu-template"
  vmid    = 1903
  role    = "specialty-windows"
  node    = "pve2"
  cores   = 8
  memory  = "32GiB"
  hostpci = [{ mapping = "gpu-vdi", pcie = true, x_vga = true }]
  efidisk = {}
  tpm     = {}
  disks = {
    root = { slot = "scsi0", size = "128GiB", storage = "local", disposable = true }
  }
}
