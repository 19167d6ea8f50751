terraform import pvereconcile_ha_resource.dns vm:201
