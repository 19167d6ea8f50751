#!/usr/bin/python
# Copyright: the pvereconcile authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

DOCUMENTATION = r"""
module: facts
short_description: VMs, disks and storages of a Proxmox VE cluster as facts
version_added: 0.1.0
description:
  - Tells per setting what is declared, what is configured and what is running.
  - Without a fleet everything in the cluster is described as it is, with the role that fits best.
author: The pvereconcile authors (!UNKNOWN)
options:
  fleet:
    description: Fleet file, or a directory of them.
    type: path
extends_documentation_fragment:
  - pvereconcile.pve.connection
attributes:
  check_mode:
    description: Nothing is ever changed.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
"""

EXAMPLES = r"""
- name: What there is
  pvereconcile.pve.facts:

- name: Guests that wait for a restart
  ansible.builtin.debug:
    msg: "{{ item.key }}"
  loop: "{{ pvereconcile.vms | dict2items }}"
  when: item.value.options.values() | selectattr('state', 'eq', 'waits-for-restart') | list
"""

RETURN = r"""
ansible_facts:
  description: The cluster, as the fact C(pvereconcile).
  returned: always
  type: dict
  contains:
    pvereconcile:
      description: >-
        C(vms) by name, each with C(vmid), C(node), C(role), C(lane), C(presence), C(power), C(config) (what PVE has), C(options) and C(disks);
        C(storages) by id; C(findings); C(gaps); C(adopted), the fleet file that describes the cluster, when none was
        given. Every setting has C(declared), C(configured), C(running) and C(state).
      type: dict
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.pvereconcile.pve.plugins.module_utils.cli import CONNECTION_SPEC, DONE, PARTLY, Cli, condensed


def main():
    module = AnsibleModule(argument_spec={"fleet": {"type": "path"}, **CONNECTION_SPEC}, supports_check_mode=True)
    cli = Cli(module)
    fleet = module.params["fleet"]
    adopted = None
    if not fleet:
        fleet = os.path.join(module.tmpdir, "adopted.yaml")
        module.add_cleanup_file(fleet)
        code, adopted, said = cli.run(["adopt", "--quiet"], (DONE, PARTLY))
        with open(fleet, "w", encoding="utf-8") as file:
            file.write(adopted)
    code, status, said = cli.json(["status", fleet, "--all"], (DONE, PARTLY))
    for gap in status["gaps"]:
        module.warn(gap)
    facts = condensed(status)
    facts["adopted"] = adopted
    module.exit_json(changed=False, ansible_facts={"pvereconcile": facts})


if __name__ == "__main__":
    main()
