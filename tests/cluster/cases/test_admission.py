"""Proves what users see of admission, through the real API server and the real kubectl.

Refusals name every mistake at once, with field paths; what cannot work in this cluster is refused
with the driver and the remedy; what may still come only warns. Cloning from another namespace needs
the requester's own right there, tried with that user's own credentials: without it not one object of
that namespace is read (the audit log of the API server is the witness), and no answer depends on what
is in it, and what reached the store while the webhook was away is not cloned. UPDATE and DELETE never stand in the way of what is already stored.
"""

import base64
import json
import re
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from bedlib import harness, objects, vms  # noqa: E402
from bedlib.kube import ApiError  # noqa: E402
import test_agreement  # noqa: E402

STAMP = "vm.novasphere.dev/admission"
API = "vm.novasphere.dev/v1alpha1"
READS = {"get", "list", "watch"}
REVIEW = "create /apis/authorization.k8s.io/v1/subjectaccessreviews"


class Admission(vms.CloneCase):
    needs = ("webhook",)

    def wukong_of(self, source, name="w", **spec):
        return objects.wukong(self.namespace, name, {"cloneSource": source, **spec})

    def kubectl_apply(self, obj, *more, kubeconfig=None):
        return self.bed.kubectl("apply", "-f", "-", *more, stdin=json.dumps(obj), check=False,
                                kubeconfig=kubeconfig)

    def webhook_touched(self, mark, namespace):
        """What the webhook read in that namespace since the mark."""
        return [f"{e['verb']} {e['requestURI']}" for e in self.bed.audit_entries(mark)
                if e["user"]["username"] == self.bed.account("webhook")
                and e["verb"] in READS
                and (e.get("objectRef") or {}).get("namespace") == namespace]

    def refused(self, attempt):
        try:
            attempt()
        except ApiError as refusal:
            return refusal.code == 403
        return False

    def without_webhook(self, attempt):
        """As when an admin removed the registrations: nothing of ours sees the request."""
        api = "admissionregistration.k8s.io/v1"
        kept = [c for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
                for c in self.kube.list(api, kind) if "wukong" in c["metadata"]["name"]
                for c in [{**c, "apiVersion": api, "kind": kind}]]
        self.assertEqual(2, len(kept))
        for one in kept:
            self.kube.delete(api, one["kind"], None, one["metadata"]["name"])
        try:
            return attempt()
        finally:
            for one in kept:
                for field in ("uid", "resourceVersion", "creationTimestamp", "generation"):
                    one["metadata"].pop(field, None)
                self.kube.create(one)


