"""Proves the CDI stand-in: DataVolumes behave as CDI's own code has it, errors and waits included.

Real sidecars provision what it asks for, so a clone is judged by its bytes. Sources are cited in
tests/cluster/cdi. Where WUKONG_CDI_… name CDI's own programs they are judged by the same cases, but for
those that inject faults or wait for a Pod that copies (tests/cluster/README.md, Real CDI).
"""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bedlib import beside, cdis, harness, objects  # noqa: E402

harness.quick_storage()
API = cdis.API
MIB = 1 << 20


class Case(cdis.OnCdi):
    wanted = ("cdi", "csi-provisioner", "csi-snapshotter", "snapshot-controller", "kcm")

    # ---- making things ----------------------------------------------------------------------------

    def source(self, data=b"source", **arguments):
        """A claim "src" that begins with `data`."""
        self.make_claim("src", **arguments)
        with open(self.volume_file("src"), "r+b") as disk:
            disk.write(data)
            disk.seek(-4, 2)
            disk.write(b"last")

    def snapshot(self, name="snap"):
        self.kube.create(objects.snapshot(self.namespace, name, "src"))
        self.wait_for(lambda: self.ready_snapshot(name), 30, "the snapshot to be ready")

    def volume(self, name="dv", source=("snapshot", "snap"), size="64Mi", namespace=None, form="storage",
               source_namespace=None, storage_class="file", annotations=None, **more):
        spec = {"accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem",
                "storageClassName": storage_class, **more}
        if size:
            spec["resources"] = {"requests": {"storage": size}}
        kind, source_name = source
        metadata = {"namespace": namespace or self.namespace, "name": name}
        if annotations:
            metadata["annotations"] = annotations
        return {"apiVersion": API, "kind": "DataVolume", "metadata": metadata,
                "spec": {form: spec, "source": {kind: {"name": source_name,
                                                       "namespace": source_namespace or self.namespace}}}}

    def get_volume(self, name="dv", namespace=None):
        return self.kube.get(API, "DataVolume", namespace or self.namespace, name)

    def wait_phase(self, phase, name="dv", namespace=None, timeout_s=30):
        def there():
            found = self.get_volume(name, namespace)
            return found if (found.get("status") or {}).get("phase") == phase else None
        return self.wait_for(there, timeout_s, f"DataVolume {name} to be {phase}")

    def condition(self, kind, name="dv", namespace=None):
        status = self.get_volume(name, namespace).get("status") or {}
        return next((c for c in status.get("conditions") or [] if c["type"] == kind), {})

    def annotations(self, name="dv", namespace=None):
        return self.claim(name, namespace)["metadata"].get("annotations") or {}

    def reasons(self, name, namespace=None):
        return [e["reason"] for e in self.bed.events(namespace or self.namespace, name)]

    def temporaries(self):
        """What clones leave in this namespace until they are done."""
        found = self.kube.list("v1", "PersistentVolumeClaim", self.namespace)
        found += self.kube.list(objects.SNAPSHOT_API, "VolumeSnapshot", self.namespace)
        return [o["metadata"]["name"] for o in found if o["metadata"]["name"].startswith("tmp-")]

    def check_bytes(self, name="dv", namespace=None, data=b"source", source_size=64 * MIB):
        disk = self.volume_file(name, namespace).read_bytes()
        self.assertEqual(data, disk[:len(data)])
        self.assertEqual(b"last", disk[source_size - 4:source_size])
        self.assertEqual(b"", disk[source_size:].strip(b"\0"))

    def size(self, name="dv", namespace=None):
        return self.claim(name, namespace)["spec"]["resources"]["requests"]["storage"]


class Crowd(beside.Concurrent, Case):
    together, at_once = "crowd", 6


