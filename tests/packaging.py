#!/usr/bin/env python3
"""Checks what `packaging` holds: alert rules by promtool, the units by systemd-analyze, the container file by reading it.

Whatever they name of the program, settings and metrics, has to exist there.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGING = ROOT / "packaging"
PROGRAM = "/usr/bin/pilothouse"
# The units with their programs, and the exposure that systemd itself finds, of 10: as much as each had when it was written.
UNITS = {
    "pilothouse.service": (PROGRAM, 2.0),
    "pilothouse-agent.service": ("/usr/bin/pilothouse-agent", 2.3),
}
INSTRUCTIONS = {
    "FROM", "RUN", "CMD", "LABEL", "EXPOSE", "ENV", "ADD", "COPY", "ENTRYPOINT", "VOLUME", "USER", "WORKDIR", "ARG",
    "STOPSIGNAL", "HEALTHCHECK", "SHELL",
}


def fail(text):
    sys.exit(f"packaging: {text}")


def run(*command):
    """Runs a program; its output, and whether it succeeded."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout.strip(), done.returncode == 0


def alerts():
    """The rules and their tests, and that every metric in them is one that the program describes."""
    for what in (["check", "rules", PACKAGING / "alerts.yml"], ["test", "rules", PACKAGING / "alerts_test.yml"]):
        told, good = run("promtool", *map(str, what))
        if not good:
            fail(told)
    source = (ROOT / "server/src/metrics.rs").read_text()
    described = set(re.findall(r'\(\s*"((?:pilothouse|process)_[a-z_]+)",', source))
    if len(described) < 20:
        fail("the metrics of the program were not found")
    text = (PACKAGING / "alerts.yml").read_text()
    for name in set(re.findall(r"\b(?:pilothouse|process)_[a-z_]+", text)):
        if name not in described and re.sub("_(bucket|sum|count)$", "", name) not in described:
            fail(f"alerts.yml: there is no metric {name}")


def unit(name, program, most_exposure):
    """A unit without a warning, and how much it exposes. systemd wants the program to exist, so another stands for it."""
    text = (PACKAGING / name).read_text()
    if f"ExecStart={program} " not in text:
        fail(f"{name} does not start {program}")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_text(text.replace(f"{program} ", "/bin/true "))
        told, good = run("systemd-analyze", "verify", "--man=no", str(file))
        if told or not good:
            fail(f"{name}: {told or 'refused'}")
        threshold = f"--threshold={most_exposure * 10:.0f}"
        told, good = run("systemd-analyze", "security", "--offline=true", threshold, str(file))
        if not good:
            fail(f"{name} is too open:\n{told}")
    settings(text, name)


def container():
    """The container file: known instructions, stages that exist, a user of its own, a command as a list."""
    text = (PACKAGING / "Containerfile").read_text()
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    steps, stages, user = [], {}, "root"
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        instruction, _, rest = line.partition(" ")
        if instruction not in INSTRUCTIONS or not rest.strip():
            fail(f"Containerfile: cannot read {line!r}")
        steps.append((instruction, rest.strip()))
    if steps[0][0] != "FROM":
        fail("Containerfile: does not begin with FROM")
    for instruction, rest in steps:
        if instruction == "FROM":
            image = re.fullmatch(r"(\S+:\S+)(?: AS (\w+))?", rest)
            if not image:
                fail(f"Containerfile: FROM {rest} names no tag")
            stages[image[2]] = image[1]
            user = "root"
        elif instruction == "USER":
            user = rest
        elif instruction == "COPY" and (source := re.match(r"--from=(\w+) ", rest)) and source[1] not in stages:
            fail(f"Containerfile: there is no stage {source[1]}")
        elif instruction in ("ENTRYPOINT", "CMD") and not isinstance(json.loads(rest), list):
            fail(f"Containerfile: {instruction} is no list")
    if user in ("root", "0"):
        fail("Containerfile: the program would run as root")
    if not any(instruction == "ENTRYPOINT" and PROGRAM in rest for instruction, rest in steps):
        fail(f"Containerfile: {PROGRAM} is not what is started")
    settings(text, "Containerfile")


def settings(text, file):
    """Every setting that a file names has to be one."""
    source = (ROOT / "server/src/environment.rs").read_text()
    known = {key.upper() for key in re.findall(r'\("([a-z_]+)", Kind::', source)} | {"COMMIT", "CONFIG"}
    if len(known) < 20:
        fail("the settings of the program were not found")
    for name in set(re.findall(r"PILOTHOUSE_([A-Z_]+)", text)):
        if name not in known:
            fail(f"{file}: there is no setting PILOTHOUSE_{name}")


alerts()
for unit_name, (unit_program, exposure) in UNITS.items():
    unit(unit_name, unit_program, exposure)
container()
print("alert rules, units and container file are good")
