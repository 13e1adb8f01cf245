#!/usr/bin/env python3
"""Namespaced mode (chart value watchNamespaces) on a bed of its own: with Roles in two namespaces instead
of ClusterRoles the programs clone within and between these two, their tokens get nothing of a third one,
and a clone that needs the third one is refused with the reason.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.dont_write_bytecode = True

from bedlib import harness, objects, vms  # noqa: E402

SERVED = ("served-a", "served-b")
SYSTEM = "wukong-system"
VALUES = {"watchNamespaces": "{%s}" % ",".join(SERVED)}
for i, name in enumerate(SERVED):
    VALUES.update({f"extraObjects[{i}].apiVersion": "v1", f"extraObjects[{i}].kind": "Namespace",
                   f"extraObjects[{i}].metadata.name": name})
BED = None


class Namespaced(vms.CloneCase):
    @classmethod
    def make_bed(cls):
        global BED
        BED = BED or harness.new_bed("namespaced", chart_values=VALUES)
        return BED

    def test_clones_within_and_between_the_namespaces_served(self):
        a, b = SERVED
        source = self.source("db", namespace=a, disks=("root", "data"))
        self.clone("near", source, namespace=a)
        self.clone("far", source, namespace=b, clone_source={"namespace": a})
        for name, where in (("near", a), ("far", b)):
            self.wait_ended(name, namespace=where)
            self.assert_cloned(name, source, namespace=where)

    def test_a_clone_that_needs_a_third_namespace_is_refused(self):
        """By the API server where the webhook is not asked, by the webhook where it is."""
        told = "serves the namespaces served-a, served-b"
        wanted = objects.wukong(self.namespace, "w", {"cloneSource": {"type": "vmi", "vmiName": "db"}})
        self.assert_refused(lambda: self.kube.create(wanted), 403, told)
        there = objects.wukong(SERVED[0], "w", {"cloneSource": {
            "type": "vmi", "vmiName": "db", "namespace": self.namespace}})
        self.assert_refused(lambda: self.kube.create(there), 403, f'{told} and not "{self.namespace}"')

    # ---- rights ---------------------------------------------------------------------------------

    def answer(self, client, method, path, body=None):
        code, _, _ = client.raw(method, path, body)
        return code

    def reads(self, namespace):
        scope = f"/namespaces/{namespace}" if namespace else ""
        for group, resources in (
                ("/api/v1", ("persistentvolumeclaims", "pods", "events")),
                ("/apis/vm.novasphere.dev/v1alpha1", ("wukongs",)),
                ("/apis/kubevirt.io/v1", ("virtualmachines", "virtualmachineinstances")),
                ("/apis/snapshot.kubevirt.io/v1beta1", ("virtualmachinesnapshots",
                                                        "virtualmachinesnapshotcontents")),
                ("/apis/snapshot.storage.k8s.io/v1", ("volumesnapshots",))):
            for resource in resources:
                yield f"{group}{scope}/{resource}?limit=1"

    def test_the_workers_token_reads_nothing_of_a_third_namespace(self):
        worker = self.bed.client(SYSTEM, "wukong-worker")
        for path in self.reads(SERVED[0]):
            self.assertEqual(200, self.answer(worker, "GET", path), path)
        for where in (self.namespace, "kube-system", None):
            for path in self.reads(where):
                self.assertEqual(403, self.answer(worker, "GET", path), path)
        for path, code in ((f"/api/v1/namespaces/{SERVED[0]}", 200), ("/api/v1/namespaces", 403),
                           (f"/api/v1/namespaces?fieldSelector=metadata.name%3D{SERVED[1]}", 200),
                           (f"/api/v1/namespaces?fieldSelector=metadata.name%3D{self.namespace}", 403),
                           (f"/api/v1/namespaces/{self.namespace}", 403),
                           (f"/api/v1/namespaces/{SERVED[0]}/configmaps/kube-root-ca.crt", 403),
                           (f"/api/v1/namespaces/{SERVED[0]}/secrets?limit=1", 403)):
            self.assertEqual(code, self.answer(worker, "GET", path), path)

    def test_the_workers_token_writes_nothing_of_a_third_namespace(self):
        worker = self.bed.client(SYSTEM, "wukong-worker")
        virt = "/apis/subresources.kubevirt.io/v1/namespaces"

        def tried(namespace):
            claim = objects.claim(namespace, "stolen")
            snapshot = {"apiVersion": objects.SNAPSHOT_API, "kind": "VolumeSnapshot",
                        "metadata": {"namespace": namespace, "name": "stolen"},
                        "spec": {"source": {"persistentVolumeClaimName": "any"}}}
            machine = vms.vm(namespace, "stolen", vms.machine_spec({}, "02:00:00:00:00:01"), {}, None)
            config = {"apiVersion": "v1", "kind": "ConfigMap",
                      "metadata": {"namespace": namespace, "name": "stolen"}}
            event = {"apiVersion": "v1", "kind": "Event", "metadata": {"namespace": namespace, "name": "stolen"},
                     "involvedObject": {"namespace": namespace}, "reason": "A", "message": "b", "type": "Normal"}
            for made in (claim, snapshot, machine, config, event):
                yield "POST", self.kube.path_of(made, with_name=False) + "?dryRun=All", made
            for verb in ("freeze", "unfreeze"):
                yield "PUT", f"{virt}/{namespace}/virtualmachineinstances/none/{verb}", {}
            for verb in ("start", "stop"):
                yield "PUT", f"{virt}/{namespace}/virtualmachines/none/{verb}", {}
            for made in (claim, snapshot, machine):
                yield "DELETE", self.kube.path_of(made), None
        for method, path, body in tried(SERVED[0]):
            self.assertNotEqual(403, self.answer(worker, method, path, body), f"{method} {path}")
        for where in (self.namespace, "kube-system"):
            for method, path, body in tried(where):
                self.assertEqual(403, self.answer(worker, method, path, body), f"{method} {path}")

    def test_the_worker_is_held_to_the_snapshots_of_the_namespaces_served(self):
        """RBAC cannot tell whose a VolumeSnapshotContent is; a policy does."""
        worker, told = self.bed.client(SYSTEM, "wukong-worker"), "serves the namespaces served-a, served-b alone"

        def content(namespace):
            return {"apiVersion": objects.SNAPSHOT_API, "kind": "VolumeSnapshotContent",
                    "metadata": {"name": f"content-{namespace}"},
                    "spec": {"deletionPolicy": "Retain", "driver": "other.example.com",
                             "source": {"snapshotHandle": "somebodys"},
                             "volumeSnapshotRef": {"namespace": namespace, "name": "nightly"}}}
        theirs, served = content(self.namespace), content(SERVED[0])
        taken = {"spec": {"volumeSnapshotRef": {"namespace": SERVED[0]}}}
        path = self.cleanup_object(theirs) and self.kube.path_of(theirs)
        for attempt in (
                lambda: worker.request("POST", self.kube.path_of(theirs, with_name=False) + "?dryRun=All",
                                       content(self.namespace) | {"metadata": {"name": "another"}}),
                lambda: worker.request("PATCH", path, {"spec": {"deletionPolicy": "Delete"}},
                                       "application/merge-patch+json"),
                lambda: worker.request("PATCH", path, taken, "application/merge-patch+json"),
                lambda: worker.request("DELETE", path)):
            self.assert_refused(attempt, 403, told)
        path = self.kube.path_of(served)
        self.cleanup_object(served)
        worker.request("PATCH", path, {"spec": {"deletionPolicy": "Delete"}}, "application/merge-patch+json")
        worker.request("DELETE", path)

    def test_the_webhooks_token_reads_nothing_of_a_third_namespace(self):
        webhook = self.bed.client(SYSTEM, "wukong-webhook")
        paths = [("/apis/kubevirt.io/v1", "virtualmachines/none"),
                 ("/apis/kubevirt.io/v1", "virtualmachineinstances/none"),
                 ("/api/v1", "persistentvolumeclaims/none")]
        for root, resource in paths:
            self.assertEqual(404, self.answer(webhook, "GET", f"{root}/namespaces/{SERVED[0]}/{resource}"))
            self.assertEqual(403, self.answer(webhook, "GET", f"{root}/namespaces/{self.namespace}/{resource}"))
        self.assertEqual(200, self.answer(webhook, "GET", f"/api/v1/namespaces/{SERVED[0]}"))
        self.assertEqual(403, self.answer(webhook, "GET", f"/api/v1/namespaces/{self.namespace}"))


if __name__ == "__main__":
    harness.main()
