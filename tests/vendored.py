#!/usr/bin/env python3
"""Vendored files of the console: each is, byte for byte, what its author published, or what the committed lock file bundles to,
and its licence stands beside it.

The packages are taken from the registry of npm by its ordinary client. Without npm, or without a network, this says that it left
the comparison out, unless `PILOTHOUSE_TEST_SERVICES=require`.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VENDOR = Path(__file__).resolve().parent.parent / "console" / "vendor"
# Packages, and the files of each with their names in the repository.
PACKAGES = {
    "htmx.org@4.0.1": {
        "dist/htmx.min.js": "htmx.min.js",
        "dist/ext/hx-sse.min.js": "hx-sse.min.js",
        "LICENSE": "LICENSE-htmx",
    },
    "uplot@1.6.32": {
        "dist/uPlot.iife.min.js": "uPlot.iife.min.js",
        "dist/uPlot.min.css": "uPlot.min.css",
        "LICENSE": "LICENSE-uplot",
    },
}

# The folder from which a bundle is made, and its files.
BUNDLE = "editor"
BUNDLED = ["editor.min.js", "LICENSE-editor"]


def leave_out(why):
    if os.environ.get("PILOTHOUSE_TEST_SERVICES") == "require":
        sys.exit(f"vendored: {why}")
    print(f"vendored: left out, as {why}")
    sys.exit(0)


def fetch(package, folder):
    """The published package as a file in the folder."""
    command = ["npm", "pack", "--silent", "--pack-destination", folder, package]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        leave_out(f"npm could not fetch {package}: {done.stderr.strip()[-300:]}")
    return Path(folder) / done.stdout.strip().splitlines()[-1]


def bundle(folder):
    """Makes the bundle again, in a folder of its own, with exactly the packages of the lock file."""
    source = Path(folder) / BUNDLE
    shutil.copytree(VENDOR / BUNDLE, source, ignore=shutil.ignore_patterns("node_modules"))
    for command in [["npm", "ci", "--silent", "--no-audit", "--no-fund"], ["./build.sh", folder]]:
        done = subprocess.run(command, cwd=source, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            leave_out(f"the editor could not be bundled: {done.stdout.strip()[-300:]}")


def main():
    if shutil.which("npm") is None:
        leave_out("npm is not installed")
    complaints = []
    known = {name for files in PACKAGES.values() for name in files.values()} | {*BUNDLED, BUNDLE}
    for file in VENDOR.iterdir():
        if file.name not in known:
            complaints.append(f"console/vendor/{file.name} is of no known package")
    with tempfile.TemporaryDirectory() as folder:
        for package, files in PACKAGES.items():
            with tarfile.open(fetch(package, folder)) as published:
                for inside, name in files.items():
                    content = published.extractfile(f"package/{inside}").read()
                    if (VENDOR / name).read_bytes() != content:
                        complaints.append(f"console/vendor/{name} is not {inside} of {package}")
        bundle(folder)
        for name in BUNDLED:
            if (VENDOR / name).read_bytes() != (Path(folder) / name).read_bytes():
                complaints.append(f"console/vendor/{name} is not what console/vendor/{BUNDLE} bundles to")
    for complaint in complaints:
        print(f"vendored: {complaint}", file=sys.stderr)
    if complaints:
        sys.exit(1)
    published = len(known) - len(BUNDLED) - 1
    print(f"vendored: {published} files of {len(PACKAGES)} packages as they were published, and the editor as it is bundled")


if __name__ == "__main__":
    main()
