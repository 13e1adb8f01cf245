#!/usr/bin/env python3
"""Proves that the links of all pages lead somewhere: files that exist, headings that the page has; that every page is
reached from docs/README.md; and that what code and tests call docs/….md is there.

usage: check_links.py [ROOT]
"""

import re
import sys
from pathlib import Path

LINK = re.compile(r"\]\(([^)\s#]*)(#[^)\s]*)?\)")
NAMED = re.compile(r"(?<![\w/.-])docs/[\w/.-]+\.(?:md|lua)\b")
SOURCES = ("*.c", "*.h", "*.py", "*.md", "*.yaml", "*.txt", "*.sh", "*.tpl", "run", "demo", "make", "chroot", "build")
SKIPPED = {"build", ".git", "corpus", "node_modules"}


def files(root, patterns):
    for pattern in patterns:
        for path in sorted(root.rglob(pattern)):
            if path.is_file() and not SKIPPED & set(path.relative_to(root).parts):
                yield path


def without_code(text):
    return re.sub(r"`[^`\n]*`", "``", re.sub(r"(?ms)^ *```.*?^ *```", "", text))


def anchors(text):
    """As GitHub makes them of headings: small letters, digits and dashes; a second of a name gets a number."""
    found, seen = set(), {}
    for heading in re.findall(r"(?m)^#+ (.*)$", re.sub(r"(?ms)^ *```.*?^ *```", "", text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
        name = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        count = seen.get(name, 0)
        seen[name] = count + 1
        found.add(f"{name}-{count}" if count else name)
    return found


def main():
    root = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else Path(__file__).resolve().parents[2]
    wrong, reached, checked = [], {}, 0
    for page in files(root, ["*.md"]):
        text = without_code(page.read_text())
        for target, anchor in LINK.findall(text):
            if re.match(r"[a-z]+:", target):
                continue
            checked += 1
            path = (page.parent / target).resolve() if target else page
            where = f"{page.relative_to(root)}: ({target}{anchor})"
            if not path.exists():
                wrong.append(f"{where} leads nowhere")
                continue
            reached.setdefault(page, set()).add(path)
            if anchor and path.suffix == ".md" and anchor[1:] not in anchors(path.read_text()):
                wrong.append(f"{where}: that page has no such heading")
    known, todo = set(), [root / "docs/README.md"]
    while todo:
        page = todo.pop()
        if page not in known:
            known.add(page)
            todo += reached.get(page, ())
    for page in files(root / "docs", ["*.md"]):
        if page not in known:
            wrong.append(f"{page.relative_to(root)}: no link leads there from docs/README.md")
    for path in files(root, SOURCES):
        text = re.sub(r'" / "', "/", path.read_text(errors="replace"))  # as Python joins them
        for name in set(NAMED.findall(text.replace('"docs/', '" docs/'))):
            if not (root / name).is_file():
                wrong.append(f"{path.relative_to(root)}: names {name}, which is not there")
    print("\n".join(wrong) or f"{checked} links lead somewhere")
    return 1 if wrong or checked < 100 else 0


if __name__ == "__main__":
    sys.exit(main())
