"""Playbooks, inventories and documentation of the collection, run by a real ansible-core against simulated clusters.

collection_test.py PROGRAM VENV [--make-environment | unittest arguments]; VENV is made, with ansible-core in it, when it is not there.
Exit code 77: it could not be made (no network, no venv module).
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/support/python"))
from simulated import SimulatedCluster, clean_environment  # noqa: E402  (the path comes first)

ANSIBLE_CORE = "ansible-core>=2.15,<2.20"
PROGRAM = VENV = None

CLUSTER = """
cluster: {name: small, seed: 3}
nodes:
  pve1: {version: 9.2.4, pools: {tank: {size: 1TiB, media: ssd}}, disks: []}
  pve2: {version: 9.2.4, pools: {tank: {size: 1TiB, media: ssd}}}
storages:
  tank: {type: zfspool, pool: tank, content: "images,rootdir", sparse: 1}
vms:
  100:
    node: pve1
    status: running
    config: {name: one, cores: 2, memory: 2048, scsihw: virtio-scsi-single, tags: "blue;web", ipconfig0: "ip=192.0.2.10/24,gw=192.0.2.1",
             net0: "virtio,bridge=vmbr0", scsi0: "tank:vm-100-disk-0,size=8G"}
"""

FLEET = """version: 1
storages:
  tank: {type: zfspool, pool: tank, content: [images, rootdir], media: ssd}
lanes: {pinned: tank}
vms:
  one: {vmid: 100, role: specialty-linux, node: pve1, cores: 4, memory: 2GiB, disks: {root: {slot: scsi0, size: 8GiB}}}