class Refusals(Admission):
    def test_kubectl_prints_every_mistake_with_its_field(self):
        done = self.kubectl_apply(objects.wukong(self.namespace, "x", {
            "cpu": 0, "memory": "12 GB", "cloneSource": {"type": "vmi", "vmName": "a"}}))
        self.assertEqual(1, done.returncode)
        self.assertTrue(done.stderr.startswith('The Wukong "x" is invalid: \n'), done.stderr)
        for line in ("* spec.cpu: Invalid value: 0: must be a whole number of cores between 1 and 64",
                     '* spec.memory: Invalid value: "12 GB": ',
                     "* spec.cloneSource.vmiName: Required value: ",
                     "* spec.cloneSource.vmName: Forbidden: "):
            self.assertIn("\n" + line, done.stderr)

    def test_server_side_apply_prints_the_same(self):
        wrong = objects.wukong(self.namespace, "x", {
            "cloneSource": {"type": "vmi"}, "replicas": 101})
        client = self.kubectl_apply(wrong).stderr
        server = self.kubectl_apply(wrong, "--server-side").stderr
        self.assertIn("* spec.cloneSource.vmiName: Required value", server)
        self.assertEqual(client, server)

    def test_ten_mistakes_are_ten_causes(self):
        """Each with field, value, rule and remedy; kubectl shows all, lint says the same."""
        wrong = objects.wukong(self.namespace, "x", {
            "cpu": 65, "memory": "x", "replicas": 0, "reclaimPolicy": "Keep",
            "cloneSource": {"type": "vmi", "vmiName": "a", "cloneType": "runing", "retryLimit": -1,
                            "deadlineSeconds": -1, "notBefore": "tomorrow",
                            "window": {"schedule": "x", "duration": "6h"}},
            "disks": [{"name": "A", "size": "1Gi"}]})
        refusal = self.assert_refused(lambda: self.kube.create(wrong), code=422)
        causes = {(cause["field"], cause["message"]) for cause in refusal.causes()}
        self.assertEqual({"spec.cpu", "spec.memory", "spec.replicas", "spec.reclaimPolicy",
                          *(f"spec.cloneSource.{f}" for f in ("cloneType", "retryLimit", "deadlineSeconds",
                                                              "notBefore", "window.schedule")),
                          "spec.disks[0].name"}, {field for field, _ in causes})
        self.assertEqual(10, len(refusal.causes()))
        self.assertEqual("Invalid", refusal.reason)
        for field, message in causes:
            self.assertRegex(message, r"^(Invalid|Unsupported) value: .+: .+", field)
        told = self.kubectl_apply(wrong).stderr
        for field, message in causes:
            self.assertIn(f"\n* {field}: {message}", told)
        self.assertEqual(causes, self.linted([wrong])[0])

    def linted(self, wukongs, rules=None):
        """{(field, message)} of the errors that `kubectl wukong lint` finds in each; `rules` becomes
        {rule: index of the first that it struck}."""
        with tempfile.TemporaryDirectory() as folder:
            for i, one in enumerate(wukongs):
                (Path(folder) / f"{i:06d}.json").write_text(json.dumps(one))
            done = subprocess.run([test_agreement.program("kubectl-wukong"), "lint", "-o", "json", folder],
                                  capture_output=True, check=False)
        found = [set() for _ in wukongs]
        for one in json.loads(done.stdout)["findings"]:
            i = int(Path(one["file"]).stem)
            if one["severity"] == "error" and one["rule"] != "unknown-field":
                found[i].add((one["field"], one["message"]))
                if rules is not None:
                    rules.setdefault(one["rule"], i)
        return found

    @staticmethod
    def as_stored(told):
        """The API server prunes unknown fields of an object and rounds large numbers before it asks."""
        return {(field, re.sub(r"^Invalid value: (\{.*?\}|\d+): ", "Invalid value: ", message))
                for field, message in told}

    def test_every_rule_of_the_spec_reaches_the_user(self):
        """For each rule an object that it strikes goes through the API server, whose own schema would
        refuse most of them with fewer words: the user reads ours, all that lint found in it."""
        made = [one for _, one in test_agreement.generate(3000, 1)]
        # What that generator leaves as it is.
        for change in ({"metadata": {"name": "Web_1"}}, {"metadata": {"generateName": "W-"}}, {"metadata": {}},
                       {"metadata": {"name": "w", "labels": {"a b": "c"}}}, {"spec": None},
                       {"spec": {"cpu": 1, "memory": "1Gi", "gpus": [{"deviceName": "d"}]}},
                       {"spec": {"cloneSource": {"type": "vmi", "vmiName": "a"},
                                 "guest": {"cloudInit": "Replace", "userData": "a", "resetSSHHostKeys": True}}}):
            made.append({**self.wukong_of({"type": "vmi", "vmiName": "a"}), **change})
        for one in made:
            one["metadata"]["namespace"] = self.namespace
        struck = {}
        found = self.linted(made, struck)
        for rule, i in sorted(struck.items()):
            with self.subTest(rule=rule):
                refusal = self.assert_refused(lambda n=i: self.kube.create(made[n], dry_run=True), code=422)
                self.assertEqual("Invalid", refusal.reason)
                told = {(cause["field"], cause["message"]) for cause in refusal.causes()}
                # The cluster may add what only it knows.
                self.assertEqual(set(), self.as_stored(found[i]) - self.as_stored(told))
        page = (Path(__file__).resolve().parents[3] / "docs" / "user" / "rules.md").read_text()
        listed = {line[0] for line in re.findall(r"^\| `(\S+)` \|(.*)$", page.split("## Changes")[0], re.M)
                  if "| warning |" not in line[1]}
        # Unknown fields are pruned before admission; the path of the request decides about the kind.
        self.assertEqual({"unknown-field", "api-version", "kind"}, listed - set(struck))

    def test_misspelt_values_are_suggested(self):
        """Every field that takes one of a few words, both in a clone and in what the creator knows."""
        rows = {"cloneSource.type": ("vmii", "vmi"), "cloneSource.cloneType": ("linkd", "linked"),
                "cloneSource.quiesce": ("required", "Required"),
                "cloneSource.snapshotMethod": ("VolumeSnapshots", "VolumeSnapshot"),
                "reclaimPolicy": ("retain", "Retain"), "startStrategy.runStrategy": ("Manuall", "Manual"),
                "networks[].type": ("brige", "bridge"), "networks[].ipConfig.mode": ("DHCP", "dhcp"),
                "highAvailability.restartPolicy": ("OnFailed", "OnFailure"),
                "highAvailability.tolerations[].operator": ("Exist", "Exists"),
                "highAvailability.tolerations[].effect": ("NoSchedul", "NoSchedule")}
        for field, (wrong, right) in rows.items():
            spec = {"cloneSource": {"type": "vmi", "vmiName": "a"}}
            test_agreement.place(spec, field, wrong)
            with self.subTest(field=field):
                refusal = self.assert_refused(lambda s=spec: self.kube.create(
                    objects.wukong(self.namespace, "x", s), dry_run=True), code=422)
                self.assertIn(f'did you mean "{right}"?', refusal.message)

    def test_no_snapshot_class_for_the_driver_names_driver_and_remedy(self):
        source = self.source(wait=False)
        self.wait_for(source.find_vmi, 20, "the source")
        name = self.kube.get("v1", "PersistentVolumeClaim", self.namespace,
                             source.claims["root"])["spec"]["storageClassName"]
        driver = self.kube.get("storage.k8s.io/v1", "StorageClass", None, name)["provisioner"]
        classes = [c for c in self.kube.list(objects.SNAPSHOT_API, "VolumeSnapshotClass")
                   if c["driver"] == driver]
        for one in classes:
            self.kube.delete(objects.SNAPSHOT_API, "VolumeSnapshotClass", None, one["metadata"]["name"])
        try:
            done = self.kubectl_apply(self.wukong_of(source.spec()))
            self.assertIn('The Wukong "w" is invalid: spec.cloneSource.volumeSnapshotClassName: ',
                          done.stderr)
            self.assertIn(driver, done.stderr)
            self.assertIn("VolumeSnapshotClass", done.stderr)
        finally:
            for one in classes:
                for field in ("uid", "resourceVersion", "creationTimestamp", "generation"):
                    one["metadata"].pop(field, None)
                one.update(apiVersion=objects.SNAPSHOT_API, kind="VolumeSnapshotClass")
                self.kube.create(one)
        # The class and the Wukong in one breath: the cache may not know it yet, the API server does.
        self.kube.create(self.wukong_of(source.spec()), dry_run=True)

    def test_a_folder_with_class_source_and_clone_is_admitted(self):
        """`kubectl apply -f folder/`: for this driver there is no snapshot class but that of the folder."""
        driver, name = f"{self.namespace}.csi.example.com", f"class-{self.namespace}"
        self.cleanup_object({"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver",
                             "metadata": {"name": driver}, "spec": {"attachRequired": False}})
        wukong = self.wukong_of({"type": "vmi", "vmiName": "src"})
        wanted = {"a-class.json": [objects.storage_class(name, provisioner=driver),
                                   objects.snapshot_class(name, driver=driver)],
                  "b-source.json": [objects.claim(self.namespace, "src-root", storage_class=name),
                                    vms.vmi(self.namespace, "src", vms.machine_spec({"root": "src-root"}))],
                  "c-clone.json": [wukong]}
        for kind in ("VolumeSnapshotClass", "StorageClass"):
            self.addCleanup(self.kube.delete, objects.SNAPSHOT_API if "Snap" in kind else "storage.k8s.io/v1",
                            kind, None, name)
        with tempfile.TemporaryDirectory() as folder:
            for file, items in wanted.items():
                (Path(folder) / file).write_text(json.dumps(
                    {"apiVersion": "v1", "kind": "List", "items": items}))
            done = self.bed.kubectl("apply", "-f", folder, check=False)
        self.assertEqual(0, done.returncode, done.stderr)
        # That the class mattered: without it the same Wukong is refused.
        self.wait_for(lambda: self.kube.find(vms.KUBEVIRT_API, "VirtualMachineInstance", self.namespace,
                                             "src"), 20, "the source")
        self.kube.delete(objects.SNAPSHOT_API, "VolumeSnapshotClass", None, name)
        wukong["metadata"]["name"] = "late"
        self.wait_for(lambda: driver in self.assert_refused(
            lambda: self.kube.create(wukong, dry_run=True), code=422).message, 20, "its refusal")

    def test_a_source_that_lacks_the_disk_is_refused_one_that_is_missing_warns(self):
        missing = self.kubectl_apply(self.wukong_of({"type": "vmi", "vmiName": "later"}),
                                     "--dry-run=server")
        self.assertEqual(0, missing.returncode, missing.stderr)
        self.assertIn("Warning: ", missing.stderr)
        self.assertIn("does not exist yet", missing.stderr)
        source = self.source(wait=False)
        self.wait_for(source.find_vmi, 20, "the source")
        refusal = self.assert_refused(lambda: self.kube.create(self.wukong_of(
            source.spec(), disks=[{"name": "rooot"}, {"name": "root", "size": "1Mi"}])), code=422)
        fields = sorted(cause["field"] for cause in refusal.causes())
        self.assertEqual(2, len(fields), refusal.message)
        self.assertIn("spec.disks[1].size", fields)

    def test_a_dry_run_gets_the_same_answer(self):
        wrong = objects.wukong(self.namespace, "x", {"cloneSource": {"type": "vmi"}})
        real = self.assert_refused(lambda: self.kube.create(wrong), code=422)
        dry = self.assert_refused(lambda: self.kube.create(wrong, dry_run=True), code=422)
        self.assertEqual(real.status, dry.status)

    def test_source_and_clone_applied_together_are_admitted(self):
        """As `kubectl apply -f folder/` and Flux's dry run of a whole stage do it."""
        machine = vms.vmi(self.namespace, "src", vms.machine_spec({"root": "src-root"}))
        listing = {"apiVersion": "v1", "kind": "List", "items": [
            self.wukong_of({"type": "vmi", "vmiName": "src"}), machine]}
        for more in (["--dry-run=server"], []):
            done = self.kubectl_apply(listing, *more)
            self.assertEqual(0, done.returncode, done.stderr)


