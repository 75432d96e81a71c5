#!/usr/bin/env python3
"""Dependency policy: checks `cargo metadata` against deny.toml without needing cargo-deny.

Both read the same file, so there is one list of licences, sources, bans and known duplicates. What is checked here:

- every dependency has a licence that `[licenses]` allows, and comes from a registry that `[sources]` allows;
- no banned crate is built, and of a crate with `deny-multiple-versions` only one version is;
- every exception is still needed, so that the lists stay short.

A dependency counts as built when its features are: a lock file also names optional ones that nothing enables.
"""

import json
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# How cargo names its default registry, from whatever mirror the packages come.
DEFAULT_REGISTRY = re.compile(r"registry\+https://[^ ]+/crates\.io-index")


def metadata():
    """The resolved dependencies of the workspace, with all features and for all platforms."""
    command = ["cargo", "metadata", "--locked", "--all-features", "--format-version", "1"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        sys.exit(f"policy: {' '.join(command)} failed")
    return json.loads(done.stdout)


def enabled(package, features):
    """The names of a package's optional dependencies that its features enable."""
    names = set()
    for feature in features:
        for says in package["features"].get(feature, []):
            if says.startswith("dep:"):
                names.add(says[4:])
            elif "/" in says and "?/" not in says:
                names.add(says.split("/")[0])
    return names


def built(data):
    """The packages that are built for some platform: reached from the workspace through enabled dependencies."""
    packages = {package["id"]: package for package in data["packages"]}
    nodes = {node["id"]: node for node in data["resolve"]["nodes"]}
    seen, waiting = set(), list(data["workspace_members"])
    while waiting:
        at = waiting.pop()
        if at in seen:
            continue
        seen.add(at)
        package, node = packages[at], nodes[at]
        names = enabled(package, node["features"])
        for dependency in node["deps"]:
            target = packages[dependency["pkg"]]
            says = [one for one in package["dependencies"] if one["name"] == target["name"]]
            if any(not one["optional"] or (one["rename"] or one["name"]) in names for one in says):
                waiting.append(dependency["pkg"])
    return [packages[one] for one in seen]


class Licence:
    """An SPDX expression; `/` is read as OR, as crates of old wrote it."""

    def __init__(self, text):
        self.words = re.findall(r"[()]|[^\s()]+", text.replace("/", " OR "))

    def allowed(self, names):
        """Whether some choice within the expression needs only these licences."""
        answer = self._either(names)
        if self.words:
            raise ValueError(f"cannot read the licence at {self.words[0]}")
        return answer

    def _either(self, names):
        answer = self._both(names)
        while self._takes("OR"):
            answer = self._both(names) or answer
        return answer

    def _both(self, names):
        answer = self._one(names)
        while self._takes("AND"):
            answer = self._one(names) and answer
        return answer

    def _one(self, names):
        if self._takes("("):
            answer = self._either(names)
            if not self._takes(")"):
                raise ValueError("a licence with a bracket that does not end")
            return answer
        if not self.words:
            raise ValueError("a licence that ends too early")
        name = self.words.pop(0).removesuffix("+")
        if self._takes("WITH"):
            name = f"{name} WITH {self.words.pop(0)}"
        return name in names

    def _takes(self, word):
        if self.words and self.words[0] == word:
            self.words.pop(0)
            return True
        return False


def precedence(version):
    """The numbers of a version, for comparing."""
    return [int(number) for number in re.match(r"[0-9.]+", version).group().split(".")]


def matches(spec, package):
    """Whether a package is meant by `name`, `name@version` or `name:<version`, as cargo-deny reads them."""
    name, sign, version = re.fullmatch(r"([^@:]+)(@|:<|)(.*)", spec).groups()
    if name != package["name"]:
        return False
    if sign == ":<":
        return precedence(package["version"]) < precedence(version)
    return not sign or version == package["version"]


def named(package):
    return f"{package['name']} {package['version']}"


def licences(policy, packages, complain):
    allowed = set(policy["allow"])
    exceptions = {one["crate"]: set(one["allow"]) for one in policy.get("exceptions", [])}
    needed = set()
    for package in packages:
        text = package["license"]
        if text is None:
            complain(f"{named(package)} names no licence")
            continue
        if Licence(text).allowed(allowed):
            continue
        more = exceptions.get(package["name"], set())
        if Licence(text).allowed(allowed | more):
            needed.add(package["name"])
        else:
            complain(f"{named(package)} is under {text}, which [licenses] does not allow")
    for name in exceptions.keys() - needed:
        complain(f"the exception for {name} in [licenses] is no longer needed")


def sources(policy, packages, complain):
    if "allow-registry" in policy or policy.get("allow-git"):
        complain("[sources] must allow crates.io and nothing else")
    for package in packages:
        if not DEFAULT_REGISTRY.fullmatch(package["source"] or ""):
            complain(f"{named(package)} comes from {package['source'] or 'a folder outside the workspace'}")


def bans(policy, packages, complain):
    versions = defaultdict(list)
    for package in packages:
        versions[package["name"]].append(package)
    skipped = {one["crate"]: one.get("reason", "") for one in policy.get("skip", [])}
    needed = set()
    for ban in policy["deny"]:
        if not ban.get("reason"):
            complain(f"the ban of {ban['crate']} gives no reason")
        found = [package for package in packages if matches(ban["crate"], package)]
        if not ban.get("deny-multiple-versions"):
            for package in found:
                complain(f"{named(package)} is banned: {ban.get('reason')}")
            continue
        if not found:
            complain(f"{ban['crate']} is to have one version, and is not used any more")
        counted = [one for one in found if f"{one['name']}@{one['version']}" not in skipped]
        if len(found) > 1:
            needed |= {f"{one['name']}@{one['version']}" for one in found} & skipped.keys()
        if len(counted) > 1:
            names = ", ".join(sorted(one["version"] for one in counted))
            complain(f"{ban['crate']} is built more than once: {names} ({ban.get('reason')})")
    for spec, reason in skipped.items():
        if not reason:
            complain(f"the exception for {spec} in [bans] gives no reason")
        if spec not in needed:
            complain(f"the exception for {spec} in [bans] is no longer needed")


def main():
    with open(ROOT / "deny.toml", "rb") as file:
        policy = tomllib.load(file)
    data = metadata()
    members = set(data["workspace_members"])
    foreign = [package for package in data["packages"] if package["id"] not in members]
    in_use = [package for package in built(data) if package["id"] not in members]
    if not in_use:
        sys.exit("policy: no dependency was found, which cannot be")

    complaints = []
    licences(policy["licenses"], foreign, complaints.append)
    sources(policy["sources"], foreign, complaints.append)
    bans(policy["bans"], in_use, complaints.append)
    for complaint in sorted(complaints):
        print(f"policy: {complaint}", file=sys.stderr)
    if complaints:
        sys.exit(1)
    print(f"policy: {len(foreign)} dependencies, {len(in_use)} of them built, all as deny.toml says")


if __name__ == "__main__":
    main()
