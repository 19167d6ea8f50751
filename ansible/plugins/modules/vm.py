#!/usr/bin/python
# Copyright: the pvereconcile authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

DOCUMENTATION = r"""
module: vm
short_description: One VM on Proxmox VE, by what it is for
version_added: 0.1.0
description:
  - Creates a VM or makes it what is declared. Disk, zvol and machine settings follow from its role, from what lies
    under its disks, and from the rules.
  - Only what is declared is managed; other settings of the VM, and all other VMs, are left alone.
author: The pvereconcile authors (!UNKNOWN)
options:
  name:
    description: Name of the guest.
    type: str
    required: true
  vmid:
    description: Number of the guest in the cluster.
    type: int
    required: true
  role:
    description: What the VM is for, such as V(generalized-linux). C(pvereconcile role list) shows them.
    type: str
  node:
    description: Node the VM belongs to.
    type: str
  state:
    description:
      - What the VM is to do. V(absent) needs O(allow=destroy).
    type: str
    choices: [present, running, stopped, absent]
    default: present
  disks:
    description: Disks by name, as in the fleet language.
    type: dict
    default: {}
  settings:
    description: Everything else the fleet language knows of a VM, such as C(cores), C(memory), C(nets), C(cloud_init).
    type: dict
    default: {}
  fleet:
    description: Fleet file that declares the storages, lanes and roles the VM uses. It must not declare the VM itself.
    type: path
extends_documentation_fragment:
  - pvereconcile.pve.connection
  - pvereconcile.pve.connection.planning
seealso:
  - module: pvereconcile.pve.fleet
"""

EXAMPLES = r"""
- name: A web server
  pvereconcile.pve.vm:
    name: web-01
    vmid: 401
    role: generalized-linux
    node: pve1
    fleet: "{{ playbook_dir }}/base.yaml"
    settings: {cores: 2, memory: 4GiB}
    disks:
      root: {slot: scsi0, size: 16GiB}

- name: It goes
  pvereconcile.pve.vm:
    name: web-01
    vmid: 401
    state: absent
    fleet: "{{ playbook_dir }}/base.yaml"
    allow: [destroy]
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
            "name": {"type": "str", "required": True},
            "vmid": {"type": "int", "required": True},
            "role": {"type": "str"},
            "node": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "running", "stopped", "absent"], "default": "present"},
            "disks": {"type": "dict", "default": {}},
            "settings": {"type": "dict", "default": {}},
            "fleet": {"type": "path"},
            **CONNECTION_SPEC,
            **PLANNING_SPEC,
        },
        supports_check_mode=True,
    )
    params = module.params
    for key in ("vmid", "role", "node", "state", "disks"):
        if key in params["settings"]:
            module.fail_json(msg=f"{key} is an option of its own: state it beside settings, not in it")
    cli = Cli(module)
    vm = dict(params["settings"])
    for key in ("vmid", "role", "node", "disks"):
        if params[key]:
            vm[key] = params[key]
    if params["state"] != "present":
        vm["state"] = params["state"]
    document = {"version": 1, "vms": {params["name"]: vm}}
    reconcile(cli, cli.fleet_file(document, include=params["fleet"]), ["vm/" + params["name"]])


if __name__ == "__main__":
    main()