class Defaults(Admission):
    def test_defaults_are_written_once_and_survive_replace_and_apply(self):
        manifest = self.wukong_of({"type": "vmi", "vmiName": "later"})
        self.kubectl_apply(manifest)
        made = self.wukong("w")
        self.assertEqual("running", made["spec"]["cloneSource"]["cloneType"])
        self.assertEqual(self.namespace, made["spec"]["cloneSource"]["namespace"])
        self.assertIn("unchanged", self.kubectl_apply(manifest).stdout)
        diff = self.bed.kubectl("diff", "-f", "-", stdin=json.dumps(manifest), check=False)
        self.assertEqual((0, ""), (diff.returncode, diff.stdout))
        replaced = self.bed.kubectl("replace", "-f", "-", stdin=json.dumps(manifest), check=False)
        self.assertEqual(0, replaced.returncode, replaced.stderr)
        self.assertEqual(made["spec"], self.wukong("w")["spec"])
        self.assertIn("kubectl.kubernetes.io/last-applied-configuration",
                      made["metadata"]["annotations"])

    def test_repeated_server_side_applies_change_nothing(self):
        manifest = self.wukong_of({"type": "vmi", "vmiName": "later"})
        first = self.kube.apply(manifest)
        again = self.kube.apply(manifest)
        for one in (first, again):
            one["metadata"].pop("managedFields", None)
        self.assertEqual(first["spec"], again["spec"])
        self.assertEqual(first["metadata"]["generation"], again["metadata"]["generation"])


