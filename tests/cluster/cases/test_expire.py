"""Proves that an expired clone is gone, with its disks, at its time, and nothing else; that it is stopped where that was
asked for; that an edit extends it, as far as a ClonePolicy allows and for a user with role edit; and that what a
user has made of the same names and labels stays.
"""

import datetime
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bedlib import harness, objects, vms  # noqa: E402

harness.quick_storage()
API = vms.WUKONG_API
CLAIM = "PersistentVolumeClaim"


def stamp(seconds):
    return datetime.datetime.fromtimestamp(int(seconds), datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Expire(vms.Concurrent):
    together = "expire"

    def expire_in(self, name, seconds, action="Delete"):
        end = int(time.time()) + seconds
        self.kube.patch(API, "Wukong", self.namespace, name, {"spec": {"expires": {
            "at": stamp(end), "after": None, "action": action}}})
        return end

    def find(self, kind, name, api=vms.KUBEVIRT_API):
        return self.kube.find(api, kind, self.namespace, name)

    def wait_expired(self, name, timeout_s=40):
        return self.wait_reason(name, "Ready", "Expired", timeout_s)

    def test_a_batch_goes_with_its_disks_and_nothing_else(self):
        source = self.source(disks=("root", "data"))
        self.clone("other", source)
        self.clone("lab", source, replicas=2, expires={"after": "1h", "action": "Delete"})
        self.wait_ended("lab", timeout_s=90)
        self.wait_ended("other")
        # A claim that somebody copied, labels and all.
        mine = self.kube.get("v1", CLAIM, self.namespace, "lab-vm-0-root")
        copy = objects.claim(self.namespace, "copied")
        copy["metadata"]["labels"] = mine["metadata"]["labels"]
        self.kube.create(copy)
        shown = vms.clone_status(self.wukong("lab"))
        self.assertAlmostEqual(vms.seconds(shown["completionTime"]) + 3600, vms.seconds(shown["expiresTime"]), delta=1)
        self.wait_for(lambda: [e for e in self.bed.events(self.namespace, "lab") if e["reason"] == "ExpiresSoon"], 10,
                      "the Event")
        end = self.expire_in("lab", 8)
        self.wait_for(lambda: not self.find("VirtualMachine", "lab-vm-0") and not self.find("VirtualMachine", "lab-vm-1"),
                      30, "the machines to go")
        self.assertGreaterEqual(time.time(), end)
        self.assertLess(time.time(), end + 20)
        names = [f"lab-vm-{i}-{disk}" for i in range(2) for disk in ("root", "data")]
        self.wait_for(lambda: not any(self.find(CLAIM, n, "v1") for n in names), 60, "the disks to go")
        done = self.wait_expired("lab")
        self.assertEqual("Delete", vms.clone_status(done)["expired"]["action"])
        self.assertEqual("Succeeded", vms.clone_status(done)["phase"])
        self.assertTrue(self.find(CLAIM, "copied", "v1"))
        self.assertTrue(self.find("VirtualMachine", "other-vm"))
        self.assert_untouched(source)
        self.assert_no_temporaries()

    def test_a_linked_clone_takes_its_snapshots_along(self):
        source = self.source()
        self.clone("lab", source, clone_source={"cloneType": "linked"}, expires={"after": "1h", "action": "Delete"})
        self.wait_ended("lab")
        self.assertTrue(self.snapshots())
        self.expire_in("lab", 2)
        self.wait_for(lambda: not self.find("VirtualMachine", "lab-vm"), 30, "the machine to go")
        self.assert_no_temporaries()

    def test_stopped_once(self):
        source = self.source()
        self.clone("lab", source, expires={"after": "1h", "action": "Stop"})
        self.wait_ended("lab")
        self.expire_in("lab", 2, "Stop")
        self.wait_for(lambda: not self.find("VirtualMachineInstance", "lab-vm"), 40, "the machine to stop")
        self.wait_field("lab", "expired.doneTime")
        self.assertTrue(self.find(CLAIM, "lab-root", "v1"))
        self.kube.patch(vms.KUBEVIRT_API, "VirtualMachine", self.namespace, "lab-vm", {"spec": {"runStrategy": "Always"}})
        self.wait_for(lambda: self.find("VirtualMachineInstance", "lab-vm"), 30, "its user to start it again")
        self.bed.restart("worker")
        vms.wait_leading(self.bed)
        self.kube.patch(API, "Wukong", self.namespace, "lab", {"metadata": {"labels": {"look": "again"}}})
        time.sleep(5)
        self.assertTrue(self.find("VirtualMachineInstance", "lab-vm"))

    def test_too_late_to_begin(self):
        source = self.source()
        self.clone("lab", source, expires={"at": "2020-01-01T00:00:00Z", "action": "Delete"})
        self.wait_ended("lab", "Failed")
        self.assertEqual("ExpiredBeforeStart", vms.reason(self.wukong("lab"), "Stalled"))
        self.assertEqual([], source.log("frozen"))

    def test_a_policy_limits_lives_for_role_edit(self):
        source = self.source()
        self.kube.create({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                          "metadata": {"name": "edit", "namespace": self.namespace},
                          "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
                          "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User",
                                        "name": f"ed-{self.namespace}"}]})
        editor = self.bed.user_client(f"ed-{self.namespace}")
        self.cleanup_object({"apiVersion": API, "kind": "ClonePolicy", "metadata": {"name": f"life-{self.namespace}"},
                             "spec": {"match": {"target": {"namespaceSelector": {"matchLabels": {
                                 "kubernetes.io/metadata.name": self.namespace}}}}, "rules": {"maxLifetime": "2h"}}})

        def attempt(expires=None):
            more = {"expires": expires} if expires else {}
            return editor.create(objects.wukong(self.namespace, "lab", {"cloneSource": source.spec(), **more}),
                                 dry_run=True)
        self.wait_for(lambda: self.assert_refused(attempt, 403, "the clone must expire") or True, 20,
                      "the policy to be known")
        self.assert_refused(lambda: attempt({"after": "3h", "action": "Delete"}), 403, "a shorter expires.after")
        self.clone("lab", source, expires={"after": "1h", "action": "Delete"})
        self.wait_ended("lab")

        def extend(expires):
            return editor.patch(API, "Wukong", self.namespace, "lab", {"spec": {"expires": expires}})
        extend({"after": "2h"})
        self.assert_refused(lambda: extend({"after": "121m"}), 403, "2h at most")
        self.assert_refused(lambda: extend(None), 403, "must expire")
        self.assert_refused(lambda: extend({"after": None, "at": stamp(time.time() + 7300)}), 403, "an earlier expires.at")
        extend({"after": None, "at": stamp(time.time() + 7000)})
        editor.patch(API, "Wukong", self.namespace, "lab", {"metadata": {"labels": {"a": "b"}}})


if __name__ == "__main__":
    harness.main()