class FromSnapshot(Crowd):
    def test_same_namespace(self):
        self.source()
        self.snapshot()
        with open(self.volume_file("src"), "r+b") as disk:
            disk.write(b"later!")
        self.kube.create(self.volume())
        done = self.wait_phase("Succeeded")
        self.check_bytes()
        self.assertEqual("100.0%", done["status"]["progress"])
        self.assertEqual("dv", done["status"]["claimName"])
        claim = self.claim("dv")
        owner = claim["metadata"]["ownerReferences"][0]
        self.assertEqual(("DataVolume", "dv", True), (owner["kind"], owner["name"], owner["controller"]))
        self.assertEqual("snapshot", claim["metadata"]["annotations"]["cdi.kubevirt.io/cloneType"])
        self.assertNotIn("cdi.kubevirt.io/cloneFallbackReason", claim["metadata"]["annotations"])
        self.assertEqual("True", self.condition("Ready")["status"])
        self.assertEqual(("True", "PVC dv Bound"), (self.condition("Bound")["status"],
                                                    self.condition("Bound")["message"]))
        self.assertEqual(("False", "Completed"), (self.condition("Running")["status"],
                                                  self.condition("Running")["reason"]))
        self.wait_for(lambda: not self.temporaries(), 30, "temporary objects to go")
        self.assertIn("CloneSucceeded", self.reasons("dv"))

    def test_storage_is_inflated_for_a_file_system(self):
        # GetRequiredSpace: 64 MiB and 6 %, rounded up to a byte; `pvc` is taken as it is.
        self.source()
        self.snapshot()
        self.kube.create(self.volume("inflated"))
        self.kube.create(self.volume("exact", form="pvc"))
        self.kube.create(self.volume("found-out", size=None))
        for name, want in (("inflated", "71135396"), ("exact", "64Mi"), ("found-out", "64Mi")):
            self.wait_phase("Succeeded", name)
            self.assertEqual(want, self.size(name))
            self.check_bytes(name)

    def test_grown(self):
        self.source()
        self.snapshot()
        self.kube.create(self.volume(size="128Mi", form="pvc"))
        self.wait_phase("Succeeded")
        self.check_bytes()
        self.assertEqual(128 * MIB, self.volume_file("dv").stat().st_size)

    def test_smaller_is_not_begun(self):
        self.source()
        self.snapshot()
        self.kube.create(self.volume(size="32Mi"))
        bound = self.wait_for(lambda: self.condition("Bound").get("reason") == "CloneValidationFailed"
                              and self.condition("Bound"), 30, "the validation's verdict")
        self.assertIn("target resources requests storage size is smaller than the source", bound["message"])
        self.assertIsNone(self.kube.find("v1", "PersistentVolumeClaim", self.namespace, "dv"))

    def test_source_may_come_later(self):
        self.source()
        self.kube.create(self.volume())
        self.wait_for(lambda: self.condition("Bound").get("reason") == "CloneWithoutSource", 10,
                      "the condition")
        self.assertEqual("The source snapshot snap doesn't exist", self.condition("Bound")["message"])
        self.snapshot()
        self.wait_phase("Succeeded")
        self.check_bytes()

    def test_modes_of_an_unknown_driver_must_be_given(self):
        own = f"modes-{self.namespace}"
        self.cleanup_object(objects.storage_class(own))
        self.source()
        self.snapshot()
        self.kube.create(self.volume(accessModes=[], volumeMode=None, storage_class=own))
        self.wait_for(lambda: self.condition("Bound").get("reason") == "ErrClaimNotValid", 30, "the condition")
        self.assertEqual(f"no accessMode specified in StorageProfile {own}", self.condition("Bound")["message"])
        patch = {"spec": {"claimPropertySets": [{"accessModes": ["ReadWriteMany"], "volumeMode": "Filesystem"}]}}
        self.kube.patch(API, "StorageProfile", None, own, patch)
        self.wait_phase("Succeeded", timeout_s=60)
        self.assertEqual(["ReadWriteMany"], self.claim("dv")["spec"]["accessModes"])

    def test_waits_for_its_first_consumer(self):
        self.source()
        self.snapshot()
        self.kube.create(self.volume(storage_class="file-wffc"))
        self.wait_phase("PendingPopulation")
        self.assertEqual([], self.temporaries())
        self.kube.patch("v1", "PersistentVolumeClaim", self.namespace, "dv",
                        {"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "n"}}})
        self.wait_phase("Succeeded")
        self.check_bytes()

    def test_another_provisioner_falls_back(self):
        other = f"other-{self.namespace}"
        self.cleanup_object({"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver",
                             "metadata": {"name": other}, "spec": {"attachRequired": False}})
        self.cleanup_object(objects.storage_class(other, provisioner=other))
        self.source()
        self.snapshot()
        self.kube.create(self.volume(storage_class=other))
        self.wait_for(lambda: self.annotations().get("cdi.kubevirt.io/cloneFallbackReason"), 30, "the fallback")
        self.assertEqual("The storageclass provisioner does not match the volumesnapshotcontent driver",
                         self.annotations()["cdi.kubevirt.io/cloneFallbackReason"])
        self.wait_for(lambda: "NoProvisionerMatch" in self.reasons("dv"), 10, "the Event")

    def test_a_failing_provisioner_fails_nothing(self):
        # clone-populator.go watches no Events: they are repeated on the target claim when something
        # else makes it look, and the DataVolume goes on for ever.
        name = f"fails-{self.namespace}"
        self.cleanup_object(objects.storage_class(name, {"fault-restore-fail": "true"}))
        self.source()
        self.snapshot()
        self.kube.create(self.volume(storage_class=name))
        temporary = self.wait_for(self.temporaries, 30, "the temporary claim")[0]
        self.wait_for(lambda: "ProvisioningFailed" in self.reasons(temporary), 30, "the failure")
        self.wait_phase("CloneFromSnapshotSourceInProgress")
        self.kube.patch("v1", "PersistentVolumeClaim", self.namespace, "dv",
                        {"metadata": {"labels": {"look": "again"}}})
        # csi-provisioner, too, may have failed at the target claim, by a conflict.
        def repeated():
            return [e for e in self.bed.events(self.namespace, "dv") if re.search(
                rf"^\[{temporary}\] : .*injected failure of restore", e["message"])]
        self.wait_for(repeated, 30, "the repeated Event")
        self.kube.delete(API, "DataVolume", self.namespace, "dv")
        self.wait_for(lambda: not self.temporaries(), 30, "temporary objects to go")


class FromClaim(Crowd):
    def test_by_snapshot(self):
        self.source()
        self.kube.create(self.volume(source=("pvc", "src")))
        self.wait_phase("Succeeded")
        self.check_bytes()
        self.assertEqual("snapshot", self.annotations()["cdi.kubevirt.io/cloneType"])
        self.wait_for(lambda: not self.temporaries(), 30, "temporary objects to go")

    def test_by_the_profiles_strategy(self):
        self.source()
        for strategy in ("csi-clone",) if self.real else ("csi-clone", "copy"):
            self.kube.create(self.volume(strategy, source=("pvc", "src"),
                                         storage_class=self.profile(strategy)))
            self.wait_phase("Succeeded", strategy)
            self.check_bytes(strategy)
            self.assertEqual(strategy, self.annotations(strategy)["cdi.kubevirt.io/cloneType"])

    def test_waits_while_the_source_is_written(self):
        self.source()
        pod = {"apiVersion": "v1", "kind": "Pod",
               "metadata": {"namespace": self.namespace, "name": "writer"},
               "spec": {"containers": [{"name": "c", "image": "none",
                                        "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
                        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "src"}}]}}
        self.kube.create(pod)
        self.kube.create(self.volume(source=("pvc", "src")))
        self.wait_for(lambda: "CloneSourceInUse" in self.reasons("dv"), 30, "the Event")
        message = next(e["message"] for e in self.bed.events(self.namespace, "dv")
                       if e["reason"] == "CloneSourceInUse")
        self.assertEqual(f"pod {self.namespace}/writer using PersistentVolumeClaim src", message)
        self.assertEqual([], self.temporaries())
        self.kube.request("DELETE", f"/api/v1/namespaces/{self.namespace}/pods/writer?gracePeriodSeconds=0")
        self.wait_phase("Succeeded")
        self.check_bytes()


class Across(Case):
    def setUp(self):
        super().setUp()
        self.target = self.make_namespace(self.namespace + "-to")
        self.user = f"user-{self.namespace}"
        self.grant(self.target, [{"apiGroups": ["cdi.kubevirt.io"], "resources": ["datavolumes"],
                                  "verbs": ["create", "get", "patch"]}])
        self.source()
        self.snapshot()

    def grant(self, namespace, rules):
        name = f"grant-{len(self.kube.list('rbac.authorization.k8s.io/v1', 'Role', namespace))}"
        self.kube.create({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
                          "metadata": {"namespace": namespace, "name": name}, "rules": rules})
        self.kube.create({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                          "metadata": {"namespace": namespace, "name": name},
                          "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
                          "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User",
                                        "name": self.user}]})

    def attempt(self, name="dv", **arguments):
        arguments.setdefault("source_namespace", self.namespace)
        body = self.volume(name, namespace=self.target, **arguments)
        return self.bed.user_client(self.user).create(body)

    def refused(self, **arguments):
        self.assert_refused(lambda: self.attempt(**arguments), 422,
                            f"User {self.user} has insufficient permissions in clone source namespace "
                            f"{self.namespace}")