class Updates(Admission):
    def made(self, **spec):
        return self.kube.create(self.wukong_of({"type": "vmi", "vmiName": "later"}, **spec))

    def test_the_source_is_immutable_and_the_rest_is_not(self):
        self.made()
        for change in ({"vmiName": "other"}, {"cloneType": "linked"}, {"namespace": "default"}):
            refusal = self.assert_refused(lambda c=change: self.kube.patch(
                API, "Wukong", self.namespace, "w", {"spec": {"cloneSource": c}}), code=422)
            self.assertIn("immutable", refusal.message)
        self.kube.patch(API, "Wukong", self.namespace, "w",
                        {"spec": {"reclaimPolicy": "Retain"}, "metadata": {"labels": {"a": "b"}}})

    def test_sizes_are_compared_by_value(self):
        self.made(disks=[{"name": "root", "size": "10Gi"}])
        refusal = self.assert_refused(lambda: self.kube.patch(
            API, "Wukong", self.namespace, "w", {"spec": {"disks": [{"name": "root", "size": "11Gi"}]}}),
            code=422)
        self.assertIn("immutable", refusal.message)
        self.kube.patch(API, "Wukong", self.namespace, "w", {"spec": {"disks": [{"name": "root", "size": "10240Mi"}]}})

    def test_an_old_mistake_stands_in_the_way_of_nothing_else(self):
        """Stored while the webhook was away, with a window that never opens, which no schema can see."""
        wrong = self.wukong_of({"type": "vmi", "vmiName": "later", "gates": ["example.com/go"],
                                "window": {"schedule": "0 0 30 2 *", "duration": "6h"}})
        wrong["metadata"]["finalizers"] = ["example.com/mine"]
        self.without_webhook(lambda: self.wait_for(lambda: self.kube.create(wrong), 20, "no webhook to be called"))
        again = {**wrong, "metadata": {"name": "again", "namespace": self.namespace}}
        self.wait_for(lambda: self.assert_refused(lambda: self.kube.create(again, dry_run=True), code=422), 20,
                      "the webhook to be called again")
        change = lambda body: self.kube.patch(API, "Wukong", self.namespace, "w", body)  # noqa: E731
        change({"metadata": {"labels": {"a": "b"}}})
        change({"spec": {"reclaimPolicy": "Retain"}})
        refusal = self.assert_refused(lambda: change(
            {"spec": {"cloneSource": {"window": {"schedule": "0 0 31 2 *"}}}}), code=422)
        self.assertEqual({"spec.cloneSource.window.schedule"}, {cause["field"] for cause in refusal.causes()})
        self.kube.delete(API, "Wukong", self.namespace, "w")
        change({"metadata": {"finalizers": None}})

    def test_a_dry_run_of_a_change_gets_the_same_answer(self):
        self.made()
        path = self.kube.path(API, "Wukong", self.namespace, "w")
        body = {"spec": {"cloneSource": {"vmiName": "other"}, "replicas": 0}}
        answers = [self.kube.raw("PATCH", path + query, body, "application/merge-patch+json")[:2]
                   for query in ("", "?dryRun=All")]
        self.assertEqual(422, answers[0][0])
        self.assertEqual(*answers)

    def test_a_version_that_is_not_served_is_not_found(self):
        """The API server converts to v1alpha1, the one version registered, or calls nobody."""
        path = self.kube.path(API, "Wukong", self.namespace).replace("v1alpha1", "v9")
        body = {**self.wukong_of({"type": "vmi", "vmiName": "a"}), "apiVersion": "vm.novasphere.dev/v9"}
        self.assertEqual(404, self.kube.raw("POST", path, body)[0])

    def test_status_and_deletion_never_meet_the_webhook(self):
        self.made()
        self.bed.pause("webhook")
        try:
            self.kube.patch(API, "Wukong", self.namespace, "w", {"status": {"phase": "Pending"}},
                            subresource="status")
            self.kube.delete(API, "Wukong", self.namespace, "w")
        finally:
            self.bed.resume("webhook")

    def test_a_finalizer_can_go_while_it_is_being_deleted(self):
        made = self.made()
        self.kube.patch(API, "Wukong", self.namespace, "w",
                        {"metadata": {"finalizers": ["example.com/mine"]}})
        self.kube.delete(API, "Wukong", self.namespace, "w")
        self.assert_refused(lambda: self.kube.patch(
            API, "Wukong", self.namespace, "w", {"spec": {"replicas": 500}}), code=422)
        self.kube.patch(API, "Wukong", self.namespace, "w", {"metadata": {"finalizers": None}})
        self.wait_for(lambda: self.kube.find(API, "Wukong", self.namespace, "w") is None or
                      self.wukong("w")["metadata"]["uid"] != made["metadata"]["uid"], 20, "it to go")


