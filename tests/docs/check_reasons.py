#!/usr/bin/env python3
"""Proves that docs/user/reasons.md and the table in common/wukong/api/reasons.c tell the same: every reason once,
in the section of its kind, with the table's own remedy; and that docs/user/troubleshooting.md names no other.

usage: check_reasons.py [ROOT]
"""

import re
import sys
from pathlib import Path

SECTIONS = {"REASON_WAITS": "Waits", "REASON_TRANSIENT": "Ends of an attempt",
            "REASON_TERMINAL": "Ends of a clone", "REASON_INFORMS": "Progress"}
ENTRY = re.compile(r'\[(REASON_\w+)\]\s*=\s*\{\s*"(\w+)",\s*(REASON_\w+),\s*(NULL|(?:"(?:[^"\\]|\\.)*"\s*)+)\}')


def table(text):
    """{name: (section, remedy)} of the C table."""
    found = {}
    for enum, name, kind, remedy in ENTRY.findall(text):
        if enum == "REASON_NONE":
            continue
        words = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', remedy)) if remedy != "NULL" else ""
        found[name] = (SECTIONS[kind], words)
    return found


def page(text):
    """{name: (section, remedy)} of the page, and what is wrong with its form."""
    found, wrong, section = {}, [], None
    for line in text.splitlines():
        if line.startswith("## "):
            section = line[3:].strip()
        cells = [c.strip() for c in line.strip().strip("|").split("|")] if line.startswith("| `") else []
        if not cells:
            continue
        name = cells[0].strip("`")
        if len(cells) != 3 or not cells[1]:
            wrong.append(f"{name}: a row has a reason, a meaning and a remedy")
        elif name in found:
            wrong.append(f"{name}: named twice")
        else:
            found[name] = (section, cells[2])
    return found, wrong


def main():
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[2]
    wanted = table((root / "common/wukong/api/reasons.c").read_text())
    if len(wanted) < 30:
        print(f"only {len(wanted)} reasons found in api/reasons.c: has its form changed?")
        return 1
    told, wrong = page((root / "docs/user/reasons.md").read_text())
    for name in sorted(wanted.keys() | told.keys()):
        if name not in told:
            wrong.append(f"{name}: not in docs/user/reasons.md")
        elif name not in wanted:
            wrong.append(f"{name}: not in api/reasons.c")
        elif wanted[name] != told[name]:
            wrong.append(f"{name}: the code says {wanted[name]}, the page {told[name]}")
    known = set(wanted)
    trouble = (root / "docs/user/troubleshooting.md").read_text()
    for name in re.findall(r"reason `(\w+)`", trouble):
        if name not in known:
            wrong.append(f"{name}: docs/user/troubleshooting.md names a reason that does not exist")
    print("\n".join(wrong) or f"{len(wanted)} reasons agree")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
