data "pvereconcile_plan" "fleet" {
  file = "fleet.yaml"
}

output "pending" {
  value = data.pvereconcile_plan.fleet.changes
}