class Records(Admission):
    """An operator that serves as a gate has the right to patch wukongs/status, as docs/admin/rbac.md gives it."""

    def setUp(self):
        super().setUp()
        self.user = f"gate-{self.namespace}"
        rbac = "rbac.authorization.k8s.io/v1"
        self.kube.create({"apiVersion": rbac, "kind": "Role",
                          "metadata": {"name": "gate", "namespace": self.namespace},
                          "rules": [{"apiGroups": ["vm.novasphere.dev"], "resources": ["wukongs"],
                                     "verbs": ["get", "list", "watch"]},
                                    {"apiGroups": ["vm.novasphere.dev"], "resources": ["wukongs/status"],
                                     "verbs": ["patch", "update"]}]})
        self.kube.create({"apiVersion": rbac, "kind": "RoleBinding",
                          "metadata": {"name": "gate", "namespace": self.namespace},
                          "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "gate"},
                          "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User",
                                        "name": self.user}]})
        self.operator = self.bed.user_client(self.user)
        self.kube.create(self.wukong_of({"type": "vmi", "vmiName": "late", "gates": ["example.com/Quiet"]}))
        self.wait_for(lambda: self.status().get("conditions"), 20, "the worker to write its conditions")

    def status(self):
        return self.kube.get(API, "Wukong", self.namespace, "w").get("status") or {}

    def patch(self, status, user=None):
        return (user or self.operator).patch(API, "Wukong", self.namespace, "w", {"status": status},
                                             subresource="status")

    def with_condition(self, kind, change=None):
        """All conditions as they are, and one more or changed: a merge patch replaces the list."""
        now = "2026-01-01T00:00:00Z"
        rest = [c for c in self.status()["conditions"] if c["type"] != kind]
        return {"conditions": rest + [{"type": kind, "status": change or "True", "reason": "Said",
                                       "message": "", "lastTransitionTime": now}]}

    def test_a_gate_sets_its_condition_and_nothing_else(self):
        self.wait_for(lambda: not self.refused(lambda: self.patch(self.with_condition("example.com/Quiet"))),
                      10, "the right to be in force")
        record = {"sourceStarted": {"time": "2026-01-01T00:00:00Z", "vmiUID": "u"}}
        forged = {
            "started": {"cloneStatus": record},
            "frozen": {"cloneStatus": {"freeze": {"requestedTime": "2026-01-01T00:00:00Z", "vmiUID": "u",
                                                  "deadlineTime": "2026-01-01T00:00:00Z"}}},
            "another's snapshot": {"cloneStatus": {"shared": {"uid": "u", "name": "n", "attempt": 1}}},
            "finished": {"cloneStatus": {"phase": "Succeeded"}},
            "phase": {"phase": "Running"}, "machine": {"vmName": "other"},
            "all of it": None,
            "the worker's condition": self.with_condition("PolicyAllowed"),
            "released": self.with_condition("SnapshotTaken", "False"),
            "without the worker's": {"conditions": [c for c in self.status()["conditions"]
                                                    if c["type"] != "PolicyAllowed"]},
        }
        for what, status in forged.items():
            with self.subTest(what=what):
                before = self.status()
                refusal = self.assert_refused(lambda s=status: self.patch(s), code=403)
                self.assertIn("wukongs/record", refusal.message)
                self.assertEqual(before.get("cloneStatus"), self.status().get("cloneStatus"))
        self.patch(self.with_condition("example.com/Quiet", "False"))
        # Whoever holds everything does, as an administrator who repairs by hand.
        self.patch({"cloneStatus": record}, user=self.kube)


