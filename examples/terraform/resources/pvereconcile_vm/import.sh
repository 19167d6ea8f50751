terraform import pvereconcile_vm.ai 701
terraform import pvereconcile_vm.ai pve1/701

# The state then says all that the guest has and the schema can say, in the terms of fleet_file. With an import block, the
# configuration is written from it, and its plan is empty:
#   import {
#     to = pvereconcile_vm.ai
#     id = "pve1/701"
#   }
terraform plan -generate-config-out=ai.tf
