data "pvereconcile_audit" "now" {}

check "no_errors" {
  assert {
    condition     = data.pvereconcile_audit.now.errors == 0
    error_message = join("\n", [for f in data.pvereconcile_audit.now.findings : "${f.subject}: ${f.what}" if f.severity == "error"])
  }
}
