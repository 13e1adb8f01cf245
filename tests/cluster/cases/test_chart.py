#!/usr/bin/env python3
"""The chart on a real API server: helm installs, upgrades and uninstalls it, and RBAC is asked what
the rights that it gives amount to.

The answers come from the API server's own authorizer (SubjectAccessReview), for both programs and for
users bound to the built-in roles, which kube-controller-manager fills from the aggregated ones.

usage: test_chart.py [unittest arguments]      runs on a bed of its own (control plane only)
"""

import os
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.dont_write_bytecode = True

from bedlib import bed as beds  # noqa: E402
from bedlib import install  # noqa: E402
from bedlib.kube import ApiError, yaml_documents  # noqa: E402

RELEASE, NAMESPACE = "wukong", "wukong-system"
CRD = "wukongs.vm.novasphere.dev"
GROUP = "vm.novasphere.dev"
BED = None


def setUpModule():
    global BED
    state = Path(tempfile.mkdtemp(prefix="wukong-chart-"))
    BED = beds.Bed(state / "bed")
    unittest.addModuleCleanup(os.rmdir, state)
    unittest.addModuleCleanup(BED.down)
    # Without the chart, which is helm's to install here.
    with unittest.mock.patch.object(install.Chart, "exists", return_value=False):
        BED.up(["apiserver", "kcm"], owner=os.getpid())
    for name in (NAMESPACE, "team"):
        if not BED.admin().find("v1", "Namespace", None, name):
            BED.admin().create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


def helm(*arguments):
    home = BED.data / "helm"
    home.mkdir(exist_ok=True)
    return subprocess.run(
        [beds.which("kubectl", "helm"), "--kubeconfig", BED.kubeconfigs / "admin.kubeconfig", "-n", NAMESPACE,
         *arguments], env={"HOME": str(home), "PATH": "/usr/bin:/bin"}, text=True, timeout=180,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def helm_upgrade(*arguments):
    return helm("upgrade", "--install", RELEASE, str(install.CHART), "--set",
                "image.registry=registry.example.com", *arguments)


def allowed(user, verb, resource, groups=(), namespace="team", name=None, api_group=GROUP):
    resource, _, subresource = resource.partition("/")
    attributes = {"namespace": namespace, "verb": verb, "group": api_group, "resource": resource}
    if subresource:
        attributes["subresource"] = subresource
    if name:
        attributes["name"] = name
    answer = BED.admin().request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", {
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {"user": user, "groups": list(groups), "resourceAttributes": attributes}})
    return answer["status"]["allowed"]


