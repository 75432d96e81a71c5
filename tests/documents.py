#!/usr/bin/env python3
"""Documents: every link within the repository leads somewhere, and every path that a document names exists.

A path is text in backticks that begins with a folder of the repository, such as `core/src/ops`, or has a folder and ends
like a source file. One that holds a placeholder (`<family>`, an ellipsis, `*`) is passed over.
"""

import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^()\s]+)\)")
GENERATED = ("target", "node_modules", "pilothouse-data")
SOURCES = (".rs", ".toml", ".sql", ".md", ".py", ".vcl", ".conf")
NAMED = re.compile(r"`([A-Za-z][\w.-]*/[\w./-]*)`")


def tree():
    """The files of the repository and its folders, without what builds and hidden folders hold."""
    files, folders = set(), set()
    for place, below, names in os.walk(ROOT):
        below[:] = [name for name in below if name not in GENERATED and not name.startswith(".")]
        at = Path(place).relative_to(ROOT)
        files |= {str(at / name) for name in names}
        folders |= {str(at / name) for name in below}
    return files, folders


def anchors(text):
    """The anchors of a document's headings, as they are usually made."""
    headings = re.findall(r"^#+\s+(.*)$", FENCE.sub("", text), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in plain}


def wrong(document, files, folders):
    """What is wrong in one document."""
    text = (ROOT / document).read_text()
    prose = FENCE.sub("", text)
    for target in LINK.findall(prose):
        if re.match(r"[a-z]+:", target):
            continue
        place, _, anchor = target.partition("#")
        path = (ROOT / document).parent / place if place else ROOT / document
        name = str(path.resolve().relative_to(ROOT)) if path.resolve().is_relative_to(ROOT) else target
        if name not in files | folders:
            yield f"a link to {target}, which does not exist"
        elif anchor and name.endswith(".md") and anchor not in anchors((ROOT / name).read_text()):
            yield f"a link to {target}, which has no such heading"
    tops = {folder for folder in folders if "/" not in folder}
    for name in NAMED.findall(prose):
        is_path = name.split("/")[0] in tops or name.endswith(SOURCES)
        if is_path and name.rstrip("/") not in files | folders:
            yield f"the path {name}, which does not exist"


def main():
    files, folders = tree()
    documents = sorted(file for file in files if file.endswith(".md"))
    complaints = [f"{document}: {what}" for document in documents for what in wrong(document, files, folders)]
    for complaint in complaints:
        print(f"documents: {complaint}", file=sys.stderr)
    if complaints:
        sys.exit(1)
    print(f"documents: {len(documents)} documents, whose links and paths all exist")


if __name__ == "__main__":
    main()
