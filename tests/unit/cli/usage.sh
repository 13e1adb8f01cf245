#!/bin/sh
# Proves what can be seen of the verbs without a cluster: help of each, wrong usage with the nearest
# name, what `clone --dry-run=client` writes, and what is said when no server answers.
#   usage.sh KUBECTL_WUKONG
set -eu
wukong=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
HOME=$dir
export HOME
unset KUBECONFIG KUBERNETES_SERVICE_HOST
failures=0

# expect CODE 'pattern in the output' ARGUMENTS…
expect() {
    code=$1 pattern=$2
    shift 2
    got=0
    "$wukong" "$@" > out 2>&1 || got=$?
    if [ "$got" != "$code" ] || ! grep -q -- "$pattern" out; then
        echo "FAILED $*: exit $got instead of $code, or no '$pattern' in:" >&2
        sed 's/^/    /' out >&2
        failures=$((failures + 1))
    fi
}

for verb in clone plan status why lint list explain completion; do
    expect 0 "kubectl wukong $verb" "$verb" -h
    expect 0 "kubectl wukong $verb" help "$verb"
    expect 0 '[Ee]xit code' "$verb" --help
done
for verb in clone plan status why; do
    expect 0 '^Examples:' "$verb" -h
    expect 0 '--kubeconfig FILE' "$verb" -h
    expect 2 "unknown flag: --contxt (did you mean --context?)" "$verb" --contxt=a x
    expect 2 "kubectl wukong $verb -h" "$verb"
    expect 2 'only one\|one NAME' "$verb" a b
    # No kubeconfig at all, then one whose server is not there.
    expect 1 'error: ' "$verb" x
done
expect 0 'kubectl wukong status' -h
expect 2 'did you mean status?' statsu copy
# As kubectl takes its own: what chooses the cluster may stand before the verb.
expect 2 'did you mean status?' -n prod --context=a statsu copy
expect 2 'needs --watch' -n prod status x --timeout=5s
expect 0 'kubectl wukong status' --context a status -h
expect 2 'unknown flag "--no-such"' --no-such status copy
expect 2 'contradicts --watch' status x -w -o json
expect 2 'must be one of json, yaml' why x -o xml
expect 2 'no arguments' list x
expect 0 'what to do:  ' explain replicas-range
expect 2 'did you mean replicas-range?' explain replicas-rang
expect 2 'id of one RULE' explain
for shell in bash zsh fish; do expect 0 'kubectl-wukong __complete' completion "$shell"; done
expect 2 'completion bash|zsh|fish' completion tcsh
expect 0 '^status	' __complete sta
expect 0 '^--watch	' __complete -n prod status --wa
expect 0 '^--clone-type=linked	' __complete clone --
expect 0 '^:0$' __complete lint ''
expect 0 '^:4$' __complete status ''
expect 2 'needs --watch' status x --timeout=5s
expect 2 'must be a duration' status x -w --timeout=5

cat > config <<'YAML'
apiVersion: v1
kind: Config
current-context: a
contexts: [{name: a, context: {cluster: a, user: a}}]
clusters: [{name: a, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: a, user: {}}]
YAML
KUBECONFIG=$dir/config
export KUBECONFIG
expect 1 'Unable to connect to the server' status x
expect 1 'http://127.0.0.1:1' status x -w
expect 1 'Unable to connect to the server' why x
expect 1 'Unable to connect to the server' clone x
expect 1 'Unable to connect to the server' list
expect 1 'there is no context' --kubeconfig=config --context none -n prod status copy
expect 1 'there is no context' -nprod --kubeconfig config status --context=none copy
expect 1 'needs --as' clone x --as-group g
expect 1 'control character' clone x --as 'a
b'

expect 2 'must be NAME, vm/NAME or vmi/NAME' clone pod/x
expect 2 'contradicts' clone vm/x --type vmi
expect 2 'did you mean running?' clone x --clone-type runing
expect 2 'nothing to wait for' clone x --dry-run=client -w
expect 1 'spec.replicas' clone x --dry-run=client --replicas 101
expect 1 'spec.disks\[0\].size' clone x --dry-run=client --disk root=big
expect 0 'wukong.vm.novasphere.dev/x-clone created (dry run)' clone x --dry-run=client
expect 0 '^wukong.vm.novasphere.dev/y$' clone x --name y --dry-run=client -o name

"$wukong" clone vm/golden --name lab -n dev --source-namespace images --clone-type linked --replicas 3 \
    --cpu 4 --memory 8Gi --quiesce Required --snapshot-class fast --snapshot-method Auto --group-snapshot-class gold --no-start --disk root=40Gi,ssd \
    --allow-secret keys --allow-secret robot --disk data --disk log,ssd --dry-run=client -o yaml > lab.yaml
cat > expected.yaml <<'YAML'
apiVersion: vm.novasphere.dev/v1alpha1
kind: Wukong
metadata:
  name: lab
  namespace: dev
spec:
  cpu: 4
  memory: "8Gi"
  cloneSource:
    type: vm
    vmName: golden
    namespace: images
    cloneType: linked
    quiesce: Required
    snapshotMethod: Auto
    volumeSnapshotClassName: fast
    volumeGroupSnapshotClassName: gold
    allowSecrets:
    - keys
    - robot
  disks:
  - name: root
    size: "40Gi"
    storageClassName: ssd
  - name: data
  - name: log
    storageClassName: ssd
  replicas: 3
  startStrategy:
    autoStart: false
YAML
if ! diff expected.yaml lab.yaml >&2; then
    echo "FAILED: what clone writes" >&2
    failures=$((failures + 1))
fi
expect 0 '' lint lab.yaml

exit "$failures"
