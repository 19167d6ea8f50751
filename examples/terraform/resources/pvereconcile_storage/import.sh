terraform import pvereconcile_storage.models tank-models