class Chart(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        done = helm_upgrade()
        if done.returncode:
            raise AssertionError(done.stderr)
        cls.addClassCleanup(helm, "uninstall", RELEASE)

    def check(self, user, rows, groups=()):
        for wanted, verb, resource, more in rows:
            with self.subTest(user=user, verb=verb, resource=resource, **more):
                self.assertEqual(allowed(user, verb, resource, groups, **more), wanted)

    def test_notes_and_second_install(self):
        done = helm_upgrade("--set", "webhook.replicas=1")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("WARNING: webhook.replicas is 1", done.stdout)
        done = helm_upgrade("--reset-values")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("WARNING", done.stdout)

    def test_webhook_rights(self):
        user = f"system:serviceaccount:{NAMESPACE}:wukong-webhook"
        own = {"namespace": NAMESPACE, "api_group": ""}
        ca = own | {"name": "wukong-webhook-ca"}
        registrations = {"namespace": "", "api_group": "admissionregistration.k8s.io"}
        self.check(user, [
            (True, "get", "secrets", ca), (True, "update", "secrets", ca), (True, "create", "secrets", own),
            (False, "get", "secrets", own | {"name": "other"}), (False, "list", "secrets", own),
            (False, "create", "secrets", {"api_group": ""}), (False, "get", "secrets", {"api_group": ""}),
            (True, "patch", "mutatingwebhookconfigurations", registrations | {"name": "wukong-mutating"}),
            (True, "patch", "validatingwebhookconfigurations", registrations | {"name": "wukong-validating"}),
            (False, "patch", "validatingwebhookconfigurations", registrations | {"name": "other"}),
            (False, "create", "validatingwebhookconfigurations", registrations),
            (True, "get", "virtualmachines", {"api_group": "kubevirt.io"}),
            (False, "list", "virtualmachines", {"api_group": "kubevirt.io"}),
            (True, "get", "persistentvolumeclaims", {"api_group": ""}),
            (False, "create", "persistentvolumeclaims", {"api_group": ""}),
            (True, "watch", "volumesnapshotclasses", {"api_group": "snapshot.storage.k8s.io", "namespace": ""}),
            (True, "create", "subjectaccessreviews", {"api_group": "authorization.k8s.io", "namespace": ""}),
            (True, "get", "virtualmachines/expand-spec", {"api_group": "subresources.kubevirt.io"}),
            (False, "update", "virtualmachines/start", {"api_group": "subresources.kubevirt.io"}),
            (False, "patch", "wukongs", {}), (False, "create", "wukongs/source", {}),
        ])

    def test_worker_rights(self):
        user = f"system:serviceaccount:{NAMESPACE}:wukong-worker"
        own = {"namespace": NAMESPACE}
        lease = own | {"api_group": "coordination.k8s.io"}
        kubevirt, sub = {"api_group": "kubevirt.io"}, {"api_group": "subresources.kubevirt.io"}
        snapshot = {"api_group": "snapshot.storage.k8s.io"}
        self.check(user, [
            (True, "patch", "wukongs", {}), (True, "patch", "wukongs/status", {}),
            (True, "update", "wukongs/finalizers", {}), (False, "create", "wukongs", {}),
            (False, "delete", "wukongs", {}), (False, "create", "wukongs/source", {}),
            (True, "create", "virtualmachines", kubevirt), (True, "delete", "virtualmachines", kubevirt),
            (True, "update", "virtualmachines/finalizers", kubevirt),
            (False, "delete", "virtualmachineinstances", kubevirt),
            *[(True, "update", r, sub) for r in (
                "virtualmachineinstances/freeze", "virtualmachineinstances/unfreeze", "virtualmachines/start",
                "virtualmachines/stop", "expand-vm-spec")],
            (False, "update", "virtualmachines/restart", sub), (False, "get", "virtualmachineinstances/console", sub),
            (True, "create", "volumesnapshots", snapshot), (True, "delete", "volumesnapshots", snapshot),
            (True, "patch", "volumesnapshotcontents", snapshot), (True, "create", "volumesnapshotcontents", snapshot),
            (True, "list", "events", {"api_group": ""}), (True, "create", "events", {"api_group": ""}),
            (True, "get", "leases", lease | {"name": "wukong-worker"}), (True, "create", "leases", lease),
            (False, "update", "leases", lease | {"name": "other"}),
            (True, "get", "configmaps", own | {"api_group": "", "name": "wukong-stamp"}),
            (False, "update", "configmaps", own | {"api_group": "", "name": "wukong-stamp"}),
            *[(False, verb, "configmaps", {"api_group": ""})
              for verb in ("get", "list", "watch", "update", "patch", "delete")],
            # By dry run alone: see test_the_worker_creates_no_config_map.
            (True, "create", "configmaps", {"api_group": ""}),
            *[(False, verb, "secrets", own | {"api_group": "", "name": "wukong-webhook-ca"})
              for verb in ("get", "list", "watch", "create")],
            (True, "list", "pods", {"api_group": ""}), (False, "get", "pods", {"api_group": ""}),
            (False, "create", "pods", {"api_group": ""}),
        ])

    def test_the_worker_creates_no_config_map(self):
        """It may only ask whether the name of one is taken, and learns nothing else by it."""
        admin, worker = BED.admin(), BED.client(NAMESPACE, "wukong-worker")
        wanted = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "team", "name": "probed"}}
        path = "/api/v1/namespaces/team/configmaps"

        def refused(target, code, reason):
            with self.assertRaises(ApiError) as caught:
                worker.request("POST", target, wanted)
            self.assertEqual((code, reason), (caught.exception.code, caught.exception.status["reason"]))
            return str(caught.exception)
        beds_policy = time.monotonic() + 30
        while time.monotonic() < beds_policy:
            try:
                worker.request("POST", path, wanted)
                admin.delete("v1", "ConfigMap", "team", "probed")
                time.sleep(0.2)  # The API server compiles a new policy within seconds.
            except ApiError:
                break
        self.assertIn("asks by a dry run", refused(path, 403, "Forbidden"))
        worker.request("POST", f"{path}?dryRun=All", wanted)
        self.assertIsNone(admin.find("v1", "ConfigMap", "team", "probed"))
        admin.create({**wanted, "data": {"secret": "hush"}})
        self.addCleanup(admin.delete, "v1", "ConfigMap", "team", "probed")
        self.assertNotIn("hush", refused(f"{path}?dryRun=All", 409, "AlreadyExists"))

    def test_users(self):
        """Who may edit a namespace may clone in it; the right to clone from it is granted apart."""
        admin = BED.admin()
        for role in ("view", "edit", "admin"):
            admin.create({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                          "metadata": {"name": role, "namespace": "team"},
                          "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
                          "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": role}]})
        end = time.monotonic() + 30
        while not allowed("edit", "create", "wukongs") and time.monotonic() < end:
            time.sleep(0.1)  # The aggregation controller copies the rules into the built-in roles.
        while not allowed("view", "get", "wukongs") and time.monotonic() < end:
            time.sleep(0.1)
        for user in ("edit", "admin"):
            self.check(user, [(True, v, "wukongs", {}) for v in
                              ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")])
        self.check("view", [(True, "watch", "wukongs", {}), (False, "create", "wukongs", {}),
                            (False, "patch", "wukongs", {}), (False, "delete", "wukongs", {})])
        for user in ("view", "edit", "admin"):
            self.check(user, [(False, "create", "wukongs/source", {}), (False, "patch", "wukongs/status", {}),
                              (False, "create", "clonepolicies", {"namespace": ""}),
                              (False, "get", "wukongs", {"namespace": "default"})])

    def test_source_role_of_the_documentation(self):
        """docs/admin/rbac.md: a Role that lets one group clone one VM from a namespace."""
        text = (install.CHART.parents[1] / "docs" / "admin" / "rbac.md").read_text()
        manifest = text.split("<!-- role: clone-source -->")[1].split("```yaml\n")[1].split("```")[0]
        for document in yaml_documents(manifest):
            BED.admin().apply_yaml(document, "team")
        groups = ["developers"]
        source = {"namespace": "team"}
        end = time.monotonic() + 20  # The API server's authorizer learns of a Role by a watch.
        while not allowed("dev", "create", "wukongs/source", groups, name="golden-image", **source):
            self.assertLess(time.monotonic(), end, "the Role permits it")
            time.sleep(0.1)
        self.assertFalse(allowed("dev", "create", "wukongs/source", groups, name="payroll", **source))
        self.assertFalse(allowed("dev", "create", "wukongs/source", groups, name=None, **source))
        self.assertFalse(allowed("dev", "create", "wukongs/source", groups, "default", "golden-image"))
        self.assertFalse(allowed("dev", "create", "wukongs/source", [], name="golden-image", **source))
        question = text.split("kubectl auth can-i ")[1].split(" -n ")[0].split()
        for name, answer in (("golden-image", "yes"), ("payroll", "no")):
            done = subprocess.run(
                [beds.which("kubectl", "kubectl"), "--kubeconfig", BED.kubeconfigs / "admin.kubeconfig", "auth",
                 "can-i", *[w.replace("golden-image", name) for w in question], "-n", "team", "--as", "dev",
                 "--as-group", "developers"], text=True, timeout=60, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.assertEqual(done.stdout.strip(), answer, done.stderr)


class Life(unittest.TestCase):
    """Install, a foreign CRD, uninstall. Runs after Chart, whose release is gone by then."""

    def crd(self):
        return BED.admin().find("apiextensions.k8s.io/v1", "CustomResourceDefinition", None, CRD)

    def test_uninstall_keeps_wukongs(self):
        self.assertEqual(helm_upgrade().returncode, 0)
        install.wait_established(BED, [CRD])
        # Without a webhook behind it the registration would refuse; rights and CRDs are what counts here.
        for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
            BED.admin().delete("admissionregistration.k8s.io/v1", kind, None, f"wukong-{kind[:-20].lower()}")
        BED.admin().create({"apiVersion": f"{GROUP}/v1alpha1", "kind": "Wukong",
                            "metadata": {"name": "kept", "namespace": "team"},
                            "spec": {"cloneSource": {"type": "vmi", "vmiName": "src"}}})
        done = helm("uninstall", RELEASE)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(BED.admin().find(f"{GROUP}/v1alpha1", "Wukong", "team", "kept"))
        for api, kind, ns in (("rbac.authorization.k8s.io/v1", "ClusterRole", None),
                              ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", None),
                              ("v1", "ServiceAccount", NAMESPACE), ("v1", "Service", NAMESPACE)):
            left = [o["metadata"]["name"] for o in BED.admin().list(api, kind, ns)
                    if o["metadata"]["name"].startswith("wukong")]
            self.assertEqual(left, [], kind)

    def test_foreign_crd_is_not_overwritten(self):
        """The VM creator's CRD has the same name; taking it over must be asked for."""
        ours = self.crd()
        if ours:
            BED.admin().delete("apiextensions.k8s.io/v1", "CustomResourceDefinition", None, CRD)
            while self.crd():
                time.sleep(0.05)
        BED.admin().create({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": CRD},
            "spec": {"group": GROUP, "scope": "Namespaced",
                     "names": {"kind": "Wukong", "listKind": "WukongList", "plural": "wukongs", "singular": "wukong"},
                     "versions": [{"name": "v1alpha1", "served": True, "storage": True, "schema": {
                         "openAPIV3Schema": {"type": "object", "properties": {"spec": {
                             "type": "object", "x-kubernetes-preserve-unknown-fields": True}}}}}]}})
        self.addCleanup(BED.admin().delete, "apiextensions.k8s.io/v1", "CustomResourceDefinition", None, CRD)
        done = helm_upgrade()
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("crds.overwriteForeign=true", done.stderr)
        self.assertNotIn("vm.novasphere.dev/crd", self.crd()["metadata"].get("annotations", {}))
        done = helm_upgrade("--set", "crds.overwriteForeign=true", "--take-ownership", "--force-conflicts")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.crd()["metadata"]["annotations"]["vm.novasphere.dev/crd"], "wukong-clone")
        helm("uninstall", RELEASE)


if __name__ == "__main__":
    unittest.main()
