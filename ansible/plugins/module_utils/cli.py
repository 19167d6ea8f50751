# Copyright: the pvereconcile authors
# SPDX-License-Identifier: Apache-2.0
"""Runs the pvereconcile program with argument vectors and reads its JSON. Shared by all modules."""
from __future__ import annotations

import json
import os
import tempfile

from ansible.module_utils.basic import env_fallback

# What the program answers with; docs/exit-codes.md.
DONE, ERROR, CHANGES, PARTLY, BLOCKED = 0, 1, 2, 3, 4

CONNECTION_SPEC = {
    "endpoint": {"type": "list", "elements": "str", "fallback": (env_fallback, ["PVERECONCILE_ENDPOINT"])},
    "token": {"type": "str", "no_log": True, "fallback": (env_fallback, ["PVERECONCILE_TOKEN"])},
    "token_file": {"type": "path", "no_log": False, "fallback": (env_fallback, ["PVERECONCILE_TOKEN_FILE"])},
    "fingerprint": {"type": "str", "fallback": (env_fallback, ["PVERECONCILE_FINGERPRINT"])},
    "ca_file": {"type": "path", "fallback": (env_fallback, ["PVERECONCILE_CA_FILE"])},
    "binary": {"type": "str", "default": "pvereconcile", "fallback": (env_fallback, ["PVERECONCILE_BINARY"])},
}

PLANNING_SPEC = {
    "allow": {
        "type": "list",
        "elements": "str",
        "choices": ["restart", "offline-copy", "destroy"],
        "default": [],
    },
    "copy_rate": {"type": "str"},
    "force_capacity": {"type": "bool", "default": False},
    "parallelism": {"type": "int"},
    "expect": {"type": "str"},
    "ignore_blocked": {"type": "bool", "default": False},
    "ignore_offline": {"type": "bool", "default": False},
}


def environment_of(options):
    """The variables that carry the connection. Secrets go this way only, never through an argument vector."""
    variables = {"NO_COLOR": "1"}
    if options.get("endpoint"):
        variables["PVERECONCILE_ENDPOINT"] = ",".join(options["endpoint"])
    for option in ("token", "token_file", "fingerprint", "ca_file"):
        if options.get(option):
            variables["PVERECONCILE_" + option.upper()] = options[option]
    return variables


class Cli:
    """The program, for one module run."""

    def __init__(self, module):
        self.module = module
        name = module.params["binary"]
        self.binary = name if os.sep in name else module.get_bin_path(name, required=True)
        self.environment = environment_of(module.params)
        self.temporary = []

    def run(self, arguments, accepted, **result):
        """Exit code and standard output; any other code fails the task with what the program said."""
        code, out, err = self.module.run_command([self.binary] + arguments, environ_update=self.environment)
        if code not in accepted:
            said = err.strip() or out.strip()
            self.module.fail_json(
                msg=f"pvereconcile {arguments[0]} ended with exit code {code}: {said}", rc=code, stderr=err, **result
            )
        return code, out, err

    def json(self, arguments, accepted, **result):
        """Exit code and the record the program printed."""
        code, out, err = self.run(arguments + ["-o", "json", "--quiet"], accepted, **result)
        try:
            return code, json.loads(out), err
        except ValueError as error:
            self.module.fail_json(
                msg=f"pvereconcile {arguments[0]} answered with something that is no JSON ({error})", stdout=out, stderr=err
            )

    def fleet_file(self, document, include=None):
        """`document` as a fleet file that is gone after the run; `include` is the path of a fleet it builds on."""
        handle, path = tempfile.mkstemp(suffix=".yaml", prefix="fleet-", dir=self.module.tmpdir)
        if include:
            # A fleet names others relative to itself.
            here = os.path.realpath(self.module.tmpdir)
            document = {**document, "include": [os.path.relpath(os.path.realpath(include), here)]}
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)  # JSON is YAML; a line each, so that errors point at one key
        self.module.add_cleanup_file(path)
        self.temporary.append(path)
        return path

    def place_of(self, place):
        """A place in a file, unless the file is one of ours that nobody else ever sees."""
        return None if place and any(place.startswith(path) for path in self.temporary) else place


def planning_arguments(params, targets):
    arguments = []
    for target in targets:
        arguments += ["--target", target]
    if params["allow"]:
        arguments += ["--allow", ",".join(params["allow"])]
    if params["copy_rate"]:
        arguments += ["--copy-rate", params["copy_rate"]]
    if params["force_capacity"]:
        arguments += ["--force-capacity"]
    return arguments


