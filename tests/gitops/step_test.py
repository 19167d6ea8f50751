"""Plays the part of CI systems: runs what action.yml and the examples run, against a forge and a simulated cluster on loopback.

step_test.py PROGRAM [unittest arguments]
"""
import http.server
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.parse
import xml.etree.ElementTree

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/support/python"))
from simulated import SimulatedCluster, clean_environment  # noqa: E402  (the path comes first)

PROGRAM = None
TOKEN = "forge-token-7c1"
HEAD, MERGE = "a" * 40, "b" * 40
FORGES = ("github", "forgejo", "gitlab", "woodpecker")

CLUSTER = """
cluster: {name: small, seed: 3}
nodes:
  pve1: {version: 9.2.4, pools: {tank: {size: 1TiB, media: ssd}}}
storages:
  tank: {type: zfspool, pool: tank, content: "images,rootdir", sparse: 1}
vms:
  100: {status: running, config: {name: one, cores: 2, memory: 2048, scsihw: virtio-scsi-single, scsi0: "tank:vm-100-disk-0,size=8G"}}
"""
FLEET = """version: 1
storages:
  tank: {type: zfspool, pool: tank, content: [images, rootdir], media: ssd}
lanes: {pinned: tank}
vms:
  one: {vmid: 100, role: specialty-linux, node: pve1, cores: 4, memory: 2GiB, disks: {root: {slot: scsi0, size: 8GiB}}}
"""


class Forge:
    """The few calls of the three APIs that the step makes, with what they would refuse."""

    def __init__(self, dialect):
        self.dialect = "forgejo" if dialect == "woodpecker" else dialect
        self.comments = []
        self.merged = False
        self.head = HEAD
        self.errors = []
        forge = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                code, reply = forge.serve(self.command, self.path, self.headers, body)
                text = json.dumps(reply).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PATCH = do_PUT = answer

            def log_message(self, *unused):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()
        base = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.api = base + {"github": "", "forgejo": "/api/v1", "gitlab": "/api/v4"}[self.dialect]
        self.url = base

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def write_comment(self, author, body):
        self.comments.append({"id": len(self.comments) + 1, "author": author, "body": body})
        return self.comments[-1]

    def shown(self, comment):
        user = {"username" if self.dialect == "gitlab" else "login": comment["author"]}
        return {"id": comment["id"], "body": comment["body"], "author" if self.dialect == "gitlab" else "user": user}

    def serve(self, method, target, headers, body):
        expected = {
            "github": ("Authorization", f"Bearer {TOKEN}"),
            "forgejo": ("Authorization", f"token {TOKEN}"),
            "gitlab": ("PRIVATE-TOKEN", TOKEN),
        }[self.dialect]
        if headers.get(expected[0]) != expected[1]:
            return 401, {"message": "Bad credentials"}
        parts = urllib.parse.urlsplit(target)
        query = urllib.parse.parse_qs(parts.query)
        path = parts.path.removeprefix(urllib.parse.urlsplit(self.api).path)
        gitlab = self.dialect == "gitlab"
        repository = "/projects/infra%2Ffleet" if gitlab else "/repos/infra/fleet"
        listed = f"{repository}/merge_requests/7/notes" if gitlab else f"{repository}/issues/7/comments"
        one = re.fullmatch(re.escape(listed if gitlab else f"{repository}/issues/comments") + r"/(\d+)", path)
        if path == "/user" and method == "GET":
            return 200, {"username" if gitlab else "login": "ci-bot"}
        if path == listed and method == "GET":
            shown = [self.shown(comment) for comment in self.comments]
            if self.dialect == "forgejo":
                return 200, shown
            page, size = int(query["page"][0]), int(query["per_page"][0])
            return 200, shown[(page - 1) * size : page * size]
        if path == listed and method == "POST":
            return 201, self.shown(self.write_comment(self.bot(), body["body"]))
        if one and method == ("PUT" if gitlab else "PATCH"):
            comment = self.comments[int(one.group(1)) - 1]
            if comment["author"] != self.bot():
                return 403, {"message": "not yours"}
            comment["body"] = body["body"]
            return 200, self.shown(comment)
        pull = {"merged_at": "2026-01-01T00:00:00Z", "number": 7, "head": {"sha": self.head}}
        if self.dialect == "github" and path == f"{repository}/commits/{MERGE}/pulls" and method == "GET":
            return 200, [pull] if self.merged else []
        if self.dialect == "forgejo" and path == f"{repository}/commits/{MERGE}/pull" and method == "GET":
            return (200, pull) if self.merged else (404, {"message": "not found"})
        if gitlab and path == f"{repository}/repository/commits/{MERGE}/merge_requests" and method == "GET":
            return 200, [{"iid": 7, "state": "merged", "sha": self.head}] if self.merged else []
        self.errors.append(f"{method} {target}")
        return 404, {"message": "not found"}

    def bot(self):
        return "github-actions[bot]" if self.dialect == "github" else "ci-bot"

    def plans(self):
        return [entry["body"] for entry in self.comments if entry["author"] == self.bot() and "<!-- pvereconcile plan" in entry["body"]]


