#!/usr/bin/python
# Copyright: the pvereconcile authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

DOCUMENTATION = r"""
module: fleet
short_description: Make a Proxmox VE cluster what a fleet says
version_added: 0.1.0
description:
  - Compares a fleet (a file, a directory, or one written in the playbook) with the live cluster and makes it so.
  - Nothing restarts, stops, is copied offline or destroyed without the matching O(allow).
author: The pvereconcile authors (!UNKNOWN)
options:
  path:
    description: Fleet file, or a directory of them.
    type: path
  definition:
    description:
      - A fleet written in place, in the fleet language. C(version) may be left out.
      - C(include) cannot be used in it, because there is no file it could be relative to.
    type: dict
  target:
    description: Only these VMs or storages, as C(vm/NAME) or C(storage/ID).
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - pvereconcile.pve.connection
  - pvereconcile.pve.connection.planning
seealso:
  - module: pvereconcile.pve.vm
  - module: pvereconcile.pve.audit
"""

EXAMPLES = r"""
- name: The whole fleet
  pvereconcile.pve.fleet:
    path: "{{ playbook_dir }}/fleet.yaml"
    allow: [restart]

- name: Two VMs, written here
  pvereconcile.pve.fleet:
    definition:
      storages:
        tank: {type: zfspool, pool: tank/vms, nodes: [pve1], media: ssd}
      lanes: {pinned: {pve1: tank}}
      vms:
        web-01: {vmid: 401, role: specialty-linux, node: pve1, memory: 4GiB, disks: {root: {slot: scsi0, size: 16GiB}}}
        web-02: {vmid: 402, role: specialty-linux, node: pve1, memory: 4GiB, disks: {root: {slot: scsi0, size: 16GiB}}}
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
            "path": {"type": "path"},
            "definition": {"type": "dict"},
            "target": {"type": "list", "elements": "str", "default": []},
            **CONNECTION_SPEC,
            **PLANNING_SPEC,
        },
        required_one_of=[("path", "definition")],
        mutually_exclusive=[("path", "definition")],
        supports_check_mode=True,
    )
    cli = Cli(module)
    fleet = module.params["path"] or cli.fleet_file({"version": 1, **module.params["definition"]})
    reconcile(cli, fleet, module.params["target"])


if __name__ == "__main__":
    main()
