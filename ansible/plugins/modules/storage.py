#!/usr/bin/python
# Copyright: the pvereconcile authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

DOCUMENTATION = r"""
module: storage
short_description: One storage of a Proxmox VE cluster
version_added: 0.1.0
description:
  - Creates the storage when it is missing and keeps its properties. It never removes one.
  - For C(zfspool), O(classes) are storages on child datasets, one per block size.
author: The pvereconcile authors (!UNKNOWN)
options:
  id:
    description: Id of the storage.
    type: str
    required: true
  type:
    description: Type of the storage, such as V(zfspool), V(lvm), V(lvmthin), V(dir), V(nfs), V(rbd).
    type: str
    required: true
  properties:
    description: Its properties under PVE's names, as in the fleet language, such as C(pool), C(nodes), C(content).
    type: dict
    default: {}
  classes:
    description: Block-size classes by name, such as C({models={blocksize=128k}}).
    type: dict
    default: {}
extends_documentation_fragment:
  - pvereconcile.pve.connection
  - pvereconcile.pve.connection.planning
"""

EXAMPLES = r"""
- name: Mirrors of SSDs, with a class for large files
  pvereconcile.pve.storage:
    id: tank
    type: zfspool
    properties: {pool: tank/vms, nodes: [pve1], content: [images, rootdir], blocksize: 16k, media: ssd}
    classes: {models: {blocksize: 128k}}
"""

RETURN = r"""
changed:
  description: Whether the state of PVE moved; in check mode, whether it would.
  returned: always
  type: bool
digest:
  description: What the plan does, as a digest. Equal plans have equal ones.
  returned: always
  type: str
summary:
  description: The plan in one line.
  returned: always
  type: str
  sample: 1 to create, 2 to change, 1 to move
operations:
  description: What is done, in order, with its changes and, after a run, its outcome.
  returned: always
  type: list
  elements: dict
blocked:
  description: What is wanted and cannot be done, why, and the remedy.
  returned: always
  type: list
  elements: dict
waiting:
  description: Settings that are configured and wait for a restart of the guest.
  returned: always
  type: list
  elements: dict
findings:
  description: What the rules say about the cluster as it is.
  returned: always
  type: list
  elements: dict
gaps:
  description: What could not be read.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.pvereconcile.pve.plugins.module_utils.cli import CONNECTION_SPEC, PLANNING_SPEC, Cli, reconcile


def main():
    module = AnsibleModule(
        argument_spec={
            "id": {"type": "str", "required": True},
            "type": {"type": "str", "required": True},
            "properties": {"type": "dict", "default": {}},
            "classes": {"type": "dict", "default": {}},
            **CONNECTION_SPEC,
            **PLANNING_SPEC,
        },
        supports_check_mode=True,
    )
    params = module.params
    for key in ("type", "classes"):
        if key in params["properties"]:
            module.fail_json(msg=f"{key} is an option of its own: state it beside properties, not in it")
    storage = {"type": params["type"], **params["properties"]}
    if params["classes"]:
        storage["classes"] = params["classes"]
    cli = Cli(module)
    # No target: the classes are storages of their own, and there is nothing else in this fleet.
    reconcile(cli, cli.fleet_file({"version": 1, "storages": {params["id"]: storage}}), [])


if __name__ == "__main__":
    main()