class Authority(Admission):
    """alice may create Wukongs in her namespace and has no right in the source's."""

    def setUp(self):
        super().setUp()
        self.prod = self.make_namespace(self.namespace + "-prod")
        self.user = f"alice-{self.namespace}"
        self.alice = self.bed.user_client(self.user)
        self.alice_config = self.bed.user_kubeconfig(self.user)
        self.grant(self.namespace, "edit", "ClusterRole")

    def grant(self, namespace, role, kind="Role"):
        self.kube.create({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                          "metadata": {"name": f"alice-{role}", "namespace": namespace},
                          "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind,
                                      "name": role},
                          "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User",
                                        "name": self.user}]})

    def foreign(self, name="w", **more):
        return self.wukong_of({"type": "vmi", "vmiName": "db", "namespace": self.prod}, name, **more)

    def run_remedy(self, message):
        """Runs the two commands that a denial prints, as the admin of the namespace would."""
        for command in message.split("grants it with: kubectl ")[1].split(" && kubectl "):
            self.bed.kubectl(*shlex.split(command))

    def test_without_the_right_nothing_is_read_and_nothing_shows(self):
        mark = self.bed.audit_mark()
        attempts = {
            "create": lambda: self.alice.create(self.foreign()),
            "dry run": lambda: self.alice.create(self.foreign(), dry_run=True),
            "server-side apply": lambda: self.alice.apply(self.foreign()),
        }
        before = {}
        for name, attempt in attempts.items():
            refusal = self.assert_refused(attempt, code=403)
            self.assertEqual("Forbidden", refusal.reason, name)
            self.assertIn("wukongs/source", refusal.message)
            before[name] = refusal.message
        self.kube.create(vms.vmi(self.prod, "db", vms.machine_spec({"root": "db-root"})))
        for name, attempt in attempts.items():
            refusal = self.assert_refused(attempt, code=403)
            self.assertEqual(before[name], refusal.message, "the answer depends on the source")
        self.assertEqual([], self.webhook_touched(mark, self.prod))
        shown = self.kubectl_apply(self.foreign(), kubeconfig=self.alice_config)
        self.assertIn("Error from server (Forbidden)", shown.stderr)
        self.assertNotIn("Warning", shown.stderr)

    def test_no_attempt_of_hers_reads_the_other_namespace(self):
        """The table of attempts, each with her own credentials: refused in the same words and after the
        same number of look-ups, all of them of her rights, whether the source is there, is not, or its
        whole namespace is not. Nothing of that namespace is read by the webhook or the worker, so the
        time that an answer takes is of one class, too."""
        own = self.alice.create(self.wukong_of({"type": "vmi", "vmiName": "mine"}, "own"))
        forged = self.foreign("forged")
        forged["metadata"]["annotations"] = {STAMP: self.forged()["metadata"]["annotations"][STAMP]}
        by_vm = self.wukong_of({"type": "vm", "vmName": "db", "cloneType": "running",
                                "namespace": self.prod}, "by-vm")
        replaced = {**own, "spec": self.foreign()["spec"]}
        nowhere = self.wukong_of({"type": "vmi", "vmiName": "db", "namespace": "nowhere"})
        # attempt: (answer, SubjectAccessReviews, how)
        attempts = {
            "create": (403, 1, lambda: self.alice.create(self.foreign())),
            "dry run": (403, 1, lambda: self.alice.create(self.foreign(), dry_run=True)),
            "server-side apply": (403, 1, lambda: self.alice.apply(self.foreign())),
            "forged stamp": (403, 1, lambda: self.alice.create(forged)),
            "stopped machine": (403, 2, lambda: self.alice.create(by_vm)),
            "with mistakes": (422, 1, lambda: self.alice.create(self.foreign(replicas=0))),
            "disk of it": (403, 1, lambda: self.alice.create(self.foreign(disks=[{"name": "root"}]))),
            "no namespace": (403, 1, lambda: self.alice.create(nowhere)),
            "update": (422, 0, lambda: self.alice.patch(API, "Wukong", self.namespace, "own", {
                "spec": {"cloneSource": {"vmiName": "db", "namespace": self.prod}}})),
            "replace": (422, 0, lambda: self.alice.update(replaced)),
        }
        mark, told = self.bed.audit_mark(), {}
        for there in (False, True):
            for name, (code, looks, attempt) in attempts.items():
                with self.subTest(attempt=name, there=there):
                    before = self.bed.audit_mark()
                    refusal = self.assert_refused(attempt, code=code)
                    self.assertEqual(told.setdefault(name, refusal.status), refusal.status)
                    self.wait_for(lambda: self.looked(before) == looks * [REVIEW], 5, "its look-ups")
            if not there:
                self.kube.create(vms.vmi(self.prod, "db", vms.machine_spec({"root": "db-root"})))
        self.assertEqual(told["create"]["message"].replace(self.prod, "nowhere"),
                         told["no namespace"]["message"])
        self.assert_unread(mark)
        wanted = 2 * sum(looks for _, looks, _ in attempts.values())
        self.assertEqual(wanted, len(self.looked(mark)), "one came late")

    def looked(self, mark):
        """What the webhook asked the API server since the mark; its watches go on by the clock."""
        return [f"{e['verb']} {e['requestURI']}" for e in self.bed.audit_entries(mark)
                if e["user"]["username"] == self.bed.account("webhook") and e["verb"] != "watch"]

    def assert_unread(self, mark, by=("webhook", "worker")):
        read = [f"{e['user']['username']} {e['verb']} {e['requestURI']}" for e in self.bed.audit_entries(mark)
                if e["user"]["username"] in map(self.bed.account, by)
                and (e.get("objectRef") or {}).get("namespace") in (self.prod, "nowhere")]
        self.assertEqual([], read)

    def test_what_came_past_the_webhook_is_not_cloned(self):
        """Without a stamp, with one of her own making, and with one copied from a Wukong that was
        admitted: the worker holds each back and reads nothing of the other namespace."""
        self.kube.create(vms.vmi(self.prod, "db", vms.machine_spec({"root": "db-root"})))
        self.run_remedy(self.assert_refused(lambda: self.alice.create(self.foreign()), code=403).message)
        admitted = self.eventually_created(self.foreign("admitted"))
        self.kube.delete(API, "Wukong", self.namespace, "admitted")
        stamps = {"bare": None, "forged": self.forged()["metadata"]["annotations"][STAMP],
                  "copied": admitted["metadata"]["annotations"][STAMP]}
        self.wait_for(lambda: self.kube.find(API, "Wukong", self.namespace, "admitted") is None, 30,
                      "the admitted one to go")
        mark = self.bed.audit_mark()

        def create_all():
            for name, stamp in stamps.items():
                one = self.foreign(name)
                one["metadata"]["annotations"] = {STAMP: stamp} if stamp else {}
                self.wait_for(lambda o=one: self.alice.create(o), 20, "the webhook to be out of the way")
        self.without_webhook(create_all)
        for name in stamps:
            found = self.wait_reason(name, "PolicyAllowed", "NotAdmitted")
            self.assertIn("stamp", vms.condition(found, "PolicyAllowed")["message"])
        # The webhook may have judged a first try: the two registrations do not go at the same moment.
        self.assert_unread(mark, by=["worker"])
        # The registrations are back and work.
        self.wait_for(lambda: self.assert_refused(
            lambda: self.kube.create(self.foreign("late", replicas=0), dry_run=True), code=422), 20,
            "the webhook to be called again")
        for name in stamps:
            self.kube.delete(API, "Wukong", self.namespace, name)

    def test_the_right_holds_without_the_webhook(self):
        """The API server judges it itself: whoever makes the webhook deaf, or finds a namespace that it
        is kept out of, gains nothing, and who has the right is not refused."""
        def attempt():
            refusal = self.wait_for(self.refused_by_policy, 20, "no webhook to be called")
            self.assertIn(f'user "{self.user}" may not clone "db" of namespace "{self.prod}"', refusal.message)
            self.assertIn("wukongs/source", refusal.message)
            own = self.wukong_of({"type": "vmi", "vmiName": "mine"}, "own")
            self.alice.create(own, dry_run=True)
        self.without_webhook(attempt)

    def refused_by_policy(self):
        refusal = self.assert_refused(lambda: self.alice.create(self.foreign(), dry_run=True))
        self.assertIn(refusal.code, (403, 422))
        return refusal if "ValidatingAdmissionPolicy" in refusal.message else None

    def test_a_clone_that_waits_keeps_no_right(self):
        """The right was hers when she asked for a clone in 2099, and is taken away: neither she nor the
        webhook's absence makes it run earlier, or again. What does not concern that stays free."""
        self.run_remedy(self.assert_refused(lambda: self.alice.create(self.foreign()), code=403).message)
        late = self.foreign("late")
        late["spec"]["cloneSource"]["notBefore"] = "2099-01-01T00:00:00Z"
        made = self.eventually_created(late)
        changes = {"notBefore": {"spec": {"cloneSource": {"notBefore": None}}},
                   "window": {"spec": {"cloneSource": {"window": {"schedule": "* * * * *", "duration": "1h"}}}},
                   "deadline": {"spec": {"cloneSource": {"deadlineSeconds": 86400}}},
                   "retry": {"metadata": {"annotations": {"vm.novasphere.dev/retry": "now"}}}}

        def change(body):
            return self.alice.patch(API, "Wukong", self.namespace, "late", body)
        # While the right lasts: the stamp becomes the changer's and names the object.
        changed = change(changes["deadline"])
        self.assertEqual((self.user, made["metadata"]["uid"]),
                         (payload(changed)["user"], payload(changed)["uid"]))
        change({"spec": {"cloneSource": {"deadlineSeconds": None}}})
        for binding in self.kube.list("rbac.authorization.k8s.io/v1", "RoleBinding", self.prod):
            self.kube.delete("rbac.authorization.k8s.io/v1", "RoleBinding", self.prod,
                             binding["metadata"]["name"])

        def all_refused():
            return all(self.refused(lambda b=body: change(b)) for body in changes.values())
        self.wait_for(all_refused, 20, "the right to be gone")
        self.without_webhook(lambda: self.wait_for(all_refused, 20, "the policy to hold alone"))
        change({"metadata": {"labels": {"a": "b"}}})
        found = self.kube.get(API, "Wukong", self.namespace, "late")
        self.assertEqual("2099-01-01T00:00:00Z", found["spec"]["cloneSource"]["notBefore"])
        self.kube.delete(API, "Wukong", self.namespace, "late")

    def test_a_forged_or_copied_stamp_helps_nobody(self):
        refusal = self.assert_refused(lambda: self.alice.create(self.forged()), code=403)
        self.run_remedy(refusal.message)
        made = self.eventually_created(self.foreign("first"))
        stamp = made["metadata"]["annotations"][STAMP]
        copied = self.foreign("second")
        copied["metadata"]["annotations"] = {STAMP: stamp}
        second = self.alice.create(copied)
        self.assertNotEqual(stamp, second["metadata"]["annotations"][STAMP])
        self.assertEqual("second", payload(second)["name"])

    def forged(self):
        wrong = self.foreign()
        text = base64.urlsafe_b64encode(json.dumps({"ns": self.namespace, "name": "w"}).encode())
        wrong["metadata"]["annotations"] = {STAMP: f"v1.{text.decode().rstrip('=')}.AAAA"}
        return wrong

    def eventually_created(self, obj):
        """RBAC reaches the authorizer through a watch."""
        def create():
            try:
                return self.alice.create(obj)
            except ApiError as refusal:
                if refusal.code != 403:
                    raise
                return None
        return self.wait_for(create, 10, "the right to be in force")

    def test_the_printed_remedy_works_and_the_clone_is_stamped(self):
        refusal = self.assert_refused(lambda: self.alice.create(self.foreign()), code=403)
        self.run_remedy(refusal.message)
        made = self.eventually_created(self.foreign())
        stamp = payload(made)
        self.assertEqual({"ns": self.namespace, "name": "w", "kind": "vmi", "sourceNs": self.prod,
                          "source": "db", "user": self.user, "start": False},
                         {k: v for k, v in stamp.items() if k not in ("issued", "groups")})
        self.assertIn("system:authenticated", stamp["groups"])
        self.assertLess(abs(stamp["issued"] / 1000 - time.time()), 60)
        published = self.kube.get("v1", "ConfigMap", "wukong-system", "wukong-stamp")["data"]
        self.assertTrue(published["stamp.pub"].startswith("-----BEGIN PUBLIC KEY-----"))
        # The right is for that one name, and does not spread.
        other = self.wukong_of({"type": "vmi", "vmiName": "db2", "namespace": self.prod}, "v")
        self.assert_refused(lambda: self.alice.create(other), code=403)

    def test_what_the_clone_needs_is_named_and_not_read(self):
        """A Secret of this namespace is not given to a guest of another's owner, a ConfigMap is needed here:
        two warnings, no look."""
        spec = vms.machine_spec({"root": "db-root"})
        spec["volumes"] += [{"name": "s", "secret": {"secretName": "db-key"}},
                            {"name": "c", "configMap": {"name": "db-conf"}}]
        spec["domain"]["devices"]["disks"] += [{"name": n, "disk": {"bus": "virtio"}} for n in "sc"]
        self.kube.create(vms.vmi(self.prod, "db", spec))
        self.run_remedy(self.assert_refused(lambda: self.alice.create(self.foreign()), code=403).message)
        self.eventually_created(self.foreign("first"))
        mark = self.bed.audit_mark()
        shown = self.kubectl_apply(self.foreign("second"), "--dry-run=server", kubeconfig=self.alice_config)
        self.assertEqual(0, shown.returncode, shown.stderr)
        self.assertIn('Secret "db-key" is not in allowSecrets: volume "s" is left out', shown.stderr)
        self.assertIn('the new VM needs ConfigMap "db-conf" in its own namespace', shown.stderr)
        read = {e["objectRef"]["resource"] for e in self.bed.audit_entries(mark)
                if e["user"]["username"] == self.bed.account("webhook") and e["verb"] in READS
                and (e.get("objectRef") or {}).get("namespace") in (self.prod, self.namespace)}
        self.assertEqual({"virtualmachines", "virtualmachineinstances", "persistentvolumeclaims"}, read)

    def test_a_generated_name_is_stamped_too(self):
        refusal = self.assert_refused(lambda: self.alice.create(self.foreign()), code=403)
        self.run_remedy(refusal.message)
        self.eventually_created(self.foreign())
        generated = self.foreign()
        del generated["metadata"]["name"]
        generated["metadata"]["generateName"] = "gen-"
        made = self.alice.create(generated)
        self.assertEqual("gen-", payload(made)["generateName"])

    def test_updates_keep_the_stamp_whatever_the_user_sends(self):
        self.run_remedy(self.assert_refused(
            lambda: self.alice.create(self.foreign()), code=403).message)
        made = self.eventually_created(self.foreign())
        stamp = made["metadata"]["annotations"][STAMP]
        for value in (None, "v1.e30.AAAA"):
            self.alice.patch(API, "Wukong", self.namespace, "w",
                             {"metadata": {"annotations": {STAMP: value}}})
            self.assertEqual(stamp, self.wukong("w")["metadata"]["annotations"][STAMP])
        # The right may go: what was admitted can still be labelled, and is not judged again.
        self.kube.delete("rbac.authorization.k8s.io/v1", "RoleBinding", self.prod, "wukong-source-db")
        self.alice.patch(API, "Wukong", self.namespace, "w", {"metadata": {"labels": {"a": "b"}}})

    def test_a_service_account_is_a_user_like_any_other(self):
        self.kube.create({"apiVersion": "v1", "kind": "ServiceAccount",
                          "metadata": {"name": "flux", "namespace": self.namespace}})
        self.kube.create({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                          "metadata": {"name": "flux", "namespace": self.namespace},
                          "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
                                      "name": "edit"},
                          "subjects": [{"kind": "ServiceAccount", "name": "flux",
                                        "namespace": self.namespace}]})
        flux = self.bed.client(self.namespace, "flux")
        refusal = self.assert_refused(lambda: flux.create(self.foreign()), code=403)
        self.assertIn(f"system:serviceaccount:{self.namespace}:flux", refusal.message)

    def test_invalid_and_forbidden_at_once_is_one_answer(self):
        refusal = self.assert_refused(lambda: self.alice.create(self.foreign(replicas=0)), code=422)
        fields = {cause["field"] for cause in refusal.causes()}
        self.assertEqual({"spec.replicas", "spec.cloneSource"}, fields)


