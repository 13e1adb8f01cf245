"""Proves that a tenant stops, blinds and outwits nobody: mallory has the role `edit` in her own namespace,
KubeVirt's edit role and the right to snapshots there, and nothing else. Each attempt goes through the real API
server, under the rights of the chart. It fails, and while it lasts another tenant's clone is made, by programs
that live on: same processes, no restart, no review that waits.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bedlib import harness, objects, vms  # noqa: E402
from bedlib.kube import ApiError  # noqa: E402

harness.quick_storage()
API = "vm.novasphere.dev/v1alpha1"
RBAC = "rbac.authorization.k8s.io/v1"
UID_LABEL = "vm.novasphere.dev/wukong-uid"
CAPTURE = "vm.novasphere.dev/source-spec"
# KubeVirt's aggregated edit role, as far as it concerns what is tried here, and snapshots.
EDIT = [
    {"apiGroups": ["kubevirt.io"], "resources": ["virtualmachines", "virtualmachineinstances"], "verbs": ["*"]},
    {"apiGroups": ["snapshot.storage.k8s.io"], "resources": ["volumesnapshots"], "verbs": ["*"]},
    {"apiGroups": ["groupsnapshot.storage.k8s.io"], "resources": ["volumegroupsnapshots"], "verbs": ["*"]},
    {"apiGroups": ["snapshot.kubevirt.io"], "resources": ["virtualmachinesnapshots"], "verbs": ["*"]},
]
# A review may hold the webhook's only thread for this long, reading it included (docs/admin/benchmarks.md); the
# API server's and this machine's part in what is measured here come on top.
REVIEW_S = 1.5


def spec_schema(kube):
    crd = kube.get("apiextensions.k8s.io/v1", "CustomResourceDefinition", None, "wukongs.vm.novasphere.dev")
    return crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]


def texts_of(schema, path=()):
    """Each place that a text may stand at; "[]" is a list's first item, "{}" a map's member."""
    if "properties" in schema:
        for name, below in schema["properties"].items():
            yield from texts_of(below, (*path, name))
    elif schema.get("type") == "array":
        yield from texts_of(schema["items"], (*path, "[]"))
    elif isinstance(schema.get("additionalProperties"), dict):
        yield from texts_of(schema["additionalProperties"], (*path, "{}"))
    elif schema.get("type", "string") == "string":
        yield path


def fill(tree, path, text):
    for step, below in zip(path, (*path[1:], None)):
        value = text if below is None else [] if below == "[]" else {}
        if step == "[]":
            tree.append(value)
            tree = tree[0]
        elif below is None:
            tree["a" if step == "{}" else step] = text
        else:
            tree = tree.setdefault("a" if step == "{}" else step, value)



def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Tenants(vms.CloneCase):
    def setUp(self):
        super().setUp()
        self.hers = self.make_namespace(self.namespace + "-m")
        self.user = f"mallory-{self.namespace}"
        self.mallory = self.bed.user_client(self.user)
        self.kube.create({"apiVersion": RBAC, "kind": "Role",
                          "metadata": {"name": "kubevirt-edit", "namespace": self.hers}, "rules": EDIT})
        self.grant("edit", "ClusterRole")
        self.grant("kubevirt-edit", "Role")
        self.pids = self.processes()
        self.wait_for(lambda: self.may(lambda: self.mallory.create(
            self.hers_wukong("probe", "nothing"), dry_run=True)), 10, "her rights to be in force")

    def tearDown(self):
        self.assertEqual(self.pids, self.processes(), "a program of ours was restarted")
        super().tearDown()

    def processes(self):
        return {name: self.bed.process(name).pid() for name in ("webhook", "worker")}

    def grant(self, role, kind, namespace=None):
        self.kube.create({"apiVersion": RBAC, "kind": "RoleBinding",
                          "metadata": {"name": f"mallory-{role}", "namespace": namespace or self.hers},
                          "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
                          "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User",
                                        "name": self.user}]})

    @staticmethod
    def may(attempt):
        try:
            attempt()
        except ApiError as refusal:
            return refusal.code != 403
        return True

    def hers_wukong(self, name, source, **more):
        return objects.wukong(self.hers, name, {"cloneSource": {"type": "vmi", "vmiName": source, **more}})

    def others_go_on(self, name="others"):
        """Another tenant's clone, from apply to its bytes."""
        source = self.source(f"src-{name}")
        self.clone(name, source)
        self.wait_ended(name)
        self.assert_cloned(name, source)

    # ---- availability ---------------------------------------------------------------------------

    def test_her_reviews_do_not_hold_the_webhook(self):
        """Long arrays of every kind, sent again and again beside another tenant's dry runs."""
        many = [{"name": f"d{i}"} for i in range(60000)]
        bodies = {"disks": {"disks": [{"name": "d0"}] * 60000}, "other disks": {"disks": many},
                  "networks": {"networks": many}, "gates": {}, "secrets": {}}
        worst, stop = [], threading.Event()

        def good_client():
            kube = self.bed.admin()
            while not stop.is_set():
                began = time.monotonic()
                kube.create(objects.wukong(self.namespace, "good", {
                    "cloneSource": {"type": "vmi", "vmiName": "later"}}), dry_run=True)
                worst.append(time.monotonic() - began)
            kube.close()
        beside = threading.Thread(target=good_client)
        beside.start()
        try:
            for what, more in bodies.items():
                wrong = self.hers_wukong("w", "nothing")
                wrong["spec"].update(more)
                if what == "gates":
                    wrong["spec"]["cloneSource"]["gates"] = [f"a.example/G{i}" for i in range(60000)]
                if what == "secrets":
                    wrong["spec"]["cloneSource"]["allowSecrets"] = [f"s{i}" for i in range(60000)]
                before = cpu_seconds(self.pids["webhook"])
                refusal = self.assert_refused(lambda w=wrong: self.mallory.create(w))
                self.assertIn(refusal.code, (413, 422), what)
                self.assertLess(cpu_seconds(self.pids["webhook"]) - before, REVIEW_S, what)
        finally:
            stop.set()
            beside.join()
        self.assertTrue(worst)
        self.others_go_on()

    def test_her_objects_do_not_stop_the_worker(self):
        """What Kubernetes stores and others must read: a character U+0000, 20,001 annotations, a value of
        200 KiB, on each kind that she may create, and a machine nested more deeply than anybody parses."""
        deep = {"a": 1}
        for _ in range(120):
            deep = {"a": deep}
        notes = {"nul": {"n": "a\u0000b"}, "many": {f"a{i:05d}": "" for i in range(20001)},
                 "large": {"n": "x" * 200 * 1024}}
        makers = {"claim": lambda n: objects.claim(self.hers, n),
                  "snapshot": lambda n: objects.snapshot(self.hers, n, "none"),
                  "machine": lambda n: vms.vmi(self.hers, n, vms.machine_spec({"root": "none"})),
                  "wukong": lambda n: self.hers_wukong(n, "nothing")}
        stored = []
        for kind, make in makers.items():
            for what, annotations in notes.items():
                one = make(f"{kind}-{what}")
                one["metadata"]["annotations"] = annotations
                try:
                    self.mallory.create(one)
                    stored.append(f"{kind} {what}")
                except ApiError as refusal:
                    self.assertIn(refusal.code, (400, 413, 422), f"{kind} {what}: {refusal}")
        nested = makers["machine"]("machine-deep")
        nested["spec"]["domain"]["unknown"] = deep
        self.may(lambda: self.mallory.create(nested))
        self.assertIn("claim nul", stored)
        self.assertIn("claim many", stored)
        self.others_go_on()
        # A worker that begins with all that there.
        self.bed.restart("worker")
        self.pids = self.processes()
        self.others_go_on("again")

    def test_her_clone_of_a_swollen_machine_crashes_nothing(self):
        spec = vms.machine_spec({"root": "data"})
        machine = vms.vm(self.hers, "swollen", spec, {"vm.kubevirt.io/x": "y" * 136 * 1024})
        self.kube.create(objects.claim(self.hers, "data"))
        self.mallory.create(machine)
        wanted = self.hers_wukong("hundred", "swollen")
        wanted["spec"]["replicas"] = 100
        self.mallory.create(wanted)
        self.others_go_on()
        self.mallory.delete(API, "Wukong", self.hers, "hundred")

    def test_her_forged_capture_crashes_nothing(self):
        """A snapshot of hers that says it is the first of her clone, with a capture that nobody wrote."""
        self.kube.create(objects.claim(self.hers, "data"))
        self.mallory.create(vms.vm(self.hers, "small", vms.machine_spec({"root": "data"})))
        made = self.mallory.create(self.hers_wukong("w", "small", gates=["example.com/Never"]))
        capture = {"source": {"metadata": {}, "spec": {"template": {"spec": {
            "domain": {"devices": {}}, "volumes": [
                {"name": "root", "persistentVolumeClaim": {"claimName": "data"}},
                {"name": "root", "ephemeral": {}}]}}}}, "disks": [{}, {"method": 77}]}
        snapshot = objects.snapshot(self.hers, "carrier", "data", labels={
            UID_LABEL: made["metadata"]["uid"], "vm.novasphere.dev/attempt": "1",
            "vm.novasphere.dev/disk-index": "0"})
        for text in (json.dumps(capture), "{", "[]", "x" * 1000):
            snapshot["metadata"]["annotations"] = {"vm.novasphere.dev/source-spec": text,
                                                   "vm.novasphere.dev/capture": text}
            snapshot["metadata"]["name"] = f"carrier-{len(text)}"
            self.mallory.create(snapshot)
        self.others_go_on()
        self.mallory.delete(API, "Wukong", self.hers, "w")

    def test_her_odd_texts_stop_nobody(self):
        """In each field of the spec that holds a text, as the CRD has them: 100 KB, U+0000, half a
        character, and characters that turn lines round. Each is refused or waits, and is answered soon."""
        odd = {"long": "x" * 100_000, "nul": "a\u0000b", "half": "\ud83d", "turned": "\u202eexe.\ufeff\u0301🐲",
               "lines": "a\r\n::error::b\x1b[2J"}
        before, sent = cpu_seconds(self.pids["webhook"]), 0
        for path in texts_of(spec_schema(self.kube)):
            for what, text in odd.items():
                body = self.hers_wukong(f"odd-{sent}", "nothing")
                fill(body["spec"], path, text)
                sent += 1
                try:
                    self.mallory.create(body)
                except ApiError as refusal:
                    self.assertIn(refusal.code, (400, 403, 413, 422), f"{path} {what}: {refusal}")
        self.assertGreater(sent, 250)
        self.assertLess(cpu_seconds(self.pids["webhook"]) - before, sent * 0.1)
        notes = self.hers_wukong("notes", "nothing")
        notes["metadata"]["annotations"] = {f"vm.novasphere.dev/{n}": "\u202e🐲" * 8000 for n in (
            "retry", "admission", "source-spec", "x")}
        self.may(lambda: self.mallory.create(notes))
        self.others_go_on()

    def test_her_groups_stop_nobody_and_are_no_cut(self):
        """VolumeGroupSnapshots and VolumeSnapshots that bear another clone's labels, name it as their owner,
        or say that they belong to a group that is not there; made, edited and deleted while it is cut."""
        source = self.source("payroll")
        made = self.clone("theirs", source)
        uid = made["metadata"]["uid"]
        marks = {UID_LABEL: uid, "vm.novasphere.dev/attempt": "1", "vm.novasphere.dev/disk-index": "0"}
        self.kube.create(objects.claim(self.hers, "data"))
        for i in range(12):
            group = objects.group_snapshot(self.hers, f"g{i}", {"a": "b"}, "nobody")
            group["metadata"].update({"labels": marks, "ownerReferences": [{
                "apiVersion": API, "kind": "Wukong", "name": "theirs", "uid": uid}]})
            member = objects.snapshot(self.hers, f"m{i}", "data", labels=marks if i % 2 else None)
            member["metadata"]["ownerReferences"] = [{
                "apiVersion": objects.GROUP_API, "kind": "VolumeGroupSnapshot", "name": f"g{i}", "uid": uid}]
            for one, kind in ((group, "VolumeGroupSnapshot"), (member, "VolumeSnapshot")):
                api, name = one["apiVersion"], one["metadata"]["name"]
                self.mallory.create(one)
                # The garbage collector looks for owners of the same namespace alone, and may have been here.
                self.may(lambda a=api, k=kind, n=name: self.mallory.patch(a, k, self.hers, n, {
                    "metadata": {"annotations": {CAPTURE: "{}", "groupsnapshot.storage.kubernetes.io/x": "\u0000"}}}))
                if i % 3 == 0:
                    self.may(lambda a=api, k=kind, n=name: self.mallory.delete(a, k, self.hers, n))
        self.assert_refused(lambda: self.mallory.create({
            "apiVersion": objects.GROUP_API, "kind": "VolumeGroupSnapshotContent", "metadata": {"name": "hers"},
            "spec": {}}), code=403)
        self.wait_ended("theirs")
        self.assert_cloned("theirs", source)
        self.others_go_on()

    # ---- authority ------------------------------------------------------------------------------

    def test_she_learns_nothing_of_another_namespace(self):
        """The same words whether the source is there or not, at apply and in dry runs."""
        told = []
        for _ in range(2):
            refusal = self.assert_refused(lambda: self.mallory.create(
                self.hers_wukong("w", "payroll", namespace=self.namespace)), code=403)
            told.append(refusal.message)
            if len(told) == 1:
                self.source("payroll")
        self.assertEqual(told[0], told[1])

    def test_she_gets_no_byte_of_another_namespace(self):
        """By a stamp of her own making, by a label, by naming another's claim or snapshot: no claim with
        another's data stands in her namespace afterwards."""
        source = self.source("payroll")
        self.clone("theirs", source)
        self.wait_ended("theirs")
        uid = self.wukong("theirs")["metadata"]["uid"]
        forged = self.hers_wukong("forged", "payroll", namespace=self.namespace)
        forged["metadata"]["annotations"] = {"vm.novasphere.dev/admission": "v1.e30.AAAA"}
        self.assert_refused(lambda: self.mallory.create(forged), code=403)
        labelled = objects.claim(self.hers, "theirs-root", labels={UID_LABEL: uid})
        self.mallory.create(labelled)
        own = self.mallory.create(self.hers_wukong("mine", "nothing"))
        self.assert_refused(lambda: self.mallory.patch(API, "Wukong", self.hers, "mine", {
            "status": {"cloneStatus": {"shared": {"uid": uid, "name": "theirs", "attempt": 1}}}},
            subresource="status"), code=403)
        self.assert_refused(lambda: self.mallory.patch(API, "Wukong", self.hers, "mine", {
            "spec": {"cloneSource": {"namespace": self.namespace, "vmiName": "payroll"}}}))
        held = self.kube.list("v1", "PersistentVolumeClaim", self.hers)
        self.assertEqual(["theirs-root"], [c["metadata"]["name"] for c in held])
        self.assertTrue(own)

    def test_she_deletes_nothing_by_the_workers_hand(self):
        """She may label another namespace's claim and machine, and not delete them. With her Wukong's UID on
        them, and the Wukong gone, they are as they were."""
        other = self.make_namespace(self.namespace + "-other")
        self.kube.create({"apiVersion": RBAC, "kind": "Role", "metadata": {"name": "patch", "namespace": other},
                          "rules": [{"apiGroups": [""], "resources": ["persistentvolumeclaims"],
                                     "verbs": ["get", "patch"]},
                                    {"apiGroups": ["snapshot.storage.k8s.io"], "resources": ["volumesnapshots"],
                                     "verbs": ["get", "patch"]}]})
        self.grant("patch", "Role", other)
        self.kube.create(objects.claim(other, "ledger"))
        self.kube.create(objects.snapshot(other, "nightly", "ledger"))
        made = self.mallory.create(self.hers_wukong("w", "nothing"))
        mark = {"metadata": {"labels": {UID_LABEL: made["metadata"]["uid"], "vm.novasphere.dev/attempt": "1",
                                        "vm.novasphere.dev/disk-index": "0"}}}
        self.wait_for(lambda: self.may(lambda: self.mallory.patch(
            "v1", "PersistentVolumeClaim", other, "ledger", mark)), 10, "her right to label")
        self.mallory.patch(objects.SNAPSHOT_API, "VolumeSnapshot", other, "nightly", mark)
        uids = {k: self.kube.get(a, k, other, n)["metadata"]["uid"] for a, k, n in (
            ("v1", "PersistentVolumeClaim", "ledger"), (objects.SNAPSHOT_API, "VolumeSnapshot", "nightly"))}
        self.wait_for(lambda: self.kube.get(API, "Wukong", self.hers, "w").get("status"), 20, "it to be seen")
        self.mallory.delete(API, "Wukong", self.hers, "w")
        self.wait_for(lambda: self.kube.find(API, "Wukong", self.hers, "w") is None, 30, "her Wukong to go")
        self.others_go_on()
        for kind, uid in uids.items():
            api, name = (("v1", "ledger") if kind == "PersistentVolumeClaim"
                         else (objects.SNAPSHOT_API, "nightly"))
            found = self.kube.get(api, kind, other, name)
            self.assertEqual(uid, found["metadata"]["uid"])
            self.assertNotIn("deletionTimestamp", found["metadata"])

    def test_no_policy_forgets_her_among_many_groups(self):
        """A policy for one group, and a user who is in a hundred others, that one last."""
        name = f"{self.namespace}-contractors"
        self.cleanup_object({"apiVersion": API, "kind": "ClonePolicy", "metadata": {"name": name}, "spec": {
            "match": {"subjects": [{"kind": "Group", "name": "contractors"}],
                      "target": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self.hers}}}},
            "rules": {"cloneTypes": ["full"]}}})
        crowd = [f"department-{i:03d}" for i in range(100)]
        inside = self.bed.user_client(self.user, [*crowd, "contractors"])
        self.source("small", namespace=self.hers)

        def denied():
            try:
                inside.create(self.hers_wukong("w", "small"), dry_run=True)
            except ApiError as refusal:
                return refusal.code == 403 and name in refusal.message
            return False
        self.wait_for(denied, 30, "the policy to be in force for a user of 101 groups")

    def test_no_secret_reaches_the_guest_of_the_sources_owner(self):
        """The source's owner names Secrets and a ServiceAccount that exist where the clone will be: they
        are mounted into no machine of his making unless the Wukong names them."""
        spec = vms.machine_spec({"root": "gold-data-0"})
        spec["volumes"] += [{"name": "s", "secret": {"secretName": "db-password"}},
                            {"name": "a", "serviceAccount": {"serviceAccountName": "default"}}]
        spec["domain"]["devices"]["disks"] += [{"name": n, "disk": {"bus": "virtio"}} for n in "sa"]
        self.kube.create(objects.claim(self.namespace, "gold-data-0"))
        self.kube.create(vms.vmi(self.namespace, "gold", spec))
        self.kube.create({"apiVersion": "v1", "kind": "Secret",
                          "metadata": {"name": "db-password", "namespace": self.hers}, "stringData": {"p": "x"}})
        self.wait_for(lambda: self.kube.get(vms.KUBEVIRT_API, "VirtualMachineInstance", self.namespace, "gold")
                      .get("status", {}).get("phase") == "Running", 40, "the source to run")
        self.clone("copy", namespace=self.hers, clone_source={
            "type": "vmi", "vmiName": "gold", "namespace": self.namespace, "quiesce": "Never"})
        self.wait_ended("copy", namespace=self.hers)
        made = json.dumps(self.vm_of("copy", self.hers)["spec"])
        self.assertNotIn("db-password", made)
        self.assertNotIn("serviceAccountName", made)

    def test_an_edited_capture_brings_no_secret(self):
        """The same by the annotation that holds what the source was, on a snapshot in the source's own
        namespace: edited between the cut and the restore, and read by a worker that begins then."""
        source = self.source("gold")
        vms.set_disk_fault(self.bed, source.handle("root"), snapshot_ready_ms=15000)
        self.kube.create({"apiVersion": "v1", "kind": "Secret",
                          "metadata": {"name": "db-password", "namespace": self.hers}, "stringData": {"p": "x"}})
        self.clone("copy", namespace=self.hers, clone_source={
            "type": "vmi", "vmiName": "gold", "namespace": self.namespace})
        carrier = self.wait_for(lambda: next((c for c in self.snapshots() if CAPTURE in (
            c["metadata"].get("annotations") or {})), None), 40, "the capture")
        # Before the cut is on record a worker that begins then would take another one.
        self.wait_for(lambda: vms.clone_status(self.wukong("copy", self.hers)).get("cutTime"), 40, "the cut")
        tree = json.loads(carrier["metadata"]["annotations"][CAPTURE])
        spec = tree["source"]["spec"]["template"]["spec"]
        spec["volumes"] += [{"name": "s", "secret": {"secretName": "db-password"}},
                            {"name": "a", "serviceAccount": {"serviceAccountName": "default"}},
                            {"name": "d", "downwardAPI": {"fields": []}},
                            {"name": "k", "sysprep": {"secret": {"name": "db-password"}}}]
        spec["domain"]["devices"]["disks"] += [{"name": n, "disk": {"bus": "virtio"}} for n in "sadk"]
        spec["accessCredentials"] = [{"sshPublicKey": {"source": {"secret": {"secretName": "db-password"}},
                                                      "propagationMethod": {"configDrive": {}}}}]
        self.kube.patch(objects.SNAPSHOT_API, "VolumeSnapshot", self.namespace, carrier["metadata"]["name"],
                        {"metadata": {"annotations": {CAPTURE: json.dumps(tree)}}})
        self.bed.restart("worker")
        self.pids = self.processes()
        self.wait_for(lambda: vms.clone_status(self.wukong("copy", self.hers)).get("phase") in (
            "Succeeded", "Failed"), 120, "the clone to end")
        self.assertEqual(1, vms.clone_status(self.wukong("copy", self.hers))["attempts"])
        machines = json.dumps([m["spec"] for m in self.kube.list(vms.KUBEVIRT_API, "VirtualMachine", self.hers)])
        self.assertNotIn("db-password", machines)
        self.assertNotIn("serviceAccountName", machines)
        self.others_go_on()

    def test_a_right_that_is_taken_away_is_kept_by_no_waiting_clone(self):
        """She may clone the source when she asks, and may not any more when the clone's time has come."""
        source = self.source("payroll")
        self.kube.create({"apiVersion": RBAC, "kind": "Role",
                          "metadata": {"name": "clone", "namespace": self.namespace},
                          "rules": [{"apiGroups": ["vm.novasphere.dev"], "resources": ["wukongs/source"],
                                     "verbs": ["create"]}]})
        self.grant("clone", "Role", self.namespace)
        late = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 20))
        wanted = self.hers_wukong("late", source.name, namespace=self.namespace, notBefore=late)
        self.wait_for(lambda: self.may(lambda: self.mallory.create(wanted)), 15, "her right to be in force")
        self.kube.delete(RBAC, "RoleBinding", self.namespace, "mallory-clone")
        mark = self.bed.audit_mark()
        found = self.wait_reason("late", "PolicyAllowed", "NotAdmitted", timeout_s=60, namespace=self.hers)
        self.assertNotIn("attempts", vms.clone_status(found))
        self.assertEqual([], source.log("freeze-request"))
        self.assertEqual([], self.kube.list("v1", "PersistentVolumeClaim", self.hers))
        worker = self.bed.account("worker")
        self.assertEqual([], [e["requestURI"] for e in self.bed.audit_entries(mark)
                              if e["user"]["username"] == worker and f"/{source.name}" in e["requestURI"]])
        self.others_go_on()


if __name__ == "__main__":
    harness.main()
