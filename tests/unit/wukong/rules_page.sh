#!/bin/sh
# Proves that docs/user/rules.md is what the table of rules prints today.
#   rules_page.sh KUBECTL_WUKONG DOCS_RULES_MD
set -eu
"$1" rules | diff -u "$2" - || {
    echo "docs/user/rules.md is old: run kubectl-wukong rules > docs/user/rules.md" >&2
    exit 1
}
