"""Proves what a clone does that cannot begin: what its machine names and does not find in another
namespace is waited for before the source is touched, Secrets are never read, and a Wukong that was
stored past the webhook ends with the words that the webhook would have refused it with."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bedlib import harness, objects, services, vms  # noqa: E402

# The webhook does not serve it (charts/wukong/values.yaml: webhook.excludedNamespaces).
UNSERVED = "kube-system"


class Waits(vms.Concurrent):
    def _config_map(self, namespace):
        self.kube.create({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"},
                          "metadata": {"namespace": namespace, "name": "settings"}})

    def _debugged(self, name):
        """What a worker that does not lead says of that clone, and what it explains of that text."""
        program = services.product_binary(self.bed.config["options"], "wukong-worker")
        port = self.bed.port("worker-debug")
        worker = subprocess.Popen(
            [program, "--kubeconfig", self.bed.kubeconfigs / "admin.kubeconfig", "--lease", "nobody-leads",
             "--namespace", "no-such-namespace", "--metrics-port", "0", "--debug-listen", f"127.0.0.1:{port}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def read():
            address = f"http://127.0.0.1:{port}/debug/clones?name={self.namespace}/{name}"
            try:
                with urllib.request.urlopen(address, timeout=5) as answer:
                    text = answer.read().decode()
            except (urllib.error.URLError, OSError):
                return None
            kinds = [item["kind"] for item in json.loads(text)["items"]]
            return text if "VirtualMachineInstance" in kinds else None
        try:
            text = harness.wait_for(read, 30, "the second worker's caches")
        finally:
            worker.kill()
            worker.wait()
        told = subprocess.run([program, "--explain", "-"], input=text, capture_output=True, text=True, check=True)
        return text, told.stdout

    def test_what_the_worker_knows_is_explained_as_it_was_written(self):
        source = self.source_with()
        self.clone("held", source, clone_source={"gates": ["example.com/Never"]})
        self.wait_reason("held", "Ready", "AwaitingGates")
        text, told = self._debugged("held")
        row = json.loads(text)["clones"][0]
        self.assertEqual(f"{self.namespace}/held", row["name"])
        self.assertFalse(row["final"])
        self.assertIn(f"{self.namespace}/held: phase", told)
        self.assertRegex(told, r"Gates +todo +AwaitingGates")

    def test_a_config_map_that_is_not_there_is_waited_for(self):
        self._config_map(self.namespace)
        self.kube.create({"apiVersion": "v1", "kind": "Secret", "stringData": {"a": "b"},
                          "metadata": {"namespace": self.namespace, "name": "password"}})
        source = self.source_with({"name": "settings", "configMap": {"name": "settings"}},
                                   {"name": "optional", "configMap": {"name": "absent",
                                                                      "optional": True}},
                                   {"name": "password", "secret": {"secretName": "password"}})
        there = self.make_namespace(f"{self.namespace}-there")
        mark = self.bed.audit_mark()
        self.clone("far", source, namespace=there, clone_source={"namespace": self.namespace})
        found = self.wait_reason("far", "SourceReady", "DependencyMissing", namespace=there)
        self.assertIn(f"ConfigMap {there}/settings", vms.condition(found, "SourceReady")["message"])
        self.assertEqual([], source.log("freeze-request"), "the source paid for it")
        self.assertEqual([], self.snapshots())
        self._config_map(there)
        self.wait_ended("far", timeout_s=60, namespace=there)
        self.assert_disks("far", source, self.frozen_at(source), namespace=there)
        # There is a Secret "password" in that namespace for all the source's owner knows: it is not his.
        machine = self.kube.get("kubevirt.io/v1", "VirtualMachine", there, "far-vm")
        spec = machine["spec"]["template"]["spec"]
        for named in spec["volumes"], spec["domain"]["devices"]["disks"]:
            self.assertNotIn("password", [one["name"] for one in named])
        told = [e["message"] for e in self.kube.list("v1", "Event", there)
                if e["reason"] == "CloneWarnings"]
        self.assertIn('Secret "password" is not in allowSecrets: volume "password" is left out', "".join(told))
        worker = self.bed.account("worker")
        self.assertEqual([], [e["requestURI"] for e in self.bed.audit_entries(mark)
                              if e["user"]["username"] == worker
                              and (e.get("objectRef") or {}).get("resource") == "secrets"])

    def test_a_spec_that_no_webhook_has_seen_ends_with_its_words(self):
        source = self.source()
        wrong = {**source.spec(), "namespace": self.namespace,
                 "window": {"schedule": "61 * * * *", "duration": "1h"}}
        refusal = self.assert_refused(
            lambda: self.clone("here", clone_source=wrong), 422)
        self.kube.create(objects.wukong(UNSERVED, self.namespace, {"cloneSource": wrong}))
        self.addCleanup(self.kube.delete, vms.WUKONG_API, "Wukong", UNSERVED, self.namespace)
        found = self.wait_ended(self.namespace, "Failed", timeout_s=30, namespace=UNSERVED)
        error = vms.clone_status(found)["lastError"]
        self.assertEqual("Invalid", error["reason"])
        self.assertIn("spec.cloneSource.window.schedule", error["message"])
        for cause in refusal.causes():
            self.assertIn(cause["message"].removesuffix(";").split(";")[0], error["message"])
        self.assertTrue(vms.holds(found, "Stalled"))
        self.assertEqual([], source.log("freeze-request"))


if __name__ == "__main__":
    harness.main()
