"""Proves what `kubectl wukong` tells, with a user's own rights, against what then happens.

kim may write Wukongs in one namespace and read its machines and claims; what lies outside of namespaces
(classes, policies) only who is told so. A plan is held against the names and sizes that the worker then
makes; what a terminal shows is read from a screen that obeys it (tests/unit/cli/terminal.py).
"""

import json
import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "unit" / "cli"))

from bedlib import harness, objects, vms  # noqa: E402
from terminal import Terminal  # noqa: E402

harness.quick_storage()
RBAC = "rbac.authorization.k8s.io"
MIB = 1 << 20
NAMESPACED = [
    {"apiGroups": ["vm.novasphere.dev"], "resources": ["wukongs"], "verbs": ["*"]},
    {"apiGroups": ["kubevirt.io"], "resources": ["virtualmachines", "virtualmachineinstances"],
     "verbs": ["get", "list"]},
    {"apiGroups": [""], "resources": ["persistentvolumeclaims", "resourcequotas"],
     "verbs": ["get", "list"]},
]
CLUSTER = [
    {"apiGroups": ["storage.k8s.io"], "resources": ["storageclasses", "csidrivers"], "verbs": ["list"]},
    {"apiGroups": ["snapshot.storage.k8s.io"], "resources": ["volumesnapshotclasses"], "verbs": ["list"]},
    {"apiGroups": ["groupsnapshot.storage.k8s.io"], "resources": ["volumegroupsnapshotclasses"],
     "verbs": ["list"]},
    {"apiGroups": ["vm.novasphere.dev"], "resources": ["clonepolicies"], "verbs": ["list"]},
    {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]},
]