class AcrossNamespaces(Across, Crowd):
    """Who may clone from another namespace is asked of the requesting user; the token that says yes
    is bound to this source and this target."""

    def test_datavolumes_source_permits(self):
        self.refused()
        self.grant(self.namespace, [{"apiGroups": ["cdi.kubevirt.io"], "resources": ["datavolumes/source"],
                                     "verbs": ["create"], "resourceNames": ["snap"]}])
        self.wait_for(self.attempt, 30, "the grant to be known")
        self.wait_phase("Succeeded", namespace=self.target)
        self.check_bytes(namespace=self.target)
        self.wait_for(lambda: not self.temporaries(), 30, "temporary objects to go")
        self.refused(name="other", source=("pvc", "src"))
        self.wait_for(lambda: not self.get_volume(namespace=self.target)["metadata"].get("finalizers"), 10,
                      "the finalizer to go")

    def test_creating_pods_permits_a_claim_but_not_a_snapshot(self):
        self.grant(self.namespace, [{"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]}])
        self.wait_for(lambda: self.attempt("claim", source=("pvc", "src")), 30, "the grant to be known")
        self.wait_phase("Succeeded", "claim", self.target)
        self.check_bytes("claim", self.target)
        self.refused()

    def test_a_brought_token_is_replaced(self):
        body = self.volume(namespace=self.target, annotations={"cdi.kubevirt.io/storage.clone.token": "forged"})
        made = self.kube.create(body)  # the admin may
        self.assertNotEqual("forged", made["metadata"]["annotations"]["cdi.kubevirt.io/storage.clone.token"])


class Alone(Across):
    """What nobody else may meet: faults of the stand-in, its death, a webhook that is gone."""

    def test_without_the_webhook_nothing_is_read(self):
        # A token of another clone is taken over while nobody asks.
        self.kube.create(self.volume("good", namespace=self.target))
        good = self.wait_phase("Succeeded", "good", self.target)
        token = good["metadata"]["annotations"]["cdi.kubevirt.io/storage.clone.token"]
        kind = "MutatingWebhookConfiguration"
        api = "admissionregistration.k8s.io/v1"
        webhook = self.kube.get(api, kind, None, "cdi-api-datavolume-mutate")
        self.kube.delete(api, kind, None, "cdi-api-datavolume-mutate")
        webhook["metadata"] = {"name": webhook["metadata"]["name"]}
        self.addCleanup(self.kube.create, webhook)

        def unwatched(name, annotations):
            """Created once the API server has stopped asking."""
            def create():
                made = self.kube.create(self.volume(name, namespace=self.target, annotations=annotations))
                got = (made["metadata"].get("annotations") or {}).get("cdi.kubevirt.io/storage.clone.token")
                if got != (annotations or {}).get("cdi.kubevirt.io/storage.clone.token"):
                    self.kube.delete(API, "DataVolume", self.target, name)
                    return None
                return made
            self.wait_for(create, 30, "an unwatched creation")
        unwatched("none", None)
        unwatched("forged", {"cdi.kubevirt.io/storage.clone.token": "a.b.c"})
        unwatched("copied", {"cdi.kubevirt.io/storage.clone.token": token})
        self.wait_for(lambda: self.annotations("copied", self.target).get("cdi.kubevirt.io/cloneError"), 10,
                      "the refusal")
        self.assertEqual("invalid token", self.annotations("copied", self.target)["cdi.kubevirt.io/cloneError"])
        self.wait_for(lambda: self.condition("Running", "copied", self.target).get("message") == "invalid token",
                      30, "the condition")
        for name in ("none", "forged"):
            self.assertEqual("Pending", self.get_volume(name, self.target)["status"]["phase"])
            self.assertIsNone(self.kube.find("v1", "PersistentVolumeClaim", self.target, name))
        self.assertEqual([], self.temporaries())

    def test_deleted_half_way(self):
        self.faults({"holdIn": "SnapshotClone"})
        self.kube.create(self.volume(namespace=self.target))
        self.wait_phase("CloneFromSnapshotSourceInProgress", namespace=self.target)
        self.wait_for(self.temporaries, 30, "the temporary claim")
        self.kube.delete(API, "DataVolume", self.target, "dv")
        self.wait_for(lambda: not self.temporaries(), 30, "temporary objects to go")
        self.wait_for(lambda: self.kube.find("v1", "PersistentVolumeClaim", self.target, "dv") is None, 30,
                      "the claim to go")

    def test_killed_half_way(self):
        self.faults({"holdIn": "SnapshotClone"})
        self.kube.create(self.volume(namespace=self.target))
        self.wait_phase("CloneFromSnapshotSourceInProgress", namespace=self.target)
        self.bed.kill("cdi")
        self.faults({})
        self.bed.start("cdi")
        self.wait_phase("Succeeded", namespace=self.target)
        self.check_bytes(namespace=self.target)

    def test_without_expansion_it_falls_back_to_a_copy_and_says_so(self):
        self.faults({"copyMs": 2500})
        self.kube.create(self.volume(size="128Mi", storage_class="file-fixed", form="pvc"))
        self.wait_phase("CloneInProgress")
        seen = set()
        self.wait_for(lambda: seen.add(self.get_volume()["status"].get("progress")) or len(seen) > 2, 10,
                      "progress")
        self.assertRegex(sorted(seen)[0], r"^\d+\.\d\d%$|^N/A$")
        self.wait_phase("Succeeded")
        self.check_bytes()
        self.assertEqual("copy", self.annotations()["cdi.kubevirt.io/cloneType"])
        self.assertEqual("No volume expansion is possible",
                         self.annotations()["cdi.kubevirt.io/cloneFallbackReason"])
        self.assertEqual("copy", self.get_volume()["metadata"]["annotations"]["cdi.kubevirt.io/cloneType"])
        self.assertIn("NoVolumeExpansion", self.reasons("dv"))
        self.wait_for(lambda: not self.temporaries(), 30, "temporary objects to go")


class Admission(Crowd):
    """datavolume-validate.go: one mistake at a time, with its text."""

    def test_mistakes(self):
        def without(key):
            body = self.volume()
            del body["spec"][key]
            return body

        def both_sources():
            body = self.volume()
            body["spec"]["source"]["pvc"] = {"name": "x", "namespace": self.namespace}
            return body
        rows = [
            ("no storage", without("storage"), "Missing Data volume PVC"),
            ("both forms", {**self.volume(), "spec": {**self.volume()["spec"], "pvc": {}}},
             "Duplicate storage definition, both target storage and target pvc defined"),
            ("no source", without("source"),
             "Data volume should have either Source or SourceRef, or be externally populated"),
            ("two sources", both_sources(), "Multiple Data volume sources"),
            ("pvc without size", self.volume(form="pvc", size=None), "PVC size is missing"),
            ("size zero", self.volume(size="0"), "Storage size can't be equal or less than zero"),
            ("too small", self.volume(size="1Ki"), "Storage size should be at least 1MiB"),
            ("pvc without mode", self.volume(form="pvc", accessModes=[]),
             "Required value: at least 1 access mode is required"),
            ("two modes", self.volume(form="pvc", accessModes=["ReadWriteOnce", "ReadWriteMany"]),
             "PVC multiple accessModes"),
            ("unknown mode", self.volume(accessModes=["Never"]), 'Unsupported value: "Never"'),
        ]
        for name, body, message in rows:
            with self.subTest(name):
                self.assert_refused(lambda: self.kube.create(body), 422, message)

    def test_spec_is_immutable(self):
        self.kube.create(self.volume())
        self.assert_refused(lambda: self.kube.patch(API, "DataVolume", self.namespace, "dv", {
            "spec": {"source": {"snapshot": {"name": "other"}}}}), 422, "Cannot update DataVolume Spec")
        self.kube.patch(API, "DataVolume", self.namespace, "dv", {"metadata": {"labels": {"a": "b"}}})

    def test_somebody_elses_claim_is_not_taken(self):
        self.make_claim("dv")
        self.assert_refused(lambda: self.kube.create(self.volume()), 422,
                            f"Destination PVC {self.namespace}/dv already exists")


if __name__ == "__main__":
    harness.main()
