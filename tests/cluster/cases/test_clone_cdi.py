"""Clones whose disks CDI makes: full ones, and those of another namespace or another driver.

With the CDI stand-in, or with CDI's own programs when WUKONG_CDI_APISERVER, WUKONG_CDI_CONTROLLER and
WUKONG_CDI_OBJECTS name them (tests/cluster/README.md, Real CDI), and either KubeVirt. A clone is judged
by its bytes and by what CDI and we leave behind. What CDI does by Pods that copy ends on the stand-in
alone; on real CDI those cases prove what the user is told meanwhile.
"""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bedlib import beside, cdis, harness, objects, vms  # noqa: E402
from bedlib.faultrows import driver_rows  # noqa: E402

harness.quick_storage()


class Case(cdis.OnCdi, vms.Concurrent):
    needs = ("cdi", *vms.PARTS)
    together, at_once = "clones", 8

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if "virt-api" in cls.bed.parts() and "cdi-api" not in cls.bed.parts():
            # virt-controller waits for kinds of CDI that the stand-in does not have.
            raise unittest.SkipTest("real KubeVirt needs real CDI")

    def volume(self, name, namespace=None):
        return self.kube.find(cdis.API, "DataVolume", namespace or self.namespace, name)

    def clone_type(self, name, namespace=None):
        return self.claim(name, namespace)["metadata"]["annotations"].get("cdi.kubevirt.io/cloneType")

    def assert_nothing_of_cdi(self, *namespaces):
        """No temporary claim, snapshot or Pod of CDI."""
        def left():
            found = []
            for namespace in namespaces or (self.namespace,):
                for api, kind in (("v1", "PersistentVolumeClaim"), ("v1", "Pod"),
                                  (objects.SNAPSHOT_API, "VolumeSnapshot")):
                    found += [o["metadata"]["name"] for o in self.kube.list(api, kind, namespace)
                              if o["metadata"]["name"].startswith(("tmp-", "prep-"))]
            return found
        self.wait_for(lambda: not left(), 30, "CDI's temporary objects to go")


class Full(Case):
    def test_two_disks(self):
        source = self.stopped_source(disks=("root", "data"))
        self.clone("whole", source, clone_source={"cloneType": "full"})
        self.wait_ended("whole", timeout_s=90)
        self.assert_same_records("whole", source)
        for disk in source.claims:
            self.assertEqual("snapshot", self.clone_type(f"whole-{disk}"))
            self.assertEqual("Succeeded", self.volume(f"whole-{disk}")["status"]["phase"])
        self.assert_nothing_of_cdi()
        self.assert_no_temporaries()
        self.assertEqual([], source.log("frozen"))

    def test_a_class_without_expansion(self):
        """The clone is as large as its source, not 6 % larger: nothing has to grow."""
        source = self.stopped_source(storage_class="file-fixed")
        self.clone("fixed", source, clone_source={"cloneType": "full"})
        self.wait_ended("fixed", timeout_s=90)
        self.assert_same_records("fixed", source)
        self.assertEqual("snapshot", self.clone_type("fixed-root"))
        self.assertEqual("64Mi", self.claim("fixed-root")["spec"]["resources"]["requests"]["storage"])

    def test_it_waits_for_the_source_to_stop(self):
        source = self.source(owned=True)
        self.clone("whole", source, clone_source={"cloneType": "full"})
        self.wait_reason("whole", "SourceReady", "SourceRunning")
        self.assertIsNone(self.volume("whole-root"))
        self.kube.patch(vms.KUBEVIRT_API, "VirtualMachine", self.namespace, source.name,
                        {"spec": {"runStrategy": "Halted"}})
        self.wait_ended("whole", timeout_s=90)
        self.assert_same_records("whole", source)

    def test_by_csi_clone_and_grown(self):
        name = self.profile("csi-clone")
        source = self.stopped_source(storage_class=name)
        self.clone("csi", source, clone_source={"cloneType": "full"}, disks=[{"name": "root", "size": "96Mi"}])
        self.wait_ended("csi", timeout_s=90)
        self.assert_same_records("csi", source)
        self.assertEqual("csi-clone", self.clone_type("csi-root"))
        self.assertLessEqual(96 << 20, self.volume_file("csi-root").stat().st_size)
        self.assert_nothing_of_cdi()

    def test_from_another_namespace(self):
        source = self.stopped_source()
        there = self.make_namespace(f"{self.namespace}-there")
        self.clone("far", source, namespace=there,
                   clone_source={"cloneType": "full", "namespace": self.namespace})
        self.wait_ended("far", namespace=there, timeout_s=90)
        self.assert_same_records("far", source, there)
        self.assert_nothing_of_cdi(self.namespace, there)
        self.assert_no_temporaries()

    def test_a_class_that_waits_for_its_consumer(self):
        source = self.stopped_source()
        self.clone("late", source, clone_source={"cloneType": "full"},
                   disks=[{"name": "root", "storageClassName": "file-wffc"}])
        self.wait_ended("late", timeout_s=90)
        self.assert_same_records("late", source)


