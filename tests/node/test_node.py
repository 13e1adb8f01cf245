"""The image and the chart on a real node: README's own commands, Pods under the standard `restricted`, the webhook behind
its Service, restarts under load, upgrade, rollback and removal.

No KubeVirt runs here, so no clone is carried out: the bed's cases do that. Left out, and said so, without root.
"""

import io
import re
import subprocess
import sys
import tarfile
import threading
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.dont_write_bytecode = True

import nodelib  # noqa: E402
from nodelib import ROOT, harness, parts  # noqa: E402

SYSTEM = "wukong-system"
WUKONG = """apiVersion: vm.novasphere.dev/v1alpha1
kind: Wukong
metadata: {name: %s, namespace: default}
spec: {cloneSource: {type: vmi, vmiName: shop}}
"""
NODE = None


def setUpModule():
    global NODE
    reason = nodelib.why_not()
    if reason:
        raise unittest.SkipTest(f"LEFT OUT: node ({reason})")
    NODE = nodelib.Node()
    unittest.addModuleCleanup(NODE.down)
    NODE.make_images(harness.program("wukong-webhook").parent)
    NODE.up()
    NODE.kubectl("apply", "--server-side", "-f", parts.CLUSTER / "kubevirt/crds", "-f",
                 NODE.built["snapshot"] / "crds", timeout=120)


def commands_of(page, begin):
    """The commands of the first sh block of a page that begins so, as they are printed."""
    block = next(b for b in re.findall(r"(?ms)^```sh\n(.*?)^```", (ROOT / page).read_text()) if b.startswith(begin))
    return block


