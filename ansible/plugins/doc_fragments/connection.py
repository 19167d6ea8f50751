# Copyright: the pvereconcile authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  endpoint:
    description:
      - Address of a node, such as V(https://pve1.lan:8006). The next one is tried when one does not answer.
      - Without it the fleet's C(cluster) section counts, then the variables of other tools (E(PROXMOX_VE_ENDPOINT),
        E(PM_API_URL), E(PROXMOX_HOST)).
      - Falls back to the environment variable E(PVERECONCILE_ENDPOINT), where commas separate several.
    type: list
    elements: str
  token:
    description:
      - API token as C(USER@REALM!NAME=SECRET). Never written to a log or a command line.
      - Falls back to the environment variable E(PVERECONCILE_TOKEN).
    type: str
  token_file:
    description:
      - File with the token, readable by its owner only.
      - Falls back to the environment variable E(PVERECONCILE_TOKEN_FILE).
    type: path
  fingerprint:
    description:
      - SHA-256 fingerprint of the nodes' certificate, as PVE shows it.
      - Falls back to the environment variable E(PVERECONCILE_FINGERPRINT).
    type: str
  ca_file:
    description:
      - Certificate authority to trust, PEM.
      - Falls back to the environment variable E(PVERECONCILE_CA_FILE).
    type: path
  binary:
    description:
      - The C(pvereconcile) program; a name is looked for in E(PATH).
      - Falls back to the environment variable E(PVERECONCILE_BINARY).
    type: str
    default: pvereconcile
requirements:
  - the C(pvereconcile) program on the host that runs the task (usually the controller, with C(delegate_to) or
    C(hosts=localhost)); nothing else, no Python library
"""

    PLANNING = r"""
options:
  allow:
    description: What may be done that somebody notices. Without it such work is left out and told in RV(blocked).
    type: list
    elements: str
    choices: [restart, offline-copy, destroy]
    default: []
  copy_rate:
    description: Bandwidth limit of each copy per second, such as V(200MiB).
    type: str
  force_capacity:
    description: Add data to a pool that is 90 % full or more.
    type: bool
    default: false
  parallelism:
    description: Operations at the same time.
    type: int
  expect:
    description:
      - Digest of the plan that was reviewed, RV(digest) of an earlier run in check mode. When the plan has another one,
        nothing is done and the task fails. An empty plan is always accepted.
    type: str
  ignore_blocked:
    description: Do not fail when something wanted cannot be done; what could not is in RV(blocked).
    type: bool
    default: false
  ignore_offline:
    description: Do not fail when a node is offline and its guests could not be read.
    type: bool
    default: false
attributes:
  check_mode:
    description: The plan is made and nothing is done. C(changed) is what a run would report.
    support: full
  diff_mode:
    description: Every setting that changes, as it is and as it will be.
    support: full
"""
