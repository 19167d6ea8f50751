terraform {
  required_providers {
    pvereconcile = {
      source = "pvereconcile/pvereconcile"
    }
  }
}

# The token comes from the environment: PVERECONCILE_TOKEN_ID and PVERECONCILE_TOKEN_SECRET, or PVERECONCILE_TOKEN="ID=SECRET".
provider "pvereconcile" {
  endpoints   = ["https://pve1.lan:8006", "https://pve2.lan:8006"]
  fingerprint = "0D:1A:2B:3C:4D:5E:6F:70:81:92:A3:B4:C5:D6:E7:F8:09:1A:2B:3C:4D:5E:6F:70:81:92:A3:B4:C5:D6:E7:F8"
  fleet_file  = "fleet.yaml" # storages, lanes and roles
}