class Step(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.write("cluster.yaml", CLUSTER)
        self.write("fleet.yaml", FLEET)
        self.cluster = SimulatedCluster(PROGRAM, str(self.directory / "cluster.yaml"), 120)
        self.addCleanup(self.cluster.close)

    def write(self, name, text):
        (self.directory / name).write_text(text, encoding="utf-8")

    def forge(self, dialect):
        forge = Forge(dialect)
        self.addCleanup(forge.close)
        return forge

    def variables(self, dialect, forge, pull_request):
        """What a runner of that system puts into the environment of a step."""
        self.write("event.json", json.dumps({"pull_request": {"number": 7, "head": {"sha": HEAD}}} if pull_request else {"after": MERGE}))
        if dialect in ("github", "forgejo"):
            return {
                "GITHUB_ACTIONS": "true",
                "GITHUB_API_URL": forge.api,
                "GITHUB_REPOSITORY": "infra/fleet",
                "GITHUB_SHA": "c" * 40 if pull_request else MERGE,
                "GITHUB_EVENT_PATH": str(self.directory / "event.json"),
                "GITHUB_STEP_SUMMARY": str(self.directory / "summary.md"),
                "GITHUB_OUTPUT": str(self.directory / "output"),
            }
        if dialect == "gitlab":
            more = {"CI_MERGE_REQUEST_IID": "7"} if pull_request else {}
            return {
                "GITLAB_CI": "true",
                "CI_API_V4_URL": forge.api,
                "CI_PROJECT_ID": "infra/fleet",
                "CI_COMMIT_SHA": HEAD if pull_request else MERGE,
                **more,
            }
        more = {"CI_COMMIT_PULL_REQUEST": "7"} if pull_request else {}
        return {
            "CI": "woodpecker",
            "CI_FORGE_TYPE": "forgejo",
            "CI_FORGE_URL": forge.url,
            "CI_REPO": "infra/fleet",
            "CI_COMMIT_SHA": HEAD if pull_request else MERGE,
            **more,
        }

    def run_step(self, command, dialect=None, forge=None, pull_request=True, **more):
        environment = {
            **clean_environment(PATH=f"{pathlib.Path(PROGRAM).parent}:{os.environ['PATH']}"),
            **self.cluster.environment,
            **(self.variables(dialect, forge, pull_request) if forge else {}),
            **({"GITOPS_TOKEN": TOKEN} if forge else {}),
            **more,
        }
        done = subprocess.run(
            [str(ROOT / "gitops/step"), command],
            cwd=self.directory, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        self.said = done.stdout + done.stderr
        self.assertNotIn(TOKEN, self.said)
        self.assertNotIn(self.cluster.environment["PVERECONCILE_TOKEN"].split("=")[1], self.said)
        return done.returncode

    def cores(self):
        """What PVE has: the world, not what the step says about it."""
        done = subprocess.run(
            [PROGRAM, "status", "fleet.yaml", "-o", "json", "--quiet"],
            cwd=self.directory, env=clean_environment(**self.cluster.environment), capture_output=True, text=True, check=True,
        )  # fmt: skip
        return json.loads(done.stdout)["vms"][0]["live"]["cores"]

    def test_a_plan_is_one_comment_and_the_merge_applies_it(self):
        for dialect in FORGES:
            with self.subTest(dialect):
                self.cluster.close()
                self.cluster = SimulatedCluster(PROGRAM, str(self.directory / "cluster.yaml"), 120)
                self.addCleanup(self.cluster.close)
                self.write("fleet.yaml", FLEET)
                forge = self.forge(dialect)
                for number in range(120):  # more than one page of other people's comments
                    forge.write_comment("alice", f"comment {number}")
                self.assertEqual(self.run_step("plan", dialect, forge), 0, self.said)
                self.assertEqual(len(forge.plans()), 1)
                first = forge.plans()[0]
                self.assertIn("2 → 4".replace(" → ", "</code> | <code>"), first)
                self.assertIn(f"commit={HEAD}", first)
                self.assertEqual(self.cores(), "2", "a plan changes nothing")

                self.write("fleet.yaml", FLEET.replace("cores: 4", "cores: 6"))
                self.assertEqual(self.run_step("plan", dialect, forge), 0, self.said)
                self.assertEqual(len(forge.plans()), 1, "the comment is updated, not written again")
                self.assertNotEqual(forge.plans()[0], first)

                forge.merged = True
                self.assertEqual(self.run_step("apply", dialect, forge, pull_request=False), 0, self.said)
                self.assertEqual(self.cores(), "6")
                self.assertIn("operations done", forge.comments[-1]["body"])
                self.assertEqual(forge.errors, [])
                # Nothing is left: the same step once more is harmless, and there is no drift.
                self.assertEqual(self.run_step("apply", dialect, forge, pull_request=False), 0, self.said)
                self.assertEqual(self.run_step("drift", dialect, forge, pull_request=False), 0, self.said)

    def refused(self, dialect, forge, text):
        self.assertEqual(self.run_step("apply", dialect, forge, pull_request=False), 1, self.said)
        self.assertIn(text, self.said)
        self.assertEqual(self.cores(), "2", "something was applied that nobody reviewed")

    def test_another_plan_than_the_reviewed_one_is_not_applied(self):
        for dialect in FORGES:
            with self.subTest(dialect):
                self.write("fleet.yaml", FLEET)
                forge = self.forge(dialect)
                self.run_step("plan", dialect, forge)
                forge.merged = True
                self.write("fleet.yaml", FLEET.replace("cores: 4", "cores: 8"))
                self.refused(dialect, forge, "not the plan that was reviewed")

    def test_a_commit_nobody_reviewed_is_not_applied(self):
        for dialect in FORGES:
            with self.subTest(dialect):
                forge = self.forge(dialect)
                self.run_step("plan", dialect, forge)
                self.refused(dialect, forge, "404" if dialect in ("forgejo", "woodpecker") else "belongs to no merged pull request")

    def test_a_commit_after_the_last_plan_is_not_applied(self):
        forge = self.forge("github")
        self.run_step("plan", "github", forge)
        forge.merged = True
        forge.head = "d" * 40
        self.refused("github", forge, "was never planned")

    def test_a_comment_of_somebody_else_is_no_review(self):
        forge = self.forge("github")
        self.run_step("plan", "github", forge)
        digest = re.search("digest=([0-9a-f]{64})", forge.plans()[0]).group(1)
        forge.comments.clear()
        forge.write_comment("mallory", f"<!-- pvereconcile plan default digest={digest} commit={HEAD} -->\n")
        forge.merged = True
        self.refused("github", forge, "no comment with a plan")

    def test_two_fleets_of_one_repository_keep_apart(self):
        forge = self.forge("github")
        self.run_step("plan", "github", forge, GITOPS_NAME="one")
        self.run_step("plan", "github", forge, GITOPS_NAME="two")
        self.run_step("plan", "github", forge, GITOPS_NAME="one")
        self.assertEqual(len(forge.plans()), 2)

    def test_a_fleet_with_an_error_is_told_in_the_comment(self):
        forge = self.forge("gitlab")
        self.write("fleet.yaml", FLEET.replace("role:", "rolle:") + "# ```\n")
        self.assertEqual(self.run_step("plan", "gitlab", forge), 1)
        self.assertIn('Did you mean "role"?', forge.plans()[0])
        forge.merged = True
        self.write("fleet.yaml", FLEET)
        self.refused("gitlab", forge, "the last plan of pull request 7 failed")

    def test_a_token_that_is_refused_fails_the_step(self):
        for dialect in FORGES:
            with self.subTest(dialect):
                forge = self.forge(dialect)
                self.assertEqual(self.run_step("plan", dialect, forge, GITOPS_TOKEN="wrong"), 1)
                self.assertIn("failed", self.said)
                self.assertIn("Bad credentials", self.said)
                self.assertEqual(forge.comments, [])

    def assert_junit(self, report):
        """What the schema of Jenkins' xunit plugin (junit-10.xsd) allows, and that the numbers at the top are those of the cases below."""
        allowed = {
            "testsuites": {"name", "tests", "failures", "errors"},
            "testsuite": {"name", "tests", "failures", "errors", "skipped"},
            "testcase": {"name", "classname"},
            "failure": {"type", "message"},
            "skipped": {"message"},
            "system-out": set(),
        }
        for element in report.iter():
            self.assertLessEqual(set(element.keys()), allowed[element.tag], element.tag)
        self.assertEqual(report.tag, "testsuites")
        suite = report.find("testsuite")
        for element in (report, suite):
            self.assertEqual(int(element.get("tests")), len(list(report.iter("testcase"))))
            self.assertEqual(int(element.get("failures")), len(list(report.iter("failure"))))
        self.assertEqual(int(suite.get("skipped")), len(list(report.iter("skipped"))))

    def test_drift_is_exit_code_2_with_reports(self):
        self.assertEqual(self.run_step("drift"), 2, self.said)
        report = xml.etree.ElementTree.parse(self.directory / "pvereconcile-report/plan.junit.xml").getroot()
        self.assert_junit(report)
        failures = {case.get("name") for case in report.iter("testcase") if case.find("failure") is not None}
        self.assertIn("vm/one", failures)
        self.assertEqual(self.cores(), "2")

    def test_without_a_forge_a_digest_is_the_review(self):
        self.assertEqual(self.run_step("apply"), 1)
        self.assertIn("which plan was reviewed?", self.said)
        self.assertEqual(self.run_step("plan"), 0, self.said)
        digest = json.loads((self.directory / "pvereconcile-report/plan.json").read_text())["digest"]
        self.assertEqual(self.run_step("apply", GITOPS_EXPECT="0" * 64), 1)
        self.assertEqual(self.cores(), "2")
        self.assertEqual(self.run_step("apply", GITOPS_EXPECT=digest), 0, self.said)
        self.assertEqual(self.cores(), "4")

    def test_audit_writes_sarif_and_junit(self):
        self.assertEqual(self.run_step("audit"), 0, self.said)
        sarif = json.loads((self.directory / "pvereconcile-report/audit.sarif").read_text())
        self.assertEqual(sarif["version"], "2.1.0")
        found = {result["ruleId"] for result in sarif["runs"][0]["results"]}
        report = xml.etree.ElementTree.parse(self.directory / "pvereconcile-report/audit.junit.xml").getroot()
        self.assert_junit(report)
        self.assertEqual(found, {case.get("name").split("@")[0].split(".")[0] for case in report.iter("testcase")})
        self.assertEqual(self.run_step("audit", GITOPS_FAIL_ON="notice"), 2, self.said)

    def test_the_action_and_the_examples_run_the_step(self):
        """What GitHub reads: inputs reach the step as variables only, and the shell of action.yml really runs it."""
        action = yaml.safe_load((ROOT / "action.yml").read_text())
        steps = [step for step in action["runs"]["steps"] if "run" in step]
        for step in steps:
            self.assertNotIn("${{", step["run"], "an input inside a shell text is code of whoever wrote it")
        runner = [step for step in steps if "gitops/step" in step["run"]][0]
        inputs = {name: str(entry.get("default", "")) for name, entry in action["inputs"].items()}
        inputs.update({"command": "plan", "token": TOKEN})
        forge = self.forge("github")
        environment = clean_environment(
            PATH=f"{pathlib.Path(PROGRAM).parent}:{os.environ['PATH']}",
            GITHUB_ACTION_PATH=str(ROOT),
            **self.cluster.environment,
            **self.variables("github", forge, True),
        )
        for key, text in runner["env"].items():
            environment[key] = re.sub(r"\$\{\{ *inputs\.([\w-]+) *\}\}", lambda m: inputs[m.group(1)], text)
        done = subprocess.run(["bash", "-e", "-c", runner["run"]], cwd=self.directory, env=environment, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(len(forge.plans()), 1)
        output = dict(line.split("=", 1) for line in (self.directory / "output").read_text().splitlines())
        self.assertIn(output["digest"], forge.plans()[0])
        self.assertEqual(output["changes"], "true")
        self.assertIn("pvereconcile plan", (self.directory / "summary.md").read_text())

        for name in ("github.yml", "gitlab-ci.yml", "forgejo.yml", "woodpecker.yml"):
            text = (ROOT / "examples/gitops" / name).read_text()
            self.assertTrue(yaml.safe_load(text), name)
            for command in ("plan", "apply", "drift", "audit"):
                self.assertRegex(text, rf"command: {command}\b|gitops/step {command}\b", name)

    def test_the_files_are_what_their_systems_read(self):
        """The public schemas, where the tool that brings them along is installed: pip install check-jsonschema."""
        checker = shutil.which("check-jsonschema")
        if not checker:
            self.skipTest("check-jsonschema is not installed")
        for schema, file in (
            ("github-actions", "action.yml"),
            ("github-workflows", "examples/gitops/github.yml"),
            ("github-workflows", "examples/gitops/forgejo.yml"),
            ("gitlab-ci", "examples/gitops/gitlab-ci.yml"),
            ("woodpecker-ci", "examples/gitops/woodpecker.yml"),
        ):
            done = subprocess.run(
                [checker, "--builtin-schema", f"vendor.{schema}", str(ROOT / file)], capture_output=True, text=True, check=False
            )
            self.assertEqual(done.returncode, 0, f"{file}: {done.stdout}{done.stderr}")

    def test_the_image_is_started_by_each_system_as_it_does(self):
        """The image begins with the program; GitLab runs its shell through that unless it is told otherwise."""
        image = yaml.safe_load((ROOT / "examples/gitops/gitlab-ci.yml").read_text())["default"]["image"]
        self.assertEqual(image["entrypoint"], [""])
        self.assertIn("ENTRYPOINT", (ROOT / "packaging/Containerfile").read_text())


if __name__ == "__main__":
    PROGRAM = str(pathlib.Path(sys.argv[1]).resolve())
    missing = [tool for tool in ("curl", "jq") if not shutil.which(tool)]
    if missing:
        print(f"SKIPPED: {' and '.join(missing)} not installed, so the pipeline step was not tested")
        sys.exit(77)
    unittest.main(argv=[sys.argv[0]] + sys.argv[2:])
