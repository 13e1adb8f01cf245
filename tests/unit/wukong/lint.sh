#!/bin/sh
# Proves what users of `kubectl wukong lint` rely on: exit codes, file:line:column, the four formats,
# directories, standard input, several documents, JSON, Lists, anchors, text that does not parse.
#   lint.sh KUBECTL_WUKONG
set -eu
lint=$1
docs=$(cd "$(dirname "$0")/../../../docs" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
failures=0

# expect NAME CODE 'grep pattern in the output' ARGUMENTS…
expect() {
    name=$1 code=$2 pattern=$3
    shift 3
    got=0
    "$lint" lint "$@" > out 2>&1 || got=$?
    if [ "$got" != "$code" ] || ! grep -q -- "$pattern" out; then
        echo "FAILED $name: exit $got instead of $code, or no '$pattern' in:" >&2
        sed 's/^/    /' out >&2
        failures=$((failures + 1))
    fi
}

cat > good.yaml <<'YAML'
apiVersion: v1
kind: Service
metadata: {name: other-kinds-are-ignored}
---
# only a comment
---
apiVersion: vm.novasphere.dev/v1alpha1
kind: Wukong
metadata:
  name: web-clone
spec:
  cloneSource: &source
    type: vmi
    vmiName: web
---
apiVersion: vm.novasphere.dev/v1alpha1
kind: ClonePolicy
metadata: {name: p}
spec: {rules: {cloneTypes: [full]}}
YAML
cat > bad.yaml <<'YAML'
apiVersion: vm.novasphere.dev/v1alpha1
kind: Wukong
metadata:
  name: web-clone
spec:
  replicas: 500
  cloneSource:
    type: vmi
    vmiName: web
    clonetype: linked
YAML
cat > warn.yaml <<'YAML'
apiVersion: vm.novasphere.dev/v1alpha1
kind: Wukong
metadata: {name: a}
spec:
  memory: 4096
  cloneSource: {type: vmi, vmiName: web}
YAML
cat > merge.yaml <<'YAML'
base: &base {type: vmi, vmiName: web}
---
apiVersion: vm.novasphere.dev/v1alpha1
kind: Wukong
metadata: {name: a}
spec:
  cloneSource:
    <<: {type: vmi, vmiName: web}
    retryLimit: 101
YAML
sed -i 1,2d merge.yaml
cat > anchor.yaml <<'YAML'
apiVersion: vm.novasphere.dev/v1alpha1
kind: Wukong
metadata: {name: a}
spec:
  cloneSource: {type: vmi, vmiName: web}
  disks:
  - &disk {name: a, size: 20Gib}
  - <<: *disk
    name: B
YAML
printf 'kind: Wukong\nspec:\n\treplicas: 1\n' > tab.yaml
printf 'apiVersion: vm.novasphere.dev/v1alpha1\nkind: Wukong\nkind: Wukong\n' > twice.yaml
cat > bad.json <<'JSON'
{"apiVersion": "v1", "kind": "List", "items": [
  {"apiVersion": "vm.novasphere.dev/v1alpha1", "kind": "Wukong", "metadata": {"name": "a"},
   "spec": {"cloneSource": {"type": "vmi", "vmiName": "web", "retryLimit": -1}}}
]}
JSON

expect clean 0 '2 objects in 1 file: 0 errors, 0 warnings' good.yaml
expect value-place 1 'bad.yaml:6:13: error: spec.replicas: Invalid value: 500: ' bad.yaml
expect key-place 1 'bad.yaml:10:5: error: spec.cloneSource.clonetype: .*did you mean "cloneType"' bad.yaml
expect remedy 1 'set a number of VMs, such as 3, or leave it out \[replicas-range\]' bad.yaml
expect warning 0 'warn.yaml:5:11: warning: spec.memory: ' warn.yaml
expect warnings-as-errors 1 'warning: spec.memory' --warnings-as-errors warn.yaml
expect merge 1 'merge.yaml:7:17: error: spec.cloneSource.retryLimit' merge.yaml
expect alias-own-value 1 'anchor.yaml:9:11: error: spec.disks\[1\].name' anchor.yaml
expect alias-merged-value 1 'anchor.yaml:7:27: error: spec.disks\[1\].size' anchor.yaml
expect tab 1 'tab.yaml:3:1: error: line 3, column 1: .*use spaces' tab.yaml
expect duplicate-key 1 'twice.yaml:3:1: error: .*stands here twice' twice.yaml
expect json-list 1 'bad.json:3:76: error: spec.cloneSource.retryLimit' bad.json
expect several-files 1 '3 objects in 2 files' good.yaml bad.yaml
expect missing-file 2 'nope.yaml:1:1: error: No such file .*unreadable' nope.yaml
# One file that cannot be read hides no other.
expect missing-beside-bad 2 'bad.yaml:6:13: error: spec.replicas' nope.yaml bad.yaml
expect missing-last 2 'nope.yaml:1:1: error' bad.yaml nope.yaml
# A report that was cut short is no good one.
for format in text json junit sarif; do
    got=0
    "$lint" lint -o $format good.yaml > /dev/full 2> out || got=$?
    if [ "$got" != 2 ] || ! grep -q 'could not be written' out; then
        echo "FAILED full disk, $format: exit $got" >&2
        failures=$((failures + 1))
    fi
done
# What stands in a manifest, or in the name of a file, never begins a line of its own.
mkdir -p "hostile"
printf 'apiVersion: vm.novasphere.dev/v1alpha1\nkind: Wukong\nmetadata: {name: w}\nspec:\n  "foo\\n::error file=a.c::x\\n\\e[2J\\x9b": 1\n  cpu: "\\n::stop-commands::t"\n' > hostile/a.yaml
cp hostile/a.yaml "hostile/$(printf 'b\n::warning::y.yaml')"
cp hostile/a.yaml "::error::z.yaml"
"$lint" lint hostile "::error::z.yaml" > out 2>&1 && failures=$((failures + 1))
if grep -q '^::' out || LC_ALL=C grep -q "$(printf '[\033\233\r]')" out || ! grep -q '::error file=a.c::x' out; then
    echo "FAILED hostile text:" >&2
    sed 's/^/    /' out >&2
    failures=$((failures + 1))
fi
for format in json junit sarif; do
    "$lint" lint -o $format hostile > out 2>&1 && failures=$((failures + 1))
    if LC_ALL=C grep -q "$(printf '[\033\233\r]')" out || grep -q '^::' out; then
        echo "FAILED hostile text as $format" >&2
        failures=$((failures + 1))
    fi
done
# Templates of Helm below a directory, and what is ignored.
mkdir -p chart/templates
printf 'apiVersion: vm.novasphere.dev/v1alpha1\nkind: Wukong\n{{- if .Values.x }}\nmetadata: {}\n{{- end }}\n' > chart/templates/w.yaml
cp bad.yaml chart/values-of-mine.yaml
expect template-named 1 'yaml' chart/templates/w.yaml
expect template-skipped 1 '1 left out' chart
expect ignored-by-name 0 '2 left out' --ignore 'values*.yaml' chart
expect ignored-by-path 0 '2 left out' --ignore 'chart/values-of-*' chart
expect ignored-folder 1 '1 left out' --ignore templates chart
expect ignored-is-for-directories 1 'replicas-range' --ignore '*.yaml' chart/values-of-mine.yaml
expect no-file 2 'Usage' --warnings-as-errors
expect bad-flag 2 'Usage' --nope good.yaml
expect bad-format 2 'unknown format "xml"' -o xml good.yaml
expect help 0 'Exit code: 0 clean' --help
expect policy 1 'ClonePolicy "p": cloneType running is not allowed; use one of: full' --policy good.yaml warn.yaml
expect policy-missing 2 'No such file' --policy nope.yaml good.yaml
cat > limits.yaml <<'YAML'
apiVersion: v1
kind: List
items:
- apiVersion: vm.novasphere.dev/v1alpha1
  kind: ClonePolicy
  metadata: {name: quiet}
  spec: {rules: {quiesce: Required}, validationActions: [Warn]}
- apiVersion: vm.novasphere.dev/v1alpha1
  kind: ClonePolicy
  metadata: {name: others}
  spec: {match: {target: {namespaceSelector: {matchLabels: {a: b}}}}, rules: {maxReplicas: 1}}
YAML
cat > unreadable.yaml <<'YAML'
apiVersion: vm.novasphere.dev/v1alpha1
kind: ClonePolicy
metadata: {name: torn}
spec: {windows: [{schedule: 61 * * * *, duration: 1h}]}
YAML
expect policy-list 0 'warn.yaml:6:.*: warning: spec.cloneSource: ClonePolicy "quiet": quiesce IfAvailable is not allowed' \
    --policy limits.yaml warn.yaml
expect policies-first 1 'ClonePolicy "p": cloneType running' --policy good.yaml --policy limits.yaml warn.yaml
expect policies-second 1 'warning: .*ClonePolicy "quiet": ' --policy good.yaml --policy limits.yaml warn.yaml
expect policy-unknown-labels 1 'ClonePolicy "others": replicas 500 is not allowed; at most 1' --policy limits.yaml bad.yaml
expect policy-unreadable 1 'error: spec.cloneSource: ClonePolicy "torn" cannot be read, so it denies' \
    --policy unreadable.yaml warn.yaml
expect policy-none 2 'bad.yaml: holds no ClonePolicy' --policy bad.yaml good.yaml

mkdir -p tree/sub tree/.git
cp bad.yaml tree/sub/a.yml
cp bad.yaml tree/.git/hidden.yaml
cp bad.yaml tree/notes.txt
echo '{{ if .Values.x }}' > tree/template.yaml
expect directory 1 'tree/sub/a.yml:6:13: error: ' tree
expect directory-files 1 '1 object in 2 files: 2 errors' tree
echo 'apiVersion: vm.novasphere.dev/v1alpha1: {' > tree/broken.yaml
expect directory-broken 1 'tree/broken.yaml:1:' tree

code=0
"$lint" lint - < bad.yaml > out || code=$?
[ "$code" = 1 ] && grep -q '^-:6:13: error: ' out || { echo "FAILED stdin" >&2; failures=$((failures + 1)); }

for format in json junit sarif; do
    code=0
    "$lint" lint -o $format bad.yaml warn.yaml good.yaml > "out.$format" || code=$?
    [ "$code" = 1 ] || { echo "FAILED $format: exit $code" >&2; failures=$((failures + 1)); }
done
if command -v python3 > /dev/null; then
    python3 - <<'PYTHON' || failures=$((failures + 1))
import json
import xml.dom.minidom
j = json.load(open("out.json"))
assert (j["files"], j["objects"], j["errors"], j["warnings"]) == (3, 4, 2, 1), j
f = j["findings"][0]
assert (f["file"], f["line"], f["column"], f["rule"], f["severity"]) == ("bad.yaml", 6, 13, "replicas-range", "error"), f
s = json.load(open("out.sarif"))
assert s["version"] == "2.1.0"
run = s["runs"][0]
rules = {r["id"] for r in run["tool"]["driver"]["rules"]}
assert len(run["results"]) == 3
assert {"yaml", "policy", "kind", "unreadable"} <= rules
for r in run["results"]:
    assert r["ruleId"] in rules and r["level"] in ("error", "warning") and r["message"]["text"]
    region = r["locations"][0]["physicalLocation"]["region"]
    assert region["startLine"] >= 1 and region["startColumn"] >= 1
x = xml.dom.minidom.parse("out.junit").documentElement
assert x.getAttribute("tests") == "4" and x.getAttribute("failures") == "2"
assert len(x.getElementsByTagName("testcase")) == 4 and len(x.getElementsByTagName("failure")) == 2
PYTHON
fi
# The recipes of docs/user/lint.md: each command line in them runs as it stands there and finds the mistake.
mkdir -p recipes/manifests bin
ln -s "$lint" bin/kubectl-wukong
cp bad.yaml recipes/manifests/
sed -n '/^```yaml/,/^```$/s/.*\(kubectl-wukong lint .*\)/\1/p' "$docs/user/lint.md" > commands
[ "$(wc -l < commands)" = 3 ] || { echo "FAILED recipes: not three commands in docs/user/lint.md" >&2; failures=$((failures + 1)); }
while read -r command; do
    case $command in *manifests*) ;; *) command="$command manifests/bad.yaml" ;; esac # pre-commit adds files
    code=0
    (cd recipes && PATH="$dir/bin:$PATH" sh -c "$command" > out 2>&1) || code=$?
    if [ "$code" != 1 ] || ! cat recipes/* 2> /dev/null | grep -q replicas-range; then
        echo "FAILED recipe '$command': exit $code" >&2
        failures=$((failures + 1))
    fi
    rm -f recipes/out recipes/wukong.*
done < commands
if [ "$failures" != 0 ]; then
    echo "lint: $failures failed" >&2
    exit 1
fi