def former_chart():
    git = ["git", "-C", str(ROOT)]
    found = subprocess.run([*git, "log", "-n1", "--skip=1", "--format=%H", "--", "charts/wukong"], text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout.strip()
    if not found:
        return None
    packed = subprocess.run([*git, "archive", found, "charts/wukong"], stdout=subprocess.PIPE, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(NODE.state / "former")
    return NODE.state / "former/charts/wukong"


class Load:
    """Dry runs of a clone, one after the other: each goes through both webhooks."""

    def __enter__(self):
        self.sent, self.failed, self.over = 0, [], threading.Event()
        self.thread = threading.Thread(target=self._send)
        self.thread.start()
        return self

    def _send(self):
        while not self.over.is_set():
            self.sent += 1
            done = NODE.kubectl("create", "--dry-run=server", "-f", "-", stdin=WUKONG % f"load-{self.sent}", check=False)
            if done.returncode:
                self.failed.append(done.stdout)

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


class Installed(unittest.TestCase):
    """The tests go by their numbers: each finds what the one before has left."""

    def pods(self, component):
        found = NODE.json("-n", SYSTEM, "get", "pods", "-l", f"app.kubernetes.io/component={component}")["items"]
        return [p for p in found if "deletionTimestamp" not in p["metadata"]]

    def settle(self):
        NODE.kubectl("-n", SYSTEM, "rollout", "status", "deployment/wukong-webhook", "deployment/wukong-worker",
                     "--timeout=180s", timeout=400)

    def test_1_readmes_commands_install_it(self):
        NODE.kubectl("create", "namespace", SYSTEM)
        NODE.kubectl("label", "namespace", SYSTEM, "pod-security.kubernetes.io/enforce=restricted")
        began = time.monotonic()
        NODE.run("bash", "-ec", commands_of("README.md", "helm install wukong charts/wukong"), timeout=400)
        print(f"# ready {time.monotonic() - began:.1f} s after helm install", file=sys.stderr)
        for component in ("webhook", "worker"):
            pods = self.pods(component)
            self.assertEqual(2, len(pods))
            for pod in pods:
                (status,) = pod["status"]["containerStatuses"]
                self.assertEqual((True, 0), (status["ready"], status["restartCount"]), status)

    def test_2_the_webhook_answers_behind_its_service(self):
        wrong = NODE.kubectl("create", "-f", "-", check=False,
                             stdin=(WUKONG % "wrong").replace("vmiName", "vmNaem"))
        self.assertNotEqual(0, wrong.returncode)
        done = NODE.kubectl("create", "--dry-run=server", "-f", "-", "-o", "json", stdin=(WUKONG % "right"))
        self.assertIn('"cloneType": "running"', done.stdout, "only the webhook fills that in")

    def test_3_helm_test_passes(self):
        done = NODE.run("helm", "test", "wukong", "-n", SYSTEM, "--timeout", "120s", timeout=200)
        self.assertIn("Succeeded", done.stdout)
        left = NODE.kubectl("-n", SYSTEM, "get", "pod", "wukong-test", check=False)
        self.assertNotEqual(0, left.returncode, "its Pod goes away")

    def test_4_no_call_fails_while_all_pods_are_replaced(self):
        before = {p["metadata"]["name"] for c in ("webhook", "worker") for p in self.pods(c)}
        with Load() as load:
            NODE.kubectl("-n", SYSTEM, "rollout", "restart", "deployment/wukong-webhook", "deployment/wukong-worker")
            self.settle()
        self.assertEqual([], load.failed[:3], f"{len(load.failed)} of {load.sent}")
        self.assertGreater(load.sent, 5)
        after = {p["metadata"]["name"] for c in ("webhook", "worker") for p in self.pods(c)}
        self.assertFalse(before & after)

    def holder(self):
        lease = NODE.json("-n", SYSTEM, "get", "lease", "wukong-worker")
        return lease["spec"].get("holderIdentity", "")

    def test_5_another_worker_leads_when_the_leader_is_gone(self):
        holder = harness.wait_for(self.holder, 60, "a leader")
        pod = next((p["metadata"]["name"] for p in self.pods("worker") if p["metadata"]["name"] in holder), None)
        self.assertTrue(pod, f"no Pod is called as in {holder}")
        NODE.kubectl("-n", SYSTEM, "delete", "pod", pod, "--grace-period=0", "--force")
        harness.wait_for(lambda: self.holder() not in ("", holder), 60, "another leader")
        self.settle()

    def test_6_upgrade_and_rollback_keep_what_is_there(self):
        NODE.kubectl("create", "-f", "-", stdin=WUKONG % "kept")
        uid = NODE.json("get", "wk", "kept")["metadata"]["uid"]
        with Load() as load:
            # The chart as it was before its last change, if git tells, then this one.
            for chart in (former_chart(), "charts/wukong"):
                if chart:
                    NODE.run("helm", "upgrade", "wukong", chart, "-n", SYSTEM, "--set", f"image.registry={nodelib.REGISTRY}",
                             "--set", "worker.maxInFlight=7", "--wait", "--timeout", "180s", timeout=400)
            NODE.run("helm", "rollback", "wukong", "-n", SYSTEM, "--wait", "--timeout", "180s", timeout=400)
        self.assertEqual([], load.failed[:3], f"{len(load.failed)} of {load.sent}")
        self.assertEqual(uid, NODE.json("get", "wk", "kept")["metadata"]["uid"])

    def test_7_it_is_removed_as_the_page_says(self):
        block = commands_of("docs/admin/install.md", "kubectl get wk -A")
        NODE.kubectl("delete", "wk", "kept", "--timeout=60s")
        NODE.run("bash", "-ec", re.sub(r"#.*", "", block), timeout=300)
        harness.wait_for(lambda: not NODE.json("-n", SYSTEM, "get", "pods")["items"], 90, "the Pods to be gone")
        left = NODE.kubectl("-n", SYSTEM, "get", "secrets,configmaps,leases,deployments,services,roles", "-o", "name")
        self.assertEqual({"configmap/kube-root-ca.crt"}, set(left.stdout.split()))
        for kind in ("validatingwebhookconfigurations", "mutatingwebhookconfigurations", "clusterroles",
                     "clusterrolebindings", "validatingadmissionpolicies", "flowschemas"):
            names = NODE.kubectl("get", kind, "-o", "name").stdout
            self.assertNotIn("wukong", names)


if __name__ == "__main__":
    unittest.main(verbosity=2)
