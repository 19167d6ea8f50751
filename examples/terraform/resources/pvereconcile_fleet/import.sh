terraform import pvereconcile_fleet.homelab fleet.yaml
