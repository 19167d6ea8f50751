"""A simulated cluster for tests written in Python: `pvereconcile simulate` as a process of its own, on loopback."""
import json
import os
import pathlib
import re
import ssl
import subprocess
import tempfile
import time
import urllib.request


class SimulatedCluster:
    """Runs until it is closed. `environment` holds the variables that connect to it."""

    def __init__(self, program, cluster, clock_scale=None):
        self._directory = tempfile.TemporaryDirectory()
        file = pathlib.Path(self._directory.name) / "environment"
        arguments = [program, "simulate", "--listen", "127.0.0.1:0", "--cluster", cluster, "--environment-file", str(file)]
        if clock_scale:
            arguments += ["--clock-scale", str(clock_scale)]
        self._log = open(pathlib.Path(self._directory.name) / "log", "w+", encoding="utf-8")
        self._process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=self._log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not file.exists() or not file.read_text().endswith("\n"):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._log.seek(0)
                said = self._log.read()
                self.close()
                raise RuntimeError(f"the simulated cluster did not start: {said}")
            time.sleep(0.02)
        self.environment = dict(re.findall(r"^export (\w+)='([^']*)'$", file.read_text(), re.MULTILINE))

    def get(self, path):
        """What PVE's own API answers: GET /api2/json + path, the data of it."""
        request = urllib.request.Request(
            self.environment["PVERECONCILE_ENDPOINT"] + "/api2/json" + path,
            headers={"Authorization": "PVEAPIToken=" + self.environment["PVERECONCILE_TOKEN"]},
        )
        # The certificate is made at the start of the process we talk to, on loopback.
        with urllib.request.urlopen(request, context=ssl._create_unverified_context()) as answer:
            return json.load(answer)["data"]

    def close(self):
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait()
        self._log.close()
        self._directory.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()


def clean_environment(**more):
    """The environment of this process without what could lead to another cluster, and with `more`."""
    foreign = ("PVERECONCILE_", "PROXMOX_", "PM_", "ANSIBLE_", "GITHUB_", "GITLAB_", "FORGEJO_", "CI_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    kept.update({"NO_COLOR": "1", "LC_ALL": "C.UTF-8", **more})
    return kept
