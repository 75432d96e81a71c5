#!/usr/bin/env python3
"""Feature combinations: every library of the workspace compiles without warnings with none of its features, and with each
of them alone; every program with none. (With all of them is what everything else in `./test` does.)

The list is read from `cargo metadata`, so a new feature or package needs no entry. What follows is what it cannot know.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Combinations that must be refused, and a part of what the compiler has to say then.
REFUSED = {("pilothouse-storage-sqlx", ""): "feature"}


def combinations():
    """Packages with their kind of target and each of the combinations of features."""
    command = ["cargo", "metadata", "--locked", "--no-deps", "--format-version", "1"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    for package in json.loads(done.stdout)["packages"]:
        if not package["features"]:
            continue
        is_library = any("lib" in target["kind"] for target in package["targets"])
        alone = sorted(package["features"].keys() - {"default"}) if is_library else []
        for features in ["", *alone]:
            yield package["name"], features, "--lib" if is_library else "--bins"


def check(package, features, kind):
    """Runs clippy on library or program alone: what tests need would enable features of their own."""
    command = ["cargo", "clippy", "--locked", "--quiet", "--package", package, kind, "--no-default-features"]
    if features:
        command += ["--features", features]
    command += ["--", "--deny", "warnings"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False, text=True)
    return done.returncode == 0, done.stderr


def main():
    failed = 0
    checked = list(combinations())
    for package, features, kind in checked:
        name = f"{package} with {features or 'no feature'}"
        passed, said = check(package, features, kind)
        refusal = REFUSED.get((package, features))
        if refusal is None:
            as_it_should = passed
        else:
            as_it_should = not passed and refusal in said
        print(f"{name}: {'ok' if as_it_should else 'FAILED'}{' (refused)' if refusal and as_it_should else ''}", flush=True)
        if not as_it_should:
            failed += 1
            print(said or "it compiles, and should be refused", file=sys.stderr)
    unknown = REFUSED.keys() - {(package, features) for package, features, _ in checked}
    if unknown:
        sys.exit(f"features: there is no {unknown}")
    if failed or not checked:
        sys.exit(f"features: {failed} of {len(checked)} combinations failed")


if __name__ == "__main__":
    main()