"""

BASE = FLEET.split("vms:", maxsplit=1)[0]


def make_venv(venv):
    """Makes the environment, or says why not."""
    if (venv / "bin/ansible-playbook").exists():
        return None
    shutil.rmtree(venv, ignore_errors=True)
    for command in (
        [sys.executable, "-m", "venv", str(venv)],
        [str(venv / "bin/pip"), "install", "--quiet", "--disable-pip-version-check", ANSIBLE_CORE],
    ):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            shutil.rmtree(venv, ignore_errors=True)
            return str(error)
        if done.returncode != 0:
            shutil.rmtree(venv, ignore_errors=True)
            return (done.stderr or done.stdout).strip()
    return None


def unmarked(value):
    if isinstance(value, dict):
        return value.get("__ansible_unsafe") or {key: unmarked(entry) for key, entry in value.items()}
    return [unmarked(entry) for entry in value] if isinstance(value, list) else value


class WithCluster(unittest.TestCase):
    """One directory with the collection, and a cluster that lives as long as the test."""

    maxDiff = None

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        place = self.directory / "ansible_collections/pvereconcile/pve"
        shutil.copytree(ROOT / "ansible", place, ignore=shutil.ignore_patterns("output", "__pycache__"))
        self.write("cluster.yaml", CLUSTER)
        self.write("fleet.yaml", FLEET)
        self.write("base.yaml", BASE)
        self.cluster = SimulatedCluster(PROGRAM, str(self.directory / "cluster.yaml"), 120)
        self.addCleanup(self.cluster.close)
        self.environment = clean_environment(
            PATH=f"{VENV / 'bin'}:{pathlib.Path(PROGRAM).parent}:{os.environ['PATH']}",
            HOME=str(self.directory),
            ANSIBLE_HOME=str(self.directory / "home"),
            ANSIBLE_COLLECTIONS_PATH=str(self.directory),
            ANSIBLE_PYTHON_INTERPRETER=str(VENV / "bin/python"),
            ANSIBLE_STDOUT_CALLBACK="ansible.builtin.default",
            ANSIBLE_LOCALHOST_WARNING="0",
            ANSIBLE_INVENTORY_UNPARSED_FAILED="1",
            **self.cluster.environment,
        )

    def write(self, name, text):
        (self.directory / name).write_text(text, encoding="utf-8")

    def run_tool(self, *arguments, code=0, **more):
        done = subprocess.run(
            arguments, cwd=self.directory, env={**self.environment, **more}, capture_output=True, text=True, check=False
        )
        self.assertEqual(done.returncode, code, f"{arguments}\n{done.stdout}\n{done.stderr}")
        return done.stdout + done.stderr

    def tasks(self, *tasks, flags=(), **environment):
        """Runs tasks (module, arguments, whether in check mode) in one playbook and answers their results."""
        out = self.directory / "results.json"
        if out.exists():
            out.unlink()
        steps = [
            {f"pvereconcile.pve.{module}": arguments, "register": f"result{number}", "ignore_errors": True, **({"check_mode": True} if check else {})}
            for number, (module, arguments, check) in enumerate(tasks)
        ]
        every = ", ".join(f"result{number}" for number in range(len(steps)))
        steps.append(
            {
                "ansible.builtin.copy": {"dest": str(out), "content": "{{ [" + every + "] | to_json }}"},
                "check_mode": False,
                "diff": False,
            }
        )
        self.write("play.json", json.dumps([{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": steps}]))
        self.said = self.run_tool("ansible-playbook", "-i", "localhost,", "--diff", *flags, "play.json", **environment)
        return json.loads(out.read_text())

    def task(self, module, arguments, check=False, fails=False, **environment):
        result = self.tasks((module, arguments, check), **environment)[0]
        self.assertEqual(result.get("failed", False), fails, result)
        return result

    def state(self):
        """What PVE says about its guests and storages."""
        guests = {
            entry["name"]: (entry["status"], self.cluster.get(f"/nodes/{entry['node']}/qemu/{entry['vmid']}/config"))
            for entry in self.cluster.get("/cluster/resources?type=vm")
        }
        # PVE lists the words of "content" in the order of a hash, another one each time.
        storages = {
            entry["storage"]: {**entry, "content": sorted(entry["content"].split(","))} for entry in self.cluster.get("/storage")
        }
        return guests, storages

    def predicted_and_done(self, module, arguments):
        """Check mode, the run, and the run once more: the first tells exactly what the second does, the third does nothing."""
        predicted, done, again = self.tasks((module, arguments, True), (module, arguments, False), (module, arguments, False))
        for result in (predicted, done, again):
            self.assertFalse(result.get("failed", False), result)
        self.assertEqual(predicted["changed"], done["changed"])
        self.assertEqual(predicted["digest"], done["digest"])
        self.assertEqual(predicted.get("diff"), done.get("diff"))
        outcomes = [operation.pop("outcome") for operation in done["operations"]]
        for operation in done["operations"]:
            operation.pop("detail")
        self.assertEqual(predicted["operations"], done["operations"])
        self.assertTrue(all(outcome == "done" for outcome in outcomes), outcomes)
        self.assertFalse(again["changed"], again)
        self.assertEqual(again["operations"], [])
        return done


class Collection(WithCluster):
    def test_check_mode_changes_nothing(self):
        before = self.state()
        fleet = {"path": str(self.directory / "fleet.yaml"), "allow": ["restart", "destroy"]}
        self.assertTrue(self.tasks(("fleet", fleet, False), flags=["--check"])[0]["changed"])
        self.assertEqual(self.state(), before)
        self.assertRegex(self.said, r"changed=2 .*failed=0")

    def test_a_fleet_is_applied_once_and_predicted_exactly(self):
        done = self.predicted_and_done("fleet", {"path": str(self.directory / "fleet.yaml")})
        self.assertTrue(done["changed"])
        power, live = self.state()[0]["one"]
        self.assertEqual(live["cores"], 4)
        self.assertIn("discard=on", live["scsi0"])
        self.assertEqual(power, "running", "nothing restarts without allow")
        self.assertIn("vm/one cores: 4\n", done["diff"]["after"])
        self.assertIn("vm/one cores: 2\n", done["diff"]["before"])

    def test_what_waits_for_a_restart_is_not_changed_again(self):
        fleet = {"path": str(self.directory / "fleet.yaml")}
        again = self.tasks(("fleet", fleet, False), ("fleet", fleet, False))[1]
        self.assertFalse(again["changed"])
        self.assertIn("cores", [item["key"] for item in again["waiting"]])
        self.predicted_and_done("fleet", {**fleet, "allow": ["restart"]})
        self.assertEqual(self.task("fleet", fleet)["waiting"], [])

    def test_a_fleet_written_in_the_playbook(self):
        definition = {
            "storages": {"tank": {"type": "zfspool", "pool": "tank", "content": ["images", "rootdir"], "media": "ssd"}},
            "lanes": {"pinned": "tank"},
            "vms": {
                "two": {"vmid": 102, "role": "specialty-linux", "node": "pve2", "memory": "1GiB",
                        "disks": {"root": {"slot": "scsi0", "size": "4GiB"}}}
            },
        }  # fmt: skip
        done = self.predicted_and_done("fleet", {"definition": definition, "target": ["vm/two"]})
        self.assertTrue(done["changed"])
        self.assertIn("two", self.state()[0])

    def test_a_vm_comes_runs_and_goes(self):
        vm = {"name": "web", "vmid": 201, "fleet": str(self.directory / "base.yaml")}
        present = {
            **vm, "role": "specialty-linux", "node": "pve1", "state": "running", "settings": {"memory": "1GiB"},
            "disks": {"root": {"slot": "scsi0", "size": "4GiB"}},
        }  # fmt: skip
        self.assertTrue(self.predicted_and_done("vm", present)["changed"])
        self.assertEqual(self.state()[0]["web"][0], "running")
        refused = self.task("vm", {**vm, "state": "absent"}, fails=True)
        self.assertIn("--allow destroy", refused["msg"])
        self.assertFalse(refused["changed"])
        self.assertIn("web", self.state()[0])
        gone = self.predicted_and_done(
            "vm", {**vm, "state": "absent", "allow": ["destroy", "restart"]}
        )
        self.assertTrue(gone["changed"])
        self.assertNotIn("web", self.state()[0])
        self.assertIn("one", self.state()[0], "the neighbour is still there")

    def test_a_storage_with_a_class(self):
        storage = {
            "id": "extra",
            "type": "dir",
            "properties": {"path": "/srv/extra", "content": ["iso"], "nodes": ["pve1"]},
        }
        self.assertTrue(self.predicted_and_done("storage", storage)["changed"])
        self.assertIn("extra", self.state()[1])

    def test_a_fleet_with_an_error_names_file_and_line(self):
        self.write("bad.yaml", FLEET.replace("role:", "rolle:"))
        failed = self.task("fleet", {"path": str(self.directory / "bad.yaml")}, fails=True)
        self.assertIn("bad.yaml:6:", failed["msg"])
        self.assertIn('Did you mean "role"?', failed["msg"])

    def test_only_the_reviewed_plan_is_carried_out(self):
        fleet = {"path": str(self.directory / "fleet.yaml")}
        before = self.state()
        digest = self.task("fleet", fleet, check=True)["digest"]
        failed = self.task("fleet", {**fleet, "expect": "0" * 64}, fails=True)
        self.assertIn("not the plan that was reviewed", failed["msg"])
        self.assertEqual(self.state(), before)
        self.assertTrue(self.task("fleet", {**fleet, "expect": digest})["changed"])

    def test_a_token_is_in_no_output(self):
        variables = self.cluster.environment
        token = variables["PVERECONCILE_TOKEN"]
        without = {key: "" for key in variables}
        result = self.task(
            "facts",
            {"endpoint": [variables["PVERECONCILE_ENDPOINT"]], "fingerprint": variables["PVERECONCILE_FINGERPRINT"], "token": token},
            flags=["-vvvv"],
            **without,
        )
        self.assertIn("one", result["ansible_facts"]["pvereconcile"]["vms"])
        self.assertNotIn(token.split("=")[1], self.said)
        self.assertNotIn(token.split("=")[1], json.dumps(result))

    def test_facts_and_audit(self):
        fleet = {"fleet": str(self.directory / "fleet.yaml")}
        facts, audit, failed = self.tasks(("facts", fleet, False), ("audit", {}, False), ("audit", {"fail_on": "notice"}, False))
        facts = facts["ansible_facts"]["pvereconcile"]
        cores = facts["vms"]["one"]["options"]["cores"]
        self.assertEqual((cores["declared"], cores["configured"], cores["state"]), ("4", "2", "differs"))
        self.assertEqual(facts["vms"]["one"]["config"]["tags"], "blue;web")
        self.assertFalse(audit["changed"])
        ids = [finding["id"] for finding in audit["findings"]]
        self.assertIn("D1@vm/100/scsi0", ids)
        self.assertEqual(audit["ansible_facts"]["pvereconcile_audit"]["findings"], audit["findings"])
        self.assertTrue(failed["failed"])
        self.assertIn("D1@vm/100/scsi0", failed["msg"])

    def test_the_inventory_groups_and_tells_settings(self):
        # A role is what the fleet says, or without one what fits best.
        for text, role, settings in (
            ("plugin: pvereconcile.pve.pvereconcile\nfleet: fleet.yaml\n", "role_specialty_linux", {"cores": "4"}),
            (
                "plugin: pvereconcile.pve.pvereconcile\nkeyed_groups: [{prefix: host, key: pve_node}]\n",
                "role_generalized_linux",
                {"cores": "2"},
            ),
        ):
            self.write("cluster.pvereconcile.yml", text)
            listed = json.loads(self.run_tool("ansible-inventory", "-i", "cluster.pvereconcile.yml", "--list"))
            for group in (role, "lane_pinned", "node_pve1", "tag_blue", "tag_web", "state_running"):
                self.assertEqual(listed[group]["hosts"], ["one"], group)
            # ansible-core 2.19 marks texts from outside in its lists.
            host = unmarked(listed["_meta"]["hostvars"]["one"])
            self.assertEqual(host["pve_vmid"], 100)
            self.assertEqual(host["ansible_host"], "192.0.2.10")
            self.assertEqual(host["pve_config"]["cores"], "2")
            for key, value in settings.items():
                self.assertEqual(host["pve_settings"][key], value)
        self.assertEqual(listed["host_pve1"]["hosts"], ["one"])

    def test_every_plugin_is_documented(self):
        for kind, names in (("module", ("fleet", "vm", "storage", "audit", "facts")), ("inventory", ("pvereconcile",))):
            names = [f"pvereconcile.pve.{name}" for name in names]
            doc = json.loads(self.run_tool("ansible-doc", "-t", kind, "--json", *names))
            for name in names:
                self.assertTrue(doc[name]["examples"], name)
                self.assertIn("token", doc[name]["doc"]["options"], name)

    def test_it_builds_and_installs_as_a_collection(self):
        self.run_tool("ansible-galaxy", "collection", "build", str(ROOT / "ansible"), "--output-path", str(self.directory))
        archive = self.directory / "pvereconcile-pve-0.1.0.tar.gz"
        self.run_tool("ansible-galaxy", "collection", "install", str(archive), "-p", str(self.directory / "installed"))
        self.run_tool("ansible-doc", "pvereconcile.pve.vm", ANSIBLE_COLLECTIONS_PATH=str(self.directory / "installed"))


class Guide(WithCluster):
    def test_guide(self):
        """What docs/getting-started-ansible-gitops.md promises of its playbook and its inventory."""
        guide = (ROOT / "docs/getting-started-ansible-gitops.md").read_text(encoding="utf-8")
        play = re.search(r"<!-- file: site.yaml -->\n```yaml\n(.*?)```", guide, re.DOTALL).group(1)
        inventory = re.search(r"```yaml\n(# cluster.pvereconcile.yml\n.*?)```", guide, re.DOTALL).group(1)
        self.write("site.yaml", play)
        self.write("cluster.pvereconcile.yml", inventory)
        (self.directory / "examples").symlink_to(ROOT / "examples")
        with SimulatedCluster(PROGRAM, str(ROOT / "examples/homelab/cluster.yaml"), 120) as homelab:
            self.environment.update(homelab.environment)
            for flags, changed in ((["--check", "--diff"], 1), ([], 1), ([], 0)):
                said = self.run_tool("ansible-playbook", "-i", "localhost,", *flags, "site.yaml", code=2)
                self.assertRegex(said, rf"ok=2 +changed={changed} .*failed=1 ")
                self.assertIn("94 % full", said)
            graph = self.run_tool("ansible-inventory", "-i", "cluster.pvereconcile.yml", "--graph")
        self.assertIn("@role_generalized_windows:", graph)
        self.assertIn("@node_pve3:", graph)


if __name__ == "__main__":
    PROGRAM, VENV = str(pathlib.Path(sys.argv[1]).resolve()), pathlib.Path(sys.argv[2]).absolute()
    problem = make_venv(VENV)
    if problem:
        print(f"SKIPPED: no environment with {ANSIBLE_CORE} could be made, so nothing of the collection was tested:\n{problem}")
        sys.exit(77)
    if sys.argv[3:] == ["--make-environment"]:
        sys.exit(0)
    unittest.main(argv=[sys.argv[0]] + sys.argv[3:])
