"""The guest of scripts/lab, as the tests see it: commands over ssh, volumes with known contents, the copy program."""

import os
import pathlib
import shlex
import subprocess
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = SOURCE / "providers" / "host" / "zvol_copy.pl"
MIB = 1 << 20


class Failed(Exception):
    """A command in the guest ended with another status than 0; the message is what it wrote to stderr."""


class Guest:
    def __init__(self, name):
        cache = os.environ.get("LAB_CACHE") or os.path.join(
            os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "pvereconcile-lab")
        self.name = name
        self.folder = pathlib.Path(os.environ.get("LAB_RUN") or os.path.join(cache, "run")) / name
        self.ssh = ["ssh", "-F", str(self.folder / "ssh_config"), "-o", "ControlMaster=auto",
                    "-o", f"ControlPath={self.folder}/test-%C", "-o", "ControlPersist=60", "lab"]
        # A copy has a connection of its own, which a test may kill.
        self.ssh_alone = ["ssh", "-F", str(self.folder / "ssh_config"), "-o", "ControlPath=none", "lab"]

    def run(self, *words, stdin=None, timeout=600):
        """One command, each word quoted."""
        return self.sh(" ".join(shlex.quote(word) for word in words), stdin=stdin, timeout=timeout)

    def sh(self, script, stdin=None, timeout=600):
        done = subprocess.run(self.ssh + [script], input=stdin, capture_output=True, text=True, timeout=timeout)
        if done.returncode != 0:
            raise Failed(f"{script[:200]}: {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def get(self, name, prop):
        return self.run("zfs", "get", "-Hp", "-o", "value", prop, name).strip()

    def number(self, name, prop):
        return int(self.get(name, prop))

    def create(self, name, size, block, *more, thick=False):
        """A volume with its device. Any earlier one of that name goes, with its snapshots."""
        self.destroy(name)
        self.run("zfs", "create", *([] if thick else ["-s"]), "-V", str(size), "-b", block, *more, name)
        self.run("udevadm", "settle")

    def destroy(self, name):
        self.sh(f"for n in $(seq 50); do zfs list {name} >/dev/null 2>&1 || exit 0; udevadm settle; "
                f"zfs destroy -r {name} 2>/dev/null && exit 0; sleep 0.2; done; zfs destroy -r {name}")

    def fill(self, name, at, count, block="1M", source="/dev/urandom"):
        self.sh(f"dd if={source} of=/dev/zvol/{name} bs={block} seek={at} count={count} oflag=direct conv=notrunc status=none")

    def checksum(self, name, length=None):
        """Of the device as a whole, read by others than the program under test."""
        limit = f"head -c {length}" if length else "cat"
        return self.sh(f"dd if=/dev/zvol/{name} bs=1M iflag=direct status=none | {limit} | sha256sum").split()[0]

    def command(self, *words):
        return " ".join(shlex.quote(word) for word in ("perl", "-", *words))

    def start(self, *words):
        """The copy program, running; its own ssh process."""
        with PROGRAM.open() as program:
            return subprocess.Popen(self.ssh_alone + [self.command(*words)], stdin=program, stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE, text=True)

    def program(self, *words, timeout=600):
        """The copy program to its end; what it printed, as pairs."""
        process = self.start(*words)
        out, errors = process.communicate(timeout=timeout)
        if process.returncode != 0:
            raise Failed(errors.strip().splitlines()[-1] if errors.strip() else f"status {process.returncode}")
        return [tuple((line.split(" ", 1) + [""])[:2]) for line in out.splitlines()]

    def wait_for(self, what, seconds=120):
        until = time.monotonic() + seconds
        while not what():
            if time.monotonic() > until:
                raise TimeoutError("it did not happen")
            time.sleep(0.2)

    def reset(self):
        subprocess.run(self.ssh[:-1] + ["-O", "exit", "lab"], capture_output=True)
        subprocess.run([str(SOURCE / "scripts" / "lab"), "reset", self.name], check=True, capture_output=True, timeout=300)