def payload(wukong):
    text = wukong["metadata"]["annotations"][STAMP].split(".")[1]
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


class Policies(Admission):
    def policy(self, **spec):
        spec.setdefault("match", {"target": {"namespaceSelector": {"matchLabels": {
            "kubernetes.io/metadata.name": self.namespace}}}})
        return self.cleanup_object({"apiVersion": API, "kind": "ClonePolicy",
                                    "metadata": {"name": f"p-{self.namespace}"}, "spec": spec})

    def test_a_policy_denies_by_name_and_its_removal_is_seen_at_once(self):
        made = self.policy(rules={"cloneTypes": ["full"]}, validationActions=["Deny"],
                           message="ask the storage team")
        wanted = self.wukong_of({"type": "vmi", "vmiName": "later"})
        refusal = self.wait_for(lambda: self.denial(wanted), 10, "the policy to be in force")
        self.assertEqual("Forbidden", refusal.reason)
        self.assertIn(f'ClonePolicy "{made["metadata"]["name"]}"', refusal.message)
        self.assertIn("ask the storage team", refusal.message)
        self.assert_audited({"decision": "denied", "source": f"vmi {self.namespace}/later",
                             "policies": made["metadata"]["name"]})
        self.kube.delete(API, "ClonePolicy", None, made["metadata"]["name"])
        self.kube.create(wanted, dry_run=True)
        self.assert_audited({"decision": "allowed", "source": f"vmi {self.namespace}/later"}, "mwukong", "vwukong")

    def assert_audited(self, wanted, *endpoints):
        """The API server's audit log has what the endpoints decided in the test's last request."""
        def last():
            return [e for e in self.bed.audit_entries(self.audit_mark)
                    if e["requestURI"].startswith(f"/apis/{API}/namespaces/{self.namespace}/wukongs")][-1]
        annotations = {f"{endpoint}.vm.novasphere.dev/{key}": value
                       for endpoint in endpoints or ("mwukong",) for key, value in wanted.items()}
        self.wait_for(lambda: annotations.items() <= last()["annotations"].items(), 5, f"{annotations}")

    def denial(self, obj):
        try:
            self.kube.create(obj, dry_run=True)
        except ApiError as refusal:
            return refusal
        return None


class Load(Admission):
    def test_many_creates_at_once_are_all_answered(self):
        failures, made = [], []

        def work(worker):
            for i in range(15):
                try:
                    made.append(self.kube.create(self.wukong_of(
                        {"type": "vmi", "vmiName": "later"}, f"w-{worker}-{i}"), dry_run=True))
                except Exception as failure:  # noqa: BLE001
                    failures.append(failure)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([], failures)
        self.assertEqual(120, len(made))


if __name__ == "__main__":
    harness.main()
