"""Proves what goes on while the webhook is away, by a real API server and the matchConditions of the
chart: finalizers, labels and the deletion of a namespace do; specs, stamps and the wish to try again do
not, so that nothing which the webhook vouches for can be changed past it. And that a ClonePolicy which
cannot be read is refused when it is applied, but can be mended without the webhook.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bedlib import harness, objects, vms  # noqa: E402
from bedlib.kube import ApiError  # noqa: E402

STAMP, RETRY = "vm.novasphere.dev/admission", "vm.novasphere.dev/retry"
FINALIZER = "vm.novasphere.dev/clone"
API = "vm.novasphere.dev/v1alpha1"
WAITS = {"type": "vmi", "vmiName": "later", "notBefore": "2099-01-01T00:00:00Z"}


class Away(vms.CloneCase):
    def setUp(self):
        super().setUp()
        self.addCleanup(self.back)

    def back(self):
        if {name: state for name, state, _, _ in self.bed.status()}.get("webhook") != "running":
            self.bed.start("webhook")

    def waiting(self, namespace, name):
        """A Wukong that waits and has the worker's finalizer, as one has that an older worker took up."""
        self.kube.create(objects.wukong(namespace, name, {"cloneSource": WAITS}))
        self.wait_for(lambda: self.wukong(name, namespace).get("status", {}).get("cloneStatus"), 20,
                      "the worker to look at it")
        self.kube.apply({"apiVersion": API, "kind": "Wukong", "metadata": {
            "name": name, "namespace": namespace, "finalizers": [FINALIZER]}}, "wukong-worker-finalizer")

    def patch(self, name, body):
        return self.kube.patch(API, "Wukong", self.namespace, name, body)

    def not_past_it(self, name, body):
        with self.assertRaises(ApiError, msg=body) as refused:
            self.patch(name, body)
        self.assertIn("webhook", str(refused.exception))

    def test_a_namespace_with_wukongs_can_be_deleted(self):
        namespace = f"{self.namespace}-gone"
        self.kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        for name in ("a", "b"):
            self.waiting(namespace, name)
        self.bed.kill("webhook")
        self.kube.delete("v1", "Namespace", None, namespace)
        self.wait_for(lambda: self.kube.find("v1", "Namespace", None, namespace) is None, 60,
                      "the namespace to be gone")

    def test_nothing_that_was_judged_changes_past_it(self):
        self.waiting(self.namespace, "w")
        self.bed.kill("webhook")
        self.patch("w", {"metadata": {"labels": {"a": "b"}}})
        self.patch("w", {"metadata": {"annotations": {"mine": "b"}}})
        self.patch("w", {"metadata": {"finalizers": [*self.wukong("w")["metadata"]["finalizers"], "x.example/y"]}})
        for annotation in (STAMP, RETRY):
            for value in ("x", ""):
                self.not_past_it("w", {"metadata": {"annotations": {annotation: value}}})
        self.not_past_it("w", {"spec": {"cloneSource": {"notBefore": "2026-01-01T00:00:00Z"}}})
        self.not_past_it("w", {"spec": {"replicas": 2}})
        with self.assertRaises(ApiError):
            self.kube.create(objects.wukong(self.namespace, "v", {"cloneSource": WAITS}))
        self.back()
        self.patch("w", {"metadata": {"annotations": {RETRY: "1"}}})
        for body in ({"metadata": {"annotations": {RETRY: "2"}}}, {"metadata": {"annotations": {RETRY: None}}}):
            self.bed.kill("webhook")
            self.not_past_it("w", body)
            self.back()
        self.patch("w", {"metadata": {"finalizers": [
            f for f in self.wukong("w")["metadata"]["finalizers"] if f != "x.example/y"]}})

    def test_a_policy_is_judged_when_applied_and_mended_without_the_webhook(self):
        def policy(name, schedule):
            return {"apiVersion": API, "kind": "ClonePolicy", "metadata": {"name": name},
                    "spec": {"match": {"subjects": [{"kind": "User", "name": "nobody"}]},
                             "windows": [{"schedule": schedule, "duration": "1h"}]}}
        name = f"{self.namespace}-window"
        self.addCleanup(self.kube.delete, API, "ClonePolicy", None, name)
        with self.assertRaises(ApiError) as refused:
            self.kube.create(policy(name, "0 25 * * *"))
        self.assertIn("spec.windows[0].schedule", str(refused.exception))
        self.kube.create(policy(name, "0 22 * * *"))
        change = {"spec": {"windows": [{"schedule": "0 26 * * *", "duration": "1h"}]}}
        with self.assertRaises(ApiError):
            self.kube.patch(API, "ClonePolicy", None, name, change)
        self.kube.patch(API, "ClonePolicy", None, name, {"metadata": {"labels": {"a": "b"}}})
        self.bed.kill("webhook")
        self.kube.patch(API, "ClonePolicy", None, name, {
            "spec": {"windows": [{"schedule": "0 23 * * *", "duration": "1h"}]}})


if __name__ == "__main__":
    harness.main()
