"""Runs what documents tell people to type and compares what comes out.

run_documents.py PROGRAM DOCUMENT…

Fenced blocks of a document are worked through in order, in one empty directory that has a link to examples/, by one shell:
  ```console   lines that begin with "$ " are commands (a line that ends in a backslash goes on, "> " is cut off the next), the
               others their output, standard error after standard output. "…" alone on a line stands for any lines, inside one for any text.
               The last line "(exit code N)" is expected where N is not 0.
  ```sh        commands, one per line, that must succeed; their output is not shown
  ```yaml      must be YAML
A comment on the line before the fence changes what is done:
  <!-- file: NAME -->         the block is written to that file
  <!-- background: FILE -->   the commands go on running; the next block begins when FILE is there
  <!-- needs: TOOL -->        left out, and said so, where that program is not installed. terraform finds the provider of the same build
  <!-- not run: WHY -->       left out; the reason is for the reader of the source
A link to a file that is not there is an error, too. Any other block that looks like commands of pvereconcile is an error, so that nothing is left out by accident.

With PVERECONCILE_TEST_ACCEPT=1 outputs without "…" are written into the document as they are.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/support/python"))
from simulated import clean_environment  # noqa: E402  (the path comes first)

ACCEPT = os.environ.get("PVERECONCILE_TEST_ACCEPT") == "1"
FENCE = re.compile(r"^( *)```(\S*) *$")
MARKER = re.compile(r"^ *<!-- (file|background|needs|not run): (.+?) -->$")
LOOKS_LIKE_COMMANDS = re.compile(r"^(\$ |pvereconcile (?!\[)|scripts/|ansible-|ctest |cmake )", re.MULTILINE)


class Block:
    def __init__(self, line, kind, marker, text):
        self.line, self.kind, self.marker, self.text = line, kind, marker, text


def blocks_of(lines):
    """Every fenced block; `line` is the number of its first line of text, from 0."""
    found, index = [], 0
    while index < len(lines):
        fence = FENCE.match(lines[index])
        if fence:
            indent = len(fence.group(1))
            before = index - 1
            while before >= 0 and not lines[before].strip():
                before -= 1
            marker = MARKER.match(lines[before]) if before >= 0 else None
            end = index + 1
            while not re.match(r"^ *```$", lines[end]):
                end += 1
            text = [line[indent:] if line[:indent].isspace() or indent == 0 else line for line in lines[index + 1 : end]]
            found.append(Block(index + 1, fence.group(2), marker.groups() if marker else (None, None), text))
            index = end
        index += 1
    return found


def commands_of(text):
    """[(command, expected lines, index of the first expected line)] of a console block."""
    result, index = [], 0
    while index < len(text):
        if not text[index].startswith("$ "):
            raise ValueError(f"\"{text[index]}\" is output of no command")
        command = text[index][2:]
        while command.endswith("\\"):
            index += 1
            command += "\n" + text[index].removeprefix("> ")
        start = index = index + 1
        while index < len(text) and not text[index].startswith("$ "):
            index += 1
        result.append((command, text[start:index], start))
    return result


def matches(expected, got):
    pattern = "".join(
        r"(?:.*\n)*" if line.strip() == "…" else ".*".join(re.escape(part) for part in line.split("…")) + r"\n"
        for line in expected
    )
    return re.fullmatch(pattern, "".join(line + "\n" for line in got)) is not None


def install_provider(program, directory):
    """A filesystem mirror with the Terraform provider that was built beside the program; its configuration, or None."""
    provider = program.parent.parent / "terraform-plugin/terraform-provider-pvereconcile"
    if not provider.exists():
        return None
    version = re.search(r"^project\(pvereconcile VERSION ([0-9.]+)", (ROOT / "CMakeLists.txt").read_text(encoding="utf-8"), re.MULTILINE).group(1)
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    place = directory / f"mirror/registry.terraform.io/pvereconcile/pvereconcile/{version}/linux_{machine}"
    place.mkdir(parents=True)
    (place / f"terraform-provider-pvereconcile_v{version}").symlink_to(provider)
    configuration = directory / "mirror.tfrc"
    configuration.write_text(f'provider_installation {{\n  filesystem_mirror {{ path = "{directory}/mirror" }}\n}}\n', encoding="utf-8")
    return configuration


class Shell:
    """One bash for a whole document, so that variables and files of one block are there in the next."""

    def __init__(self, directory, **more):
        self.directory = directory
        self.process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=directory / "work", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True,
            env=clean_environment(
                PATH=f"{directory / 'bin'}:{os.environ['PATH']}", HOME=str(directory), COLUMNS="120",
                XDG_CACHE_HOME=str(directory / "cache"), **more,
            ),
            start_new_session=True,
        )  # fmt: skip
        self.number = 0

    def run(self, command, background=False):
        """Exit code and lines of a command; of one in the background nothing."""
        self.number += 1
        out, err, code = (self.directory / f"{name}{self.number}" for name in ("out", "err", "code"))
        end = " &" if background else ""
        self.process.stdin.write(f"{{ {command}\n}} >{out} 2>{err} </dev/null{end}\necho $? >{code}.new; mv {code}.new {code}\n")
        self.process.stdin.flush()
        deadline = time.monotonic() + 60
        while not code.exists():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise ValueError(f"no end after a minute: {command}")
            time.sleep(0.005)
        if background:  # it may not even have begun to write
            return 0, []
        return int(code.read_text()), (out.read_text() + err.read_text()).splitlines()

    def close(self):
        os.killpg(self.process.pid, signal.SIGTERM)  # a session of its own: what it started in the background, too
        self.process.wait()


def run_document(program, path):
    lines = path.read_text(encoding="utf-8").splitlines()
    problems, replacements, ran = [], [], 0
    for number, line in enumerate(lines, 1):
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", line):
            if not target.startswith("http") and not (path.parent / target).exists():
                problems.append(f"{path}:{number}: the link to {target} leads nowhere")
    with tempfile.TemporaryDirectory() as temporary:
        directory = pathlib.Path(temporary)
        (directory / "work").mkdir()
        (directory / "bin").mkdir()
        (directory / "bin/pvereconcile").symlink_to(program)
        (directory / "work/examples").symlink_to(ROOT / "examples")
        (directory / "gitops").symlink_to(ROOT / "gitops")
        provider = install_provider(program, directory)
        shell = Shell(directory, **({"TF_CLI_CONFIG_FILE": str(provider), "CHECKPOINT_DISABLE": "1"} if provider else {}))
        try:
            for block in blocks_of(lines):
                what, argument = block.marker
                try:
                    if what == "not run":
                        continue
                    if what == "needs" and (not shutil.which(argument) or (argument == "terraform" and not provider)):
                        print(f"{path}:{block.line}: LEFT OUT: {argument} is not here")
                        continue
                    if what == "file":
                        (directory / "work" / argument).write_text("\n".join(block.text) + "\n", encoding="utf-8")
                    if what == "background":
                        shell.run("\n".join(line.removeprefix("$ ") for line in block.text), background=True)
                        deadline = time.monotonic() + 30
                        while not (directory / "work" / argument).exists() or not (directory / "work" / argument).read_text():
                            if time.monotonic() > deadline:
                                raise ValueError(f"{argument} does not appear")
                            time.sleep(0.02)
                        ran += 1
                    elif block.kind == "console":
                        for command, expected, start in commands_of(block.text):
                            code, got = shell.run(command)
                            if code != 0:
                                got.append(f"(exit code {code})")
                            ran += 1
                            if not matches(expected, got):
                                if ACCEPT and not any("…" in line for line in expected):
                                    replacements.append((block.line + start, len(expected), got))
                                else:
                                    problems.append(f"{path}:{block.line + start}: $ {command}\n" + compared(expected, got))
                    elif block.kind == "sh":
                        for command in "\n".join(block.text).replace("\\\n", " ").splitlines():
                            code, got = shell.run(command)
                            ran += 1
                            if code != 0:
                                raise ValueError(f"exit code {code} of {command}\n" + "\n".join(got))
                    elif block.kind in ("yaml", "yml"):
                        list(yaml.safe_load_all("\n".join(block.text)))
                    elif block.kind == "json":
                        json.loads("\n".join(block.text))
                    elif what != "file" and LOOKS_LIKE_COMMANDS.search("\n".join(block.text)):
                        raise ValueError("looks like commands: make it a console block, or say why it is not run")
                except (ValueError, yaml.YAMLError) as error:
                    problems.append(f"{path}:{block.line}: {error}")
        finally:
            shell.close()
    for start, length, got in reversed(replacements):
        lines[start : start + length] = got
    if replacements:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"{path}: {len(replacements)} outputs written")
    return problems, ran


def compared(expected, got):
    return "  expected:\n" + "".join(f"    {line}\n" for line in expected) + "  got:\n" + "".join(f"    {line}\n" for line in got)


def main(program, documents):
    failed = False
    for name in documents:
        problems, ran = run_document(pathlib.Path(program).resolve(), pathlib.Path(name).resolve())
        for problem in problems:
            print(problem)
        failed = failed or bool(problems)
        print(f"{name}: {ran} commands ran, {len(problems)} problems")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
