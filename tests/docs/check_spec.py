#!/usr/bin/env python3
"""Proves that docs/user/spec.md shows every field of the CRD's spec, and that each of its manifests passes the webhook's
own rules, as `kubectl wukong lint` applies them. The manifests of the other pages for users are judged too.

usage: check_spec.py KUBECTL_WUKONG [ROOT]
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

HEAD = "apiVersion: vm.novasphere.dev/v1alpha1\nkind: {}\nmetadata: {{name: copy}}\n"
# Said in words: with them a manifest would be refused, or they are the VM creator's and rest on a snapshot of its own.
IN_WORDS = {"password", "restoreFromSnapshot"}


def fields(crd):
    """The names of all properties below spec."""
    lines = crd.split("\n")
    begin = lines.index("          spec:")
    stack, found = [], set()
    for line in lines[begin:lines.index("          status:")]:
        match = re.match(r"^(\s*)([A-Za-z]\w*):", line)
        if not match:
            continue
        indent, name = len(match.group(1)), match.group(2)
        while stack and stack[-1][0] >= indent:
            stack.pop()
        # What is below overrides is KubeVirt's.
        if stack and stack[-1][1] == "properties" and "overrides" not in [n for _, n in stack]:
            found.add(name)
        stack.append((indent, name))
    return found


def manifests(text):
    """(line, manifest) of each yaml block that is a Wukong or the spec of one."""
    for match in re.finditer(r"(?ms)^```yaml\n(.*?)^```", text):
        body, line = match.group(1), text.count("\n", 0, match.start()) + 2
        if re.search(r"(?m)^kind: (Wukong|ClonePolicy)$", body):
            yield line, body
        elif body.startswith("spec:\n"):
            policy = re.search(r"(?m)^  (match|rules|limits|windows|validationActions):", body)
            if not policy and "cloneSource" not in body and not re.search(r"(?m)^  (cpu|disks):", body):
                body = body.replace("spec:\n", "spec:\n  cloneSource: {type: vmi, vmiName: shop}\n", 1)
            yield line, HEAD.format("ClonePolicy" if policy else "Wukong") + body


def main():
    program = sys.argv[1]
    root = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).resolve().parents[2]
    wrong, judged = [], 0
    page = (root / "docs/user/spec.md").read_text()
    shown = "\n".join(body for _, body in manifests(page))
    for name in sorted(fields((root / "charts/wukong/files/crds/wukong.yaml").read_text())):
        if not re.search(rf"\b{name}:", shown) and not (name in IN_WORDS and f"`{name}`" in page):
            wrong.append(f"docs/user/spec.md: no manifest shows {name}")
    pages = [*(root / "docs/user").glob("*.md"), root / "docs/admin/policy.md", root / "README.md"]
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted(pages):
            for line, body in manifests(path.read_text()):
                judged += 1
                file = Path(folder) / "manifest.yaml"
                file.write_text(body)
                done = subprocess.run([program, "lint", str(file)], stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, text=True, check=False)
                if done.returncode or not done.stdout.startswith("1 object"):
                    wrong.append(f"{path.relative_to(root)}:{line}: {done.stdout}")
    print("\n".join(wrong) or f"{judged} manifests pass, every field is shown")
    return 1 if wrong or judged < 20 else 0


if __name__ == "__main__":
    sys.exit(main())
