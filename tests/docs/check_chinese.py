#!/usr/bin/env python3
"""Proves that each Chinese page is in step with its English one: the same code blocks byte for byte, as many headings of
the same levels and as many rows of tables in each section, and in each row of a table the same `code`.

usage: check_chinese.py [ROOT]
"""

import re
import sys
from pathlib import Path

PAGES = {"README.zh-CN.md": "README.md", "docs/zh-CN/install.md": "docs/admin/install.md",
         "docs/zh-CN/policy.md": "docs/admin/policy.md", "docs/zh-CN/walkthrough.md": "docs/user/walkthrough.md"}
BLOCK = re.compile(r"(?ms)^```.*?^```$")


def shape(text):
    """(code blocks, level of each heading, the code in each row of each section's tables)."""
    blocks = BLOCK.findall(text)
    levels, rows = [], []
    for line in BLOCK.sub("", text).splitlines():
        if re.match(r"#+ ", line):
            levels.append(len(line.split(" ")[0]))
            rows.append([])
        elif line.startswith("|") and rows:
            rows[-1].append(sorted(set(re.findall(r"`([^`]+)`", line))))
    return blocks, levels, rows


def compare(chinese, english):
    (own, levels, rows), (blocks, wanted, texts) = shape(chinese), shape(english)
    for number, (one, other) in enumerate(zip(own, blocks), 1):
        if one != other:
            yield f"code block {number} differs: {other.splitlines()[1][:60]}"
    if len(own) != len(blocks):
        yield f"{len(own)} code blocks, {len(blocks)} in English"
    if levels != wanted:
        yield f"headings of levels {levels}, in English {wanted}"
        return
    for number, (one, other) in enumerate(zip(rows, texts), 1):
        if len(one) != len(other):
            yield f"section {number}: {len(one)} rows of tables, {len(other)} in English"
            continue
        for here, there in zip(one, other):
            if set(there) - set(here):
                yield f"section {number}: a row lacks {sorted(set(there) - set(here))}"


def main():
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[2]
    wrong = [f"{name}: {what}" for name, english in PAGES.items()
             for what in compare((root / name).read_text(), (root / english).read_text())]
    for path in [*(root / "docs/zh-CN").glob("*.md"), *root.glob("*.zh-CN.md")]:
        if str(path.relative_to(root)) not in PAGES:
            wrong.append(f"{path.relative_to(root)}: whose translation is it? Name it in this test")
    print("\n".join(wrong) or f"{len(PAGES)} Chinese pages are in step")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
