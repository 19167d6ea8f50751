"""The list of what is in the program, as SPDX 2.3 JSON: itself and every library of the distribution that it was built with.

sbom.py VERSION HOMEPAGE BINARY [LIBRARIES…]: LIBRARIES are packages whose archives are linked into the program.
"""
import hashlib
import datetime
import json
import os
import re
import shutil
import subprocess
import sys

# Used as headers only, so the program does not name them; by the package that has them.
HEADERS = ["nlohmann-json3-dev", "libcli11-dev", "libboost-dev"]
LICENSES = {
    "nlohmann-json3-dev": "MIT", "libcli11-dev": "BSD-3-Clause", "libboost-dev": "BSL-1.0",
    "libfmt": "MIT", "libyaml-cpp": "MIT", "libyaml-0": "MIT", "libyaml-dev": "MIT", "libcurl": "curl", "libssl": "Apache-2.0",
    "libc6": "LGPL-2.1-or-later", "libgcc-s": "GPL-3.0-or-later WITH GCC-exception-3.1", "libstdc++": "GPL-3.0-or-later WITH GCC-exception-3.1",
}  # fmt: skip
RELATIONSHIPS = {"shared library": "DYNAMIC_LINK", "linked in": "STATIC_LINK", "headers": "DEPENDS_ON"}


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def package_of(library):
    """The package a shared library comes from; of a merged /usr dpkg knows either path, and of one we take along only its name."""
    architecture = output("gcc", "-print-multiarch").strip() if shutil.which("gcc") else "*"
    for path in (library, library.removeprefix("/usr"), "/usr" + library, f"*/{architecture}/{os.path.basename(library)}"):
        done = subprocess.run(["dpkg-query", "-S", path], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout.split(":", 1)[0]
    return None


def entry(name, version, kind):
    known = [license for start, license in LICENSES.items() if name.startswith(start)]
    return {
        "SPDXID": "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", name),
        "name": name,
        "versionInfo": version,
        "supplier": "Organization: Debian",
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": known[0] if known else "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "comment": kind,
        "externalRefs": [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": f"pkg:deb/debian/{name}@{version}?arch={output('dpkg', '--print-architecture').strip()}",
            }
        ],
    }


def main(version, homepage, binary, *archives):
    with open(binary, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    linked = set()
    needed = re.findall(r"NEEDED\s+(\S+)", output("objdump", "-p", binary))
    for line in output("ldd", binary).splitlines():
        match = re.match(r"\s*(\S+) => (\S+)", line)
        if match and match.group(1) in needed:
            package = package_of(match.group(2))
            if not package:
                sys.exit(f"sbom: no package has {match.group(2)}")
            linked.add(package)
    packages = []
    kinds = [(name, "shared library") for name in linked] + [(name, "linked in") for name in archives] + [(name, "headers") for name in HEADERS]
    for name, kind in sorted(kinds):
        packages.append(entry(name, output("dpkg-query", "-W", "-f", "${Version}", name), kind))
    time = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.timezone.utc)
    print(
        json.dumps(
            {
                "spdxVersion": "SPDX-2.3",
                "dataLicense": "CC0-1.0",
                "SPDXID": "SPDXRef-DOCUMENT",
                "name": f"pvereconcile-{version}",
                "documentNamespace": f"{homepage}/spdx/{version}/{digest}",
                "creationInfo": {
                    "created": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
                    "creators": ["Tool: pvereconcile-scripts-package", "Organization: The pvereconcile authors"],
                },
                "packages": [
                    {
                        "SPDXID": "SPDXRef-pvereconcile",
                        "name": "pvereconcile",
                        "versionInfo": version,
                        "supplier": "Organization: The pvereconcile authors",
                        "downloadLocation": "NOASSERTION",
                        "filesAnalyzed": False,
                        "primaryPackagePurpose": "APPLICATION",
                        "checksums": [{"algorithm": "SHA256", "checksumValue": digest}],
                        "licenseConcluded": "Apache-2.0",
                        "licenseDeclared": "Apache-2.0",
                        "copyrightText": "2026 The pvereconcile authors",
                    }
                ]
                + packages,
                "relationships": [
                    {
                        "spdxElementId": "SPDXRef-DOCUMENT",
                        "relationshipType": "DESCRIBES",
                        "relatedSpdxElement": "SPDXRef-pvereconcile",
                    }
                ]
                + [
                    {
                        "spdxElementId": "SPDXRef-pvereconcile",
                        "relationshipType": RELATIONSHIPS[package["comment"]],
                        "relatedSpdxElement": package["SPDXID"],
                    }
                    for package in packages
                ],
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
