terraform import pvereconcile_vm.ai 701
terraform import pvereconcile_vm.ai pve1/701