def diff_of(plan):
    """Every change of the plan, as --diff shows it."""
    before, after = [], []
    for operation in plan["operations"]:
        if not operation["changes"]:
            after.append(f"{operation['address']}: {operation['summary']}")
        for change in operation["changes"]:
            where = f"{operation['address']} {change['key']}"
            before.append(f"{where}: {change['from'] or 'unset'}")
            after.append(f"{where}: {change['to'] or 'unset'}")

    def text(lines):
        return "".join(line + "\n" for line in lines)

    return {
        "before_header": "cluster",
        "after_header": "fleet",
        "before": text(before),
        "after": text(after),
    }


def reconcile(cli, fleet, targets):
    """Plans, applies unless in check mode, and ends the module."""
    module, params = cli.module, cli.module.params
    how = planning_arguments(params, targets)
    code, plan, said = cli.json(["plan", fleet] + how, (DONE, PARTLY, BLOCKED))
    offline = code == PARTLY
    for operation in plan["operations"]:
        for change in operation["changes"]:
            change["place"] = cli.place_of(change["place"])
    result = {
        "changed": not plan["empty"],
        "digest": plan["digest"],
        "summary": plan["summary"],
        "operations": plan["operations"],
        "blocked": plan["blocked"],
        "waiting": plan["waiting"],
        "findings": plan["findings"],
        "gaps": plan["gaps"],
    }
    if module._diff:
        result["diff"] = diff_of(plan)
    for line in said.splitlines():
        if ": warning: " in line:
            module.warn(line)
    if params["expect"] and not plan["empty"] and params["expect"] != plan["digest"]:
        result["changed"] = False
        module.fail_json(
            msg=f"This is not the plan that was reviewed: its digest is {plan['digest']}, expected was {params['expect']}.",
            **result,
        )

    if not plan["empty"] and not module.check_mode:
        more = ["--auto-approve", "--expect", plan["digest"]]
        if params["parallelism"]:
            more += ["--parallelism", str(params["parallelism"])]
        result["changed"] = False  # until the report says what was done
        code, out, err = cli.run(
            ["apply", fleet, "-o", "json", "--quiet"] + how + more, (DONE, ERROR, PARTLY, BLOCKED), **result
        )
        try:
            report = json.loads(out)
        except ValueError:  # refused before anything was done
            module.fail_json(msg=f"pvereconcile apply: {err.strip() or out.strip()}", rc=code, **result)
        outcomes = {entry["id"]: entry for entry in report["operations"]}
        for operation in result["operations"]:
            entry = outcomes.get(operation["id"], {})
            operation["outcome"] = entry.get("outcome")
            operation["detail"] = entry.get("detail")
            for warning in entry.get("warnings", []):
                module.warn(f"{operation['address']}: {warning}")
        # An operation that failed half-way has moved the cluster, too: better one "changed" too many than one too few.
        result["changed"] = any(
            entry["outcome"] in ("done", "failed", "interrupted") for entry in report["operations"]
        )
        if not report["all_done"] or report["stopped_by"]:
            left = [
                f"{entry['address']}: {entry['summary']}: {entry['outcome']}"
                + (f" ({entry['detail']})" if entry["detail"] else "")
                for entry in report["operations"]
                if entry["outcome"] not in ("done", "already so")
            ]
            module.fail_json(msg="Not everything was done. " + " ".join([report["stopped_by"] or ""] + left), rc=code, **result)

    held = [item for item in plan["blocked"] if item["by_policy"]]
    if held and not params["ignore_blocked"]:
        what = "; ".join(
            f"{item['address']}: {item['what']}: {item['why']}" + (f" (remedy: {item['remedy']})" if item["remedy"] else "")
            for item in held
        )
        module.fail_json(msg="Blocked: " + what, **result)
    if offline and not params["ignore_offline"]:
        module.fail_json(msg="A node is offline, its guests were not read: " + "; ".join(plan["gaps"]), **result)
    module.exit_json(**result)


def condensed(status):
    """What `status -o json` tells, by name instead of in lists."""

    def settings(entries):
        return {
            entry["key"]: {key: entry[key] for key in ("declared", "configured", "running", "state")} for entry in entries
        }

    return {
        "vms": {
            vm["name"]: {
                **{key: vm[key] for key in ("vmid", "node", "role", "lane", "presence", "power", "blocked")},
                "config": vm["live"] or {},
                "options": settings(vm["options"]),
                "disks": {
                    disk["name"]: {
                        "slot": disk["slot"],
                        "volume": disk["volume"],
                        "move_to": disk["move_to"],
                        "settings": settings(disk["settings"]),
                    }
                    for disk in vm["disks"]
                },
            }
            for vm in status["vms"]
        },
        "storages": {
            storage["address"].split("/", 1)[1]: {
                "missing": storage["missing"],
                "settings": settings(storage["settings"]),
            }
            for storage in status["storages"]
        },
        "findings": status["findings"],
        "gaps": status["gaps"],
    }
