#!/usr/bin/python
# Copyright: the pvereconcile authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

DOCUMENTATION = r"""
module: audit
short_description: Judge a Proxmox VE cluster by the rules
version_added: 0.1.0
description:
  - Tells what is wrong in a cluster, why, and the command that mends it. Changes nothing.
  - A task that fails because of O(fail_on) sets no facts; its registered result has the findings all the same.
author: The pvereconcile authors (!UNKNOWN)
options:
  fleet:
    description: Fleet that tells what disks are for. Without one everything is inferred.
    type: path
  suppressions:
    description: File with an C(audit) section of accepted findings.
    type: path
  fail_on:
    description: Fail when a finding is at least this severe and nobody has accepted it.
    type: str
    choices: [error, warning, notice]
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
- name: Nothing worse than a warning
  pvereconcile.pve.audit:
    fail_on: error

- name: What is wrong with the disks
  ansible.builtin.debug:
    msg: "{{ pvereconcile_audit.findings | selectattr('subject', 'match', 'vm/') | map(attribute='id') }}"
"""

RETURN = r"""
ansible_facts:
  description: The report, as the fact C(pvereconcile_audit).
  returned: always
  type: dict
  contains:
    pvereconcile_audit:
      description: C(cluster), C(totals), C(findings), C(suppressed), C(remarks), C(not_checked).
      type: dict
cluster:
  description: Name of the cluster.
  returned: always
  type: str
totals:
  description: How much was judged and found.
  returned: always
  type: dict
findings:
  description: What is wrong, worst first, each with its rule, reason, cost and fix.
  returned: always
  type: list
  elements: dict
suppressed:
  description: Findings somebody has accepted.
  returned: always
  type: list
  elements: dict
remarks:
  description: Suppressions that ended or fit nothing.
  returned: always
  type: list
  elements: str
not_checked:
  description: What could not be judged, and why.
  returned: always
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.pvereconcile.pve.plugins.module_utils.cli import CHANGES, CONNECTION_SPEC, DONE, PARTLY, Cli

SEVERITIES = ("notice", "warning", "error")


def main():
    module = AnsibleModule(
        argument_spec={
            "fleet": {"type": "path"},
            "suppressions": {"type": "path"},
            "fail_on": {"type": "str", "choices": ["error", "warning", "notice"]},
            **CONNECTION_SPEC,
        },
        supports_check_mode=True,
    )
    params = module.params
    arguments = ["audit"]
    if params["fleet"]:
        arguments.append(params["fleet"])
    if params["suppressions"]:
        arguments += ["--suppressions", params["suppressions"]]
    if params["fail_on"]:
        arguments += ["--fail-on", params["fail_on"]]
    code, report, said = Cli(module).json(arguments, (DONE, CHANGES, PARTLY))
    facts = {key: report[key] for key in ("cluster", "totals", "findings", "suppressed", "remarks", "not_checked")}
    result = {"changed": False, "ansible_facts": {"pvereconcile_audit": facts}, **facts}
    for remark in report["remarks"]:
        module.warn(remark)
    if code == PARTLY:
        module.warn("A node is offline: its guests were not judged.")
    if params["fail_on"]:
        least = SEVERITIES.index(params["fail_on"])
        bad = [entry for entry in report["findings"] if SEVERITIES.index(entry["severity"]) >= least]
        if bad:
            msg = f"{len(bad)} findings are at least as severe as {params['fail_on']}: "
            module.fail_json(msg=msg + "; ".join(f"{entry['id']}: {entry['what']}" for entry in bad), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
