"""Clones whose disks CDI makes: full ones, and those of another namespace or another driver.

With the CDI stand-in, or with CDI's own programs when WUKONG_CDI_APISERVER, WUKONG_CDI_CONTROLLER and
WUKONG_CDI_OBJECTS name them (tests/cluster/README.md, Real CDI), and either KubeVirt. A clone is judged
by its bytes and by what CDI and we leave behind. What CDI does by Pods that copy ends on the stand-in
alone; on real CDI those cases prove what the user is told meanwhile.
"""

import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bedlib import harness, objects, services, vms  # noqa: E402

CDI_API = "cdi.kubevirt.io/v1beta1"
RBAC = "rbac.authorization.k8s.io/v1"
_bed = None


def _own_bed():
    """A bed with CDI, which the shared one leaves out."""
    global _bed
    if _bed is None:
        attached = harness.os.environ.get("WUKONG_BED")
        if attached:
            _bed = harness.Bed(attached)
        else:
            options = harness.named_options()
            everything = services.select(None, options)
            _bed = harness.new_bed(wanted=[*everything, "cdi"])
    return _bed


class Case(vms.Concurrent):
    needs = ("cdi", *vms.PARTS)
    at_once = 3

    @classmethod
    def setUpClass(cls):
        if not services.SERVICES["cdi"].available({}):
            raise unittest.SkipTest("there is no CDI stand-in")
        cls.bed = _own_bed()
        if "cdi" not in cls.bed.parts():
            raise unittest.SkipTest("the bed has no cdi")
        if "virt-api" in cls.bed.parts() and "cdi-api" not in cls.bed.parts():
            # virt-controller waits for kinds of CDI that the stand-in does not have.
            raise unittest.SkipTest("real KubeVirt needs real CDI")
        cls.kube = cls.bed.admin()

    @property
    def copies(self):
        """Whether a host-assisted clone ends here."""
        return "cdi-api" not in self.bed.parts()

    def volume(self, name, namespace=None):
        return self.kube.find(CDI_API, "DataVolume", namespace or self.namespace, name)

    def clone_type(self, name, namespace=None):
        return self.claim(name, namespace)["metadata"]["annotations"].get("cdi.kubevirt.io/cloneType")

    def profile(self, strategy):
        """A storage class of its own with this strategy in its StorageProfile."""
        name = f"{strategy}-{self.namespace}"
        self.cleanup_object(objects.storage_class(name))
        self.wait_for(lambda: self.kube.find(CDI_API, "StorageProfile", None, name), 30, "the profile")
        self.kube.patch(CDI_API, "StorageProfile", None, name, {"spec": {"cloneStrategy": strategy}})
        self.wait_for(lambda: (self.kube.get(CDI_API, "StorageProfile", None, name).get("status") or {})
                      .get("cloneStrategy") == strategy, 30, "the profile's status")
        return name

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

    def test_a_copy_is_told(self):
        """Where CDI copies by Pods a clone waits for them, and can be deleted meanwhile."""
        name = self.profile("copy")
        source = self.stopped_source(storage_class=name)
        self.clone("slow", source, clone_source={"cloneType": "full"})
        self.wait_for(lambda: self.kube.find("v1", "PersistentVolumeClaim", self.namespace, "slow-root")
                      and self.clone_type("slow-root"), 40, "CDI's choice")
        self.assertEqual("copy", self.clone_type("slow-root"))
        if self.copies:
            self.wait_ended("slow", timeout_s=90)
            self.assert_same_records("slow", source)
            return
        time.sleep(5)
        status = self.wukong("slow")["status"]
        self.assertNotIn(status["cloneStatus"]["phase"], ("Succeeded", "Failed"))
        self.kube.delete(vms.WUKONG_API, "Wukong", self.namespace, "slow")
        self.wait_for(lambda: not self.kube.find(vms.WUKONG_API, "Wukong", self.namespace, "slow"), 60,
                      "the Wukong to go")
        self.wait_for(lambda: not self.kube.find("v1", "PersistentVolumeClaim", self.namespace, "slow-root"),
                      30, "its claim to go")


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