class CommandLine(vms.Concurrent):
    def setUp(self):
        super().setUp()
        self.user = f"kim-{self.namespace}"
        self.config = str(self.bed.user_kubeconfig(self.user))
        self.wukong_program = str(harness.program("kubectl-wukong"))
        self.bind("Role", "kim", NAMESPACED, self.namespace)

    def bind(self, kind, name, rules, namespace=None):
        meta = {"name": name, **({"namespace": namespace} if namespace else {})}
        self.cleanup_object({"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": meta, "rules": rules})
        self.cleanup_object({"apiVersion": f"{RBAC}/v1", "kind": f"{kind}Binding", "metadata": meta,
                             "roleRef": {"apiGroup": RBAC, "kind": kind, "name": name},
                             "subjects": [{"apiGroup": RBAC, "kind": "User", "name": self.user}]})

    def may_read_the_cluster(self):
        self.bind("ClusterRole", f"kim-{self.namespace}", CLUSTER)
        self.wait_for(lambda: self.run_wukong("plan", "-", stdin=self.manifest("probe")).stdout
                      .count("you may not") == 0, 20, "the rights to be there")

    def environment(self, **more):
        return {"HOME": str(self.bed.data), "KUBECONFIG": self.config, "TERM": "xterm", "LANG": "C.UTF-8",
                "PATH": f"{Path(self.wukong_program).parent}:{os.environ['PATH']}",
                "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", ""), **more}

    def run_wukong(self, *arguments, stdin=None, code=None):
        done = subprocess.run([self.wukong_program, arguments[0], "-n", self.namespace, *arguments[1:]],
                              input=stdin, capture_output=True, text=True, timeout=120,
                              env=self.environment())
        if code is not None:
            self.assertEqual(code, done.returncode, done.stdout + done.stderr)
        self.assertNotIn("Sanitizer", done.stderr)
        return done

    def plan(self, what, code, **arguments):
        done = self.run_wukong("plan", what, "-o", "json", code=code, **arguments)
        return json.loads(done.stdout)

    def manifest(self, name, source="src", clone_source=None, **spec):
        return json.dumps({"apiVersion": vms.WUKONG_API, "kind": "Wukong",
                           "metadata": {"name": name, "namespace": self.namespace},
                           "spec": {"cloneSource": {"type": "vmi", "vmiName": source,
                                                    **(clone_source or {})}, **spec}})

    def notes(self, plan, kind):
        return [f"{n['subject']}: {n['text']}" for n in plan["notes"] if n["kind"] == kind]

    # ---- plan -----------------------------------------------------------------------------------

    def test_a_plan_foretells_what_the_worker_makes(self):
        source = self.source(disks=("root", "data"), size=("64Mi", "96Mi"))
        self.may_read_the_cluster()
        later = (datetime.now(timezone.utc) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.clone("copy", source, clone_source={"notBefore": later}, replicas=2,
                   disks=[{"name": "root", "size": "128Mi"}, {"name": "data"}])
        self.wait_reason("copy", "Ready", "NotBefore")
        plan = self.plan("copy", 0)
        self.assertEqual(("runs", later, True), (plan["verdict"], plan["startTime"], plan["stored"]))
        self.assertEqual({"freeze": True, "startsSource": False, "consistency": "FilesystemConsistent"},
                         plan["cut"])
        self.assertEqual([("root", 64 * MIB, 128 * MIB, "SnapshotRestore", "file", "file"),
                          ("data", 96 * MIB, 96 * MIB, "SnapshotRestore", "file", "file")],
                         [(d["name"], d["sourceBytes"], d["bytes"], d["method"], d["storageClass"],
                           d["snapshot"]["class"]) for d in plan["disks"]])
        self.assertEqual("default of its driver", plan["disks"][0]["snapshot"]["classBecause"])
        mark = self.bed.audit_mark()
        self.kube.patch(vms.WUKONG_API, "Wukong", self.namespace, "copy",
                        {"spec": {"cloneSource": {"notBefore": None}}})
        found = self.wait_ended("copy", timeout_s=120)
        made = self.kube.get(vms.KUBEVIRT_API, "VirtualMachine", self.namespace, "copy-vm-0")
        self.assert_within(plan["virtualMachine"]["spec"], made["spec"], "spec")
        made = {}
        for verb, resource, name in self.writes_in(self.namespace, mark):
            if verb == "create":
                made.setdefault(resource, set()).add(name)
        snapshots = {d["snapshot"]["name"] for d in plan["disks"]}
        self.assertEqual(snapshots, set(vms.clone_status(found)["snapshotNames"]))
        self.assertEqual(snapshots, made["volumesnapshots"])
        self.assertEqual({t["vmName"] for t in plan["targets"]}, made["virtualmachines"])
        self.assertEqual({c for t in plan["targets"] for c in t["claims"]}, made["persistentvolumeclaims"])
        self.assertEqual(sum(self.asked(c) for c in made["persistentvolumeclaims"]),
                         plan["cost"]["claimBytes"])
        self.assertEqual(plan["cut"]["consistency"], vms.clone_status(found)["consistency"])
        counts = {k["kind"]: (k["count"], k["temporary"]) for k in plan["cost"]["kinds"]}
        self.assertEqual({"VolumeSnapshot": (2, True), "VolumeSnapshotContent": (2, True),
                          "PersistentVolumeClaim": (4, False), "VirtualMachine": (2, False)}, counts)
        self.assertIn("it has ended", self.run_wukong("plan", "copy", code=0).stdout)
        self.assertEqual("ended", self.plan("copy", 0)["verdict"])

    def assert_within(self, wanted, found, path):
        """Each field that was foretold is there; KubeVirt adds others."""
        if isinstance(wanted, dict):
            for key, value in wanted.items():
                self.assertIn(key, found, path)
                self.assert_within(value, found[key], f"{path}.{key}")
        elif isinstance(wanted, list):
            self.assertEqual(len(wanted), len(found), path)
            for i, value in enumerate(wanted):
                self.assert_within(value, found[i], f"{path}[{i}]")
        else:
            self.assertEqual(wanted, found, path)

    def test_a_plan_builds_the_machine_and_looks_for_what_it_names(self):
        """shared/cases 17: hugepages that do not fit are foretold; a Secret is asked for without its content."""
        source = self.source(owned=True)
        self.bind("Role", "kim-more", [
            {"apiGroups": ["apps"], "resources": ["controllerrevisions"], "verbs": ["get"]},
            {"apiGroups": [""], "resources": ["secrets", "configmaps"], "verbs": ["get"]}], self.namespace)
        self.may_read_the_cluster()
        text = json.dumps(objects.wukong(self.namespace, "w", {
            "cloneSource": source.spec(), "guest": {"cloudInit": "Replace", "userDataSecret": "init"},
            "target": {"overrides": {"template": {"spec": {"evictionStrategy": "None"}}}}}))
        plan = self.plan("-", 1, stdin=text)
        self.assertEqual("None", plan["virtualMachine"]["spec"]["template"]["spec"]["evictionStrategy"])
        self.assertIn("Secret init: it is not there", "\n".join(self.notes(plan, "waits")))
        shown = " ".join(self.run_wukong("plan", "-", stdin=text, code=1).stdout.split())
        self.assertIn('template.spec.evictionStrategy: "None" is new', shown)
        self.kube.create({"apiVersion": "v1", "kind": "Secret", "stringData": {"userdata": "hush"},
                          "metadata": {"namespace": self.namespace, "name": "init"}})
        plan = self.plan("-", 0, stdin=text)
        self.assertNotIn("hush", json.dumps(plan))

    def asked(self, claim):
        size = self.claim(claim)["spec"]["resources"]["requests"]["storage"]
        return int(size[:-2]) * MIB if size.endswith("Mi") else int(size)

    def test_a_plan_names_what_may_not_be_read_and_tells_the_rest(self):
        self.source()
        shown = " ".join(self.run_wukong("plan", "-", stdin=self.manifest("copy"), code=0).stdout.split())
        for right in ("list storageclasses.storage.k8s.io", "list clonepolicies.vm.novasphere.dev",
                      "list volumesnapshotclasses.snapshot.storage.k8s.io"):
            self.assertIn(f"you may not {right}", shown)
        self.assertIn("it would run now", shown)
        self.assertIn("claim " + self.namespace + "/src-data-0, 64Mi", shown)
        self.assertIn("FilesystemConsistent", shown)
        other = self.user
        self.user = f"lou-{self.namespace}"
        self.config = str(self.bed.user_kubeconfig(self.user))
        try:
            shown = " ".join(self.run_wukong("plan", "-", stdin=self.manifest("copy"), code=1).stdout.split())
            self.assertIn(f"you may not create wukongs.vm.novasphere.dev in namespace {self.namespace}", shown)
            self.assertIn("get virtualmachineinstances.kubevirt.io", shown)
            self.assertIn("copy-vm", shown)
        finally:
            self.user = other

    def test_a_plan_is_refused_as_the_api_server_refuses(self):
        self.source()
        self.may_read_the_cluster()
        text = self.manifest("small", disks=[{"name": "root", "size": "1Mi"}, {"name": "rot"}], replicas=500)
        plan = self.plan("-", 1, stdin=text)
        self.assertEqual("refused", plan["verdict"])
        refused = self.bed.kubectl("create", "-f", "-", stdin=text, check=False)
        causes = [line[2:] for line in refused.stderr.splitlines() if line.startswith("* ")]
        self.assertGreaterEqual(len(causes), 3, refused.stderr)
        known = self.notes(plan, "refused")
        for cause in causes:
            self.assertIn(cause, known)

    def test_a_plan_tells_what_an_admin_has_to_mend(self):
        self.source()
        self.kube.create({"apiVersion": "v1", "kind": "ResourceQuota",
                          "metadata": {"name": "small", "namespace": self.namespace},
                          "spec": {"hard": {"requests.storage": "100Mi"}}})
        self.kube.create(objects.claim(self.namespace, "copy-root", size="1Mi"))
        self.wait_for(lambda: (self.kube.get("v1", "ResourceQuota", self.namespace, "small")
                               .get("status") or {}).get("used", {}).get("requests.storage") == "65Mi",
                      30, "the quota to be counted")
        plan = self.plan("-", 1, stdin=self.manifest("copy"))
        self.assertEqual("waits", plan["verdict"])
        waits = "\n".join(self.notes(plan, "waits"))
        self.assertIn("ResourceQuota small: requests.storage: the clone needs 64Mi, 35Mi of 100Mi are left", waits)
        self.assertIn("PersistentVolumeClaim copy-root: exists and is not this clone's", waits)
        missing = self.plan("-", 1, stdin=self.manifest("other", "nobody"))
        self.assertIn("the source does not exist yet", "\n".join(self.notes(missing, "waits")))

    def test_a_plan_is_held_by_policies_until_their_windows_open(self):
        self.source()
        self.may_read_the_cluster()
        match = {"target": {"namespaceSelector": {"matchLabels": {
            "kubernetes.io/metadata.name": self.namespace}}}}
        self.cleanup_object({"apiVersion": vms.WUKONG_API, "kind": "ClonePolicy",
                             "metadata": {"name": f"leap-{self.namespace}"},
                             "spec": {"match": match, "limits": {"concurrentPerSource": 2},
                                      "windows": [{"schedule": "0 0 29 2 *", "duration": "1h"}]}})
        plan = self.plan("-", 0, stdin=self.manifest("copy"))
        self.assertEqual([f"leap-{self.namespace}"], plan["policies"])
        self.assertRegex(plan["startTime"], r"^20\d\d-02-29T00:00:00Z$")
        self.assertIn(plan["startTime"], "\n".join(self.notes(plan, "later")))
        shown = " ".join(self.run_wukong("plan", "-", stdin=self.manifest("copy"), code=0).stdout.split())
        self.assertIn(f"leap-{self.namespace} holds it until its window opens; judged when it runs: "
                      "concurrentPerSource 2", shown)
        self.assertEqual(0, self.bed.kubectl("create", "-f", "-", stdin=self.manifest("copy"),
                                             kubeconfig=self.config).returncode)
        self.addCleanup(self.kube.delete, vms.WUKONG_API, "Wukong", self.namespace, "copy")
        self.wait_reason("copy", "PolicyAllowed", "OutsideWindow")
        why = self.run_wukong("why", "copy", code=3).stdout
        self.assertIn(plan["startTime"], why)
        self.assertIn(f"leap-{self.namespace}", why)
        self.cleanup_object({"apiVersion": vms.WUKONG_API, "kind": "ClonePolicy",
                             "metadata": {"name": f"one-{self.namespace}"},
                             "spec": {"match": match, "rules": {"maxReplicas": 1}}})

        def refused():
            plan = json.loads(self.run_wukong("plan", "-", "-o", "json",
                                              stdin=self.manifest("three", replicas=3)).stdout)
            return plan if len(self.notes(plan, "refused")) == 2 else None
        plan = self.wait_for(refused, 20, "the webhook to know the policy")
        self.assertEqual("refused", plan["verdict"])
        self.assertEqual(2, sum("replicas 3 is not allowed; at most 1" in n
                                for n in self.notes(plan, "refused")), "ours and the API server's")

    def test_a_plan_across_namespaces_needs_the_right_to_clone(self):
        other = self.make_namespace(self.namespace + "-src")
        self.source(namespace=other)
        self.may_read_the_cluster()
        text = self.manifest("copy", clone_source={"namespace": other})
        refused = "\n".join(self.notes(self.plan("-", 1, stdin=text), "refused"))
        self.assertIn(f'you may not clone "src" of namespace {other}', refused)
        self.assertIn("denied the request", refused, "the webhook's own answer")
        self.bind("Role", "source", NAMESPACED[1:] + [
            {"apiGroups": ["vm.novasphere.dev"], "resources": ["wukongs/source"], "verbs": ["create"]}], other)
        self.wait_for(lambda: self.run_wukong("plan", "-", stdin=text).returncode == 0, 20,
                      "the rights to be there")
        plan = self.plan("-", 0, stdin=text)
        self.assertEqual(["SnapshotHandleCopy"], [d["method"] for d in plan["disks"]])
        self.assertEqual(other, plan["disks"][0]["snapshot"]["namespace"])
        counts = {k["kind"]: k["count"] for k in plan["cost"]["kinds"]}
        self.assertEqual((2, 2), (counts["VolumeSnapshot"], counts["VolumeSnapshotContent"]))

    # ---- status, why ----------------------------------------------------------------------------

    def watch(self, name, *arguments):
        return subprocess.Popen([self.wukong_program, "status", name, "-w", "-n", self.namespace, *arguments],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                env=self.environment())

    def terminal(self, name, columns, rows):
        return Terminal(columns, rows, [self.wukong_program, "status", name, "-w", "-n", self.namespace],
                        self.environment())

    def test_a_clone_is_watched_in_a_terminal_and_in_a_pipe(self):
        source = self.source(disks=("root", "data"))
        self.clone("copy", source)
        small = self.terminal("copy", 40, 12)
        pipe = self.watch("copy", "--timeout=2m")
        self.assertEqual(0, small.wait_ended(90))
        out, err = pipe.communicate(timeout=90)
        self.assertEqual((0, ""), (pipe.returncode, err))
        self.assertEqual([], small.screen.problems)
        self.assertEqual("copy  Succeeded  100%", small.screen.text().splitlines()[0])
        self.assertEqual(["data", "root"], sorted(line.split()[0] for line in small.screen.text().splitlines()[1:]
                                                  if line.endswith(" 100%")), small.screen.text())
        self.assertNotIn("\x1b", out)
        lines = out.splitlines()
        self.assertEqual(len(lines), len([a for a, b in zip(lines, [None, *lines]) if a != b]))
        self.assertEqual("copy Succeeded 100% disks 2/2", lines[-1])
        self.assertIn("FilesystemConsistent", self.run_wukong("why", "copy", code=0).stdout)

    def test_thirty_disks_are_watched_in_twenty_four_lines(self):
        source = self.source(disks=[f"d{i:02}" for i in range(30)], size="1Mi")
        self.clone("many", source)
        t = self.terminal("many", 80, 24)
        self.assertEqual(0, t.wait_ended(180))
        self.assertEqual(([], []), (t.screen.problems, t.screen.scrolled))
        self.assertIn("many  Succeeded  100%", t.screen.text())
        self.assertIn("more: ", t.screen.text())

    def test_a_clone_that_fails_says_why_and_how_to_try_again(self):
        self.clone("late", clone_source={"type": "vmi", "vmiName": "nobody", "deadlineSeconds": 12})
        self.wait_reason("late", "Ready", "SourceNotFound")
        why = self.run_wukong("why", "late", code=3).stdout
        self.assertIn("late waits: SourceNotFound", why)
        self.assertIn("what to do: Create the source", why)
        self.assertRegex(why, r"gives up: +\S+Z \(in \S+\)")
        self.assertEqual(3, self.run_wukong("status", "late").returncode)
        pipe = self.watch("late")
        out, err = pipe.communicate(timeout=120)
        self.assertEqual(1, pipe.returncode, out + err)
        self.assertIn("late Failed", out.splitlines()[-1])
        why = self.run_wukong("why", "late", code=1).stdout
        self.assertIn("late has failed: DeadlineExceeded", why)
        self.assertIn(f"kubectl annotate wukong -n {self.namespace} late", why)

    def test_one_that_is_deleted_while_it_is_watched(self):
        self.clone("gone", clone_source={"type": "vmi", "vmiName": "nobody"})
        t, pipe = self.terminal("gone", 80, 24), self.watch("gone")
        t.wait_for("SourceNotFound")
        self.kube.delete(vms.WUKONG_API, "Wukong", self.namespace, "gone")
        self.assertEqual(4, t.wait_ended())
        out, _ = pipe.communicate(timeout=30)
        self.assertEqual(4, pipe.returncode, out)
        for shown in (t.screen.text(), out):
            self.assertEqual("gone was deleted", shown.splitlines()[-1])
        self.assertIn('wukongs.vm.novasphere.dev "gone" not found',
                      self.run_wukong("status", "gone", code=1).stderr)

    # ---- clone ----------------------------------------------------------------------------------

    def test_clone_creates_what_it_prints_and_waits(self):
        self.source()
        written = self.run_wukong("clone", "src", "--name", "a", "--dry-run=client", "-o", "yaml", code=0)
        server = self.run_wukong("clone", "src", "--name", "a", "--dry-run=server", code=0)
        self.assertEqual("wukong.vm.novasphere.dev/a created (server dry run)\n", server.stdout)
        self.assertIsNone(self.kube.find(vms.WUKONG_API, "Wukong", self.namespace, "a"))
        done = self.run_wukong("clone", "src", "--name", "a", "--wait", "--timeout", "2m", code=0)
        self.addCleanup(self.kube.delete, vms.WUKONG_API, "Wukong", self.namespace, "a")
        self.assertEqual("wukong.vm.novasphere.dev/a created\na Succeeded 100% disks 1/1\n", done.stdout)
        again = self.run_wukong("clone", "src", "--name", "a", code=1)
        theirs = self.bed.kubectl("create", "-f", "-", stdin=written.stdout, kubeconfig=self.config, check=False)
        self.assertIn("Error from server (AlreadyExists): ", again.stderr)
        self.assertIn(again.stderr.splitlines()[-1].split(": ", 1)[1], theirs.stderr)

    def test_clone_shows_refusals_and_warnings_as_kubectl_does(self):
        self.source(disks=("root", "data"))
        bad = ("clone", "src", "--replicas", "500", "--disk", "root=1Mi", "--disk", "nope")
        text = self.run_wukong(*bad[:2], "--disk", "root=1Mi", "--disk", "nope", "--dry-run=client",
                               "-o", "json", code=0).stdout
        manifest = json.loads(text)
        manifest["spec"]["replicas"] = 500
        ours = self.run_wukong(*bad, code=1).stderr
        theirs = self.bed.kubectl("create", "-f", "-", stdin=json.dumps(manifest), kubeconfig=self.config,
                                  check=False).stderr
        self.assertEqual(theirs.split(), ours.split())
        warned = self.run_wukong("clone", "src", "--disk", "root", "--dry-run=server", code=0)
        self.assertIn("Warning: ", warned.stderr)
        self.assertIn("data", warned.stderr)
        self.bed.kubectl("create", "role", "as", "--verb=get", "--resource=pods", "-n", self.namespace)
        refused = self.run_wukong("clone", "src", "--as", "somebody", code=1)
        self.assertIn('cannot impersonate resource "users"', refused.stderr)

    def test_kubectl_finds_the_plugin(self):
        done = subprocess.run([str(harness.which("kubectl", "kubectl")), "wukong", "status", "nobody", "-n",
                               self.namespace], capture_output=True, text=True, env=self.environment())
        self.assertEqual(1, done.returncode, done.stdout + done.stderr)
        self.assertIn('wukongs.vm.novasphere.dev "nobody" not found', done.stderr)


if __name__ == "__main__":
    harness.main()
