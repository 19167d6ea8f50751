# Copyright: the pvereconcile authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

DOCUMENTATION = r"""
name: pvereconcile
short_description: VMs of a fleet, or of a whole Proxmox VE cluster
version_added: 0.1.0
description:
  - Reads a file whose name ends in C(.pvereconcile.yml) or C(.pvereconcile.yaml).
  - Groups by role, lane, node, tag and state. The host variable C(pve_settings) holds the settings as roles, rules and
    the fleet resolve them, C(pve_disks) those of the disks, C(pve_config) what PVE has. There are also C(pve_vmid), C(pve_node),
    C(pve_role), C(pve_lane), C(pve_power), C(pve_presence) and C(pve_tags).
author: The pvereconcile authors (!UNKNOWN)
options:
  plugin:
    description: Marks the file as one of this plugin.
    required: true
    choices: [pvereconcile.pve.pvereconcile]
  fleet:
    description:
      - Fleet file or directory, relative to the inventory file.
      - Without it every guest of the cluster is a host, and roles are those that fit best.
    type: path
  ansible_host:
    description: Set C(ansible_host) to the static address that cloud-init gives the first net, where there is one.
    type: bool
    default: true
  endpoint:
    description: Addresses of nodes.
    type: list
    elements: str
    env: [{name: PVERECONCILE_ENDPOINT}]
  token:
    description: API token as C(USER@REALM!NAME=SECRET). Better in the environment or in O(token_file).
    type: str
    env: [{name: PVERECONCILE_TOKEN}]
  token_file:
    description: File with the token, readable by its owner only.
    type: path
    env: [{name: PVERECONCILE_TOKEN_FILE}]
  fingerprint:
    description: SHA-256 fingerprint of the nodes' certificate.
    type: str
    env: [{name: PVERECONCILE_FINGERPRINT}]
  ca_file:
    description: Certificate authority to trust, PEM.
    type: path
    env: [{name: PVERECONCILE_CA_FILE}]
  binary:
    description: The C(pvereconcile) program.
    type: str
    default: pvereconcile
    env: [{name: PVERECONCILE_BINARY}]
extends_documentation_fragment:
  - constructed
  - inventory_cache
"""

EXAMPLES = r"""
# cluster.pvereconcile.yml: groups role_generalized_linux, lane_shared, node_pve1, tag_web, state_running
plugin: pvereconcile.pve.pvereconcile
fleet: fleet.yaml

# Every guest of the cluster; own groups and variables
# plugin: pvereconcile.pve.pvereconcile
# keyed_groups:
#   - {prefix: bios, key: pve_settings.bios}
# groups:
#   big: pve_settings.memory | int > 65536
# compose:
#   ansible_user: "'root' if pve_role is match('.*-linux') else 'Administrator'"
"""

import json
import os
import subprocess
import tempfile

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable

from ansible_collections.pvereconcile.pve.plugins.module_utils.cli import DONE, PARTLY, condensed, environment_of


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    NAME = "pvereconcile.pve.pvereconcile"

    def verify_file(self, path):
        return super().verify_file(path) and path.endswith((".pvereconcile.yml", ".pvereconcile.yaml"))

    def parse(self, inventory, loader, path, cache=True):
        super().parse(inventory, loader, path)
        self._read_config_data(path)
        self.load_cache_plugin()
        key = self.get_cache_key(path)
        use_cache = self.get_option("cache")
        cluster = None
        if use_cache and cache:
            try:
                cluster = self._cache[key]
            except KeyError:
                pass
        if cluster is None:
            cluster = self._read(path)
            if use_cache:
                self._cache[key] = cluster
        self._fill(cluster)

    def _run(self, arguments):
        options = {name: self.get_option(name) for name in ("endpoint", "token", "token_file", "fingerprint", "ca_file")}
        try:
            done = subprocess.run(
                [self.get_option("binary")] + arguments,
                env={**os.environ, **environment_of(options)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                check=False,
            )
        except OSError as error:
            raise AnsibleParserError(f"pvereconcile cannot be run: {error}") from error
        if done.returncode not in (DONE, PARTLY):
            raise AnsibleParserError(
                f"pvereconcile {arguments[0]} ended with exit code {done.returncode}: {done.stderr.strip()}"
            )
        return done.stdout

    def _read(self, path):
        fleet = self.get_option("fleet")
        if fleet:
            return self._status(os.path.join(os.path.dirname(os.path.abspath(path)), fleet))
        with tempfile.TemporaryDirectory() as directory:
            adopted = os.path.join(directory, "fleet.yaml")
            with open(adopted, "w", encoding="utf-8") as file:
                file.write(self._run(["adopt", "--quiet"]))
            return self._status(adopted)

    def _status(self, fleet):
        status = json.loads(self._run(["status", fleet, "--all", "-o", "json", "--quiet"]))
        for gap in status["gaps"]:
            self.display.warning(gap)
        return condensed(status)

    def _fill(self, cluster):
        strict = self.get_option("strict")
        for name, vm in sorted(cluster["vms"].items()):
            settings = {key: _resolved(entry) for key, entry in vm["options"].items()}
            config = {**vm["config"], **settings}  # a guest that does not exist yet has only the latter
            tags = [tag for tag in (config.get("tags") or "").replace(",", ";").split(";") if tag]
            variables = {
                "pve_vmid": vm["vmid"],
                "pve_node": vm["node"],
                "pve_role": vm["role"],
                "pve_lane": vm["lane"],
                "pve_power": vm["power"],
                "pve_presence": vm["presence"],
                "pve_tags": tags,
                "pve_config": vm["config"],
                "pve_settings": settings,
                "pve_disks": {
                    disk: {
                        "slot": entry["slot"],
                        "volume": entry["volume"],
                        "settings": {key: _resolved(value) for key, value in entry["settings"].items()},
                    }
                    for disk, entry in vm["disks"].items()
                },
            }
            if self.get_option("ansible_host"):
                address = _static_address(config.get("ipconfig0") or "")
                if address:
                    variables["ansible_host"] = address
            self.inventory.add_host(name)
            for key, value in variables.items():
                self.inventory.set_variable(name, key, value)
            words = [("role", vm["role"]), ("lane", vm["lane"]), ("node", vm["node"]), ("state", vm["power"])]
            for kind, word in words + [("tag", tag) for tag in tags]:
                if word:
                    group = self._sanitize_group_name(f"{kind}_{word}")
                    self.inventory.add_group(group)
                    self.inventory.add_host(name, group=group)
            self._set_composite_vars(self.get_option("compose"), variables, name, strict=strict)
            self._add_host_to_composed_groups(self.get_option("groups"), variables, name, strict=strict)
            self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, name, strict=strict)


def _resolved(entry):
    """The value of a setting: as the fleet resolves it, else as it is configured, else as it runs."""
    for truth in ("declared", "configured", "running"):
        if entry[truth] is not None:
            return entry[truth]
    return None


def _static_address(text):
    for part in text.split(","):
        key, mark, value = part.partition("=")
        if key in ("ip", "ip6") and value not in ("", "dhcp", "auto", "manual"):
            return value.split("/")[0]
    return None