class Copied(Case):
    """What CDI copies byte by byte takes long: it is told, with how far it is. With CDI's own programs
    it does not end (bedlib/cdinode.py), and can be deleted meanwhile."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not cls.is_real():
            # Slow enough for more than one word on how far it is, which is told once a second at most.
            cls.write_faults({"copyMs": int(6000 * harness.PATIENCE)})

    def _told(self, name, cause):
        """The Event and the status that tell of it; the progress of its one disk until it ends."""
        def event():
            return [e for e in self.bed.events(self.namespace, name) if e["reason"] == "HostAssistedCopy"]
        found = self.wait_for(event, 60, "the Event")
        self.assertEqual(1, len(found))
        self.assertEqual("Warning", found[0]["type"])
        self.assertIn("disk root", found[0]["message"])
        self.assertIn(cause or "the storage class asks for it", found[0]["message"])
        self.assertEqual(cause, self.claim(f"{name}-root")["metadata"]["annotations"]
                         .get("cdi.kubevirt.io/cloneFallbackReason"))
        seen = []

        def copied():
            found = self.wukong(name)
            disk, = vms.clone_status(found)["disks"]
            self.assertEqual("CDIHostCopy", disk["method"])
            if not seen or seen[-1] != disk["progress"]:
                seen.append(disk["progress"])
            return self.ended(name, "Succeeded")
        if self.real:
            self.wait_for(lambda: copied() is None, 30, "its status")
            self._deleted(name)
            return
        self.wait_for(copied, 90, f"{name} to succeed")
        numbers = [int(text[:-1]) for text in seen]
        self.assertEqual(sorted(numbers), numbers)
        self.assertEqual(100, numbers[-1])
        self.assertGreaterEqual(len([n for n in numbers if 0 < n < 100]), 2, "the copy's own progress")

    def _deleted(self, name):
        self.kube.delete(vms.WUKONG_API, "Wukong", self.namespace, name)
        self.wait_for(lambda: not self.kube.find(vms.WUKONG_API, "Wukong", self.namespace, name), 60,
                      "the Wukong to go")
        self.wait_for(lambda: not self.kube.find("v1", "PersistentVolumeClaim", self.namespace,
                                                 f"{name}-root"), 30, "its claim to go")

    def test_a_copy_that_was_asked_for(self):
        name = self.profile("copy")
        source = self.stopped_source(storage_class=name)
        self.clone("slow", source, clone_source={"cloneType": "full"})
        self._told("slow", None)
        if not self.real:
            self.assert_same_records("slow", source)

    def test_a_copy_that_cdi_falls_back_to(self):
        """From a driver to another one: CDI says so in an annotation of the claim alone."""
        self.other_drivers_claim("src-data-0", f"{self.namespace}.csi.example")
        source = vms.Source(self, "src", {"root": "src-data-0"}, True, self.namespace)
        self.kube.create(vms.vm(self.namespace, "src", vms.machine_spec(source.claims),
                                {vms.FAULT + "write-interval": "40"}, run_strategy="Halted"))
        self.run_once(source)
        self.clone("other", source, clone_source={"cloneType": "full"},
                   disks=[{"name": "root", "storageClassName": "file"}])
        self._told("other", "No compatible volumesnapshotclass found")
        if not self.real:
            self.assert_same_records("other", source)
            self.assert_nothing_of_cdi()

    def test_every_fault_of_the_driver_with_an_empty_volume(self):
        """Only a copy asks for one (the other faults: test_clone_reasons.py)."""
        if self.real:
            self.skipTest("copies do not end")
        source = self.stopped_source()
        wrong = [w for w in beside.everywhere(self._meet, *[
            (f"f-{name}", row, source) for name, row in driver_rows("create", "copy").items()]) if w]
        self.assertEqual([], wrong)
        self.assert_nothing_of_cdi()

    def _meet(self, name, row, source):
        limit = {"deadlineSeconds": int(15 * harness.PATIENCE)} if row.reason else {}
        try:
            self.clone(name, source, clone_source={"cloneType": "full", "retryLimit": 0, **limit},
                       startStrategy={"autoStart": False}, disks=[
                           {"name": "root", "storageClassName": self.profile("copy", name, **row.faults)}])
            found = self.wait_ended(name, "Failed" if row.reason else "Succeeded", timeout_s=120)
            if not row.reason:
                self.assert_same_records(name, source)
                return None
            error = vms.clone_status(found)["lastError"]
            self.assertEqual((row.reason, True), (error["reason"], "root" in error["message"]), error)
            self.assert_nothing_left(name, ["root"])
            self.assertIsNone(self.volume(f"{name}-root"))
        except Exception as wrong:  # all rows are to be told, not the first that fails
            return f"{name}: {type(wrong).__name__}: {str(wrong)[:700]}"
        finally:
            self.kube.close()
        return None


class Running(Case):
    def test_from_another_namespace(self):
        source = self.source(disks=("root", "data"), owned=True)
        there = self.make_namespace(f"{self.namespace}-there")
        self.clone("far", source, namespace=there, clone_source={"namespace": self.namespace},
                   disks=[{"name": "root", "size": "96Mi"}, {"name": "data"}])
        self.wait_ended("far", namespace=there, timeout_s=90)
        self.assert_cloned("far", source, namespace=there)
        self.assertEqual("snapshot", self.clone_type("far-root", there))
        self.assert_nothing_of_cdi(self.namespace, there)
        self.assert_no_temporaries(there)

    def test_replicas_from_another_namespace(self):
        source = self.source()
        there = self.make_namespace(f"{self.namespace}-there")
        self.clone("many", source, namespace=there, clone_source={"namespace": self.namespace}, replicas=2)
        self.wait_ended("many", namespace=there, timeout_s=90)
        self.assertEqual(1, len(source.log("frozen")))
        for i in range(2):
            held = vms.read_live(self.volume_file(f"many-vm-{i}-root", there))
            self.assertEqual(list(range(1, self.frozen_at(source) + 1)), held.numbers(source.uid))
        self.assert_nothing_of_cdi(self.namespace, there)
        self.assert_no_temporaries()

    def test_a_class_that_waits_for_its_consumer(self):
        source = self.source()
        there = self.make_namespace(f"{self.namespace}-there")
        self.clone("late", source, namespace=there, clone_source={"namespace": self.namespace},
                   disks=[{"name": "root", "storageClassName": "file-wffc"}])
        self.wait_ended("late", namespace=there, timeout_s=90)
        self.assert_cloned("late", source, namespace=there)

    def test_without_another_namespace_cdi_is_not_asked(self):
        source = self.source()
        self.clone("near", source)
        self.wait_ended("near")
        self.assert_cloned("near", source)
        self.assertIsNone(self.volume("near-root"))

    def test_quota_of_the_sources_namespace(self):
        """CDI fills a claim in the source's namespace, whose quota counts: the user is told, and the
        clone goes on by itself once there is room."""
        source = self.source()
        there = self.make_namespace(f"{self.namespace}-there")
        quota = {"apiVersion": "v1", "kind": "ResourceQuota",
                 "metadata": {"namespace": self.namespace, "name": "q"},
                 "spec": {"hard": {"requests.storage": "100Mi"}}}
        self.kube.create(quota)
        self.wait_for(lambda: (self.kube.get("v1", "ResourceQuota", self.namespace, "q").get("status")
                               or {}).get("used"), 20, "the quota to count")
        self.clone("full", source, namespace=there, clone_source={"namespace": self.namespace})
        told = self.wait_for(lambda: "exceeded quota" in str(self.wukong("full", there).get("status")) and
                             self.wukong("full", there)["status"], 120, "the user to be told")
        self.assertNotEqual("Failed", told["cloneStatus"]["phase"])
        self.kube.patch("v1", "ResourceQuota", self.namespace, "q",
                        {"spec": {"hard": {"requests.storage": "1Gi"}}})
        self.wait_ended("full", namespace=there, timeout_s=150)
        self.assert_cloned("full", source, namespace=there)

    def test_deleted_half_way(self):
        """The DataVolume, its claim and CDI's temporary one go with the Wukong; the source is thawed."""
        name = f"slow-{self.namespace}"
        self.cleanup_object(objects.storage_class(name, {"fault-restore-delay-ms": "15000"}))
        source = self.source(storage_class=name)
        there = self.make_namespace(f"{self.namespace}-there")
        self.clone("gone", source, namespace=there, clone_source={"namespace": self.namespace})
        self.wait_for(lambda: (self.volume("gone-root", there) or {}).get("status", {}).get("phase")
                      == "CloneFromSnapshotSourceInProgress", 40, "CDI to restore")
        self.kube.delete(vms.WUKONG_API, "Wukong", there, "gone")
        self.wait_for(lambda: not self.kube.find(vms.WUKONG_API, "Wukong", there, "gone"), 90,
                      "the Wukong to go")
        self.assert_nothing_left("gone", ["root"], there)
        self.assertIsNone(self.volume("gone-root", there))
        self.assert_nothing_of_cdi(self.namespace, there)
        self.wait_for(lambda: not self.snapshots(), 60, "the snapshot to go")
        self.assert_untouched(source)


if __name__ == "__main__":
    harness.main()
