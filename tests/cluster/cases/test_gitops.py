"""Proves that Flux and Argo CD get along with Wukongs, with the real kustomize-controller and Argo CD's
own gitops-engine: one commit that holds a source and its clone is admitted, whatever stands first in
it; it converges and then stays as it is, a second round writes nothing; health is InProgress while the
clone is made, Current after, Failed when it has failed for good; a wrong Wukong is told in the tool's
own status, before anything of the commit is applied; what is removed from the repository goes.
"""

import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bedlib import gitops, harness, objects, parts, vms  # noqa: E402

WRITES = {"create", "update", "patch", "delete"}


class GitOps(vms.Concurrent):
    part = None

    @classmethod
    def setUpClass(cls):
        if parts.build([cls.part], say=lambda _: None):
            raise harness.BedError(f"{cls.part} could not be built")
        super().setUpClass()

    def machine(self, name="src"):
        """A VM and its claim, as they would lie in a repository."""
        spec = vms.machine_spec({"root": f"{name}-root"}, mac="02:00:00:00:00:01")
        # What KubeVirt would make up anew for every manifest stands in it, as in a real one.
        spec["domain"]["firmware"] = {"uuid": "5d307ca9-b3ef-428c-8861-06e72d69f223"}
        machine = vms.vm(self.namespace, name, spec)
        # An empty map does not survive the API server: it would be a drift of our own making.
        del machine["metadata"]["labels"]
        machine["spec"]["template"]["metadata"] = {"labels": {"app": name}}
        return [objects.claim(self.namespace, f"{name}-root"), machine]

    def manifest(self, name="copy", annotations=None, **spec):
        source = {"type": "vm", "vmName": "src", "cloneType": "running", **spec.pop("source", {})}
        return objects.wukong(self.namespace, name, {"cloneSource": source, **spec},
                              annotations=annotations)

    def written(self, mark, user):
        """What that user wrote in this namespace since the mark; dry runs are no writes."""
        return [f"{e['verb']} {e['requestURI']}" for e in self.bed.audit_entries(mark)
                if e["verb"] in WRITES and "dryRun" not in e["requestURI"]
                and (e.get("impersonatedUser") or e["user"])["username"] == user
                and (e.get("objectRef") or {}).get("namespace") == self.namespace
                and e["objectRef"]["resource"] in ("wukongs", "virtualmachines", "persistentvolumeclaims")]

    def versions(self):
        """What a drift would change; status may change meanwhile."""
        return {(o["kind"], o["metadata"]["name"]): (o["metadata"]["generation"], o["spec"])
                for o in (self.wukong("copy"),
                          self.kube.get(vms.KUBEVIRT_API, "VirtualMachine", self.namespace, "src"))}

    def gone(self, kind, name, api=vms.KUBEVIRT_API):
        return self.kube.find(api, kind, self.namespace, name) is None


class Flux(GitOps):
    """As a tenant does it: the controller impersonates a ServiceAccount of the tenant's namespace."""

    part = "flux"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.flux = gitops.Flux(cls.bed)
        cls.addClassCleanup(cls.flux.close)

    def setUp(self):
        super().setUp()
        self.user = f"system:serviceaccount:{self.namespace}:deployer"
        self.kube.create({"apiVersion": "v1", "kind": "ServiceAccount",
                          "metadata": {"name": "deployer", "namespace": self.namespace}})
        rules = [{"apiGroups": ["kubevirt.io"], "resources": ["virtualmachines"], "verbs": ["*"]}]
        role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
                "metadata": {"name": "machines", "namespace": self.namespace}, "rules": rules}
        self.kube.create(role)
        for kind, name in (("Role", "machines"), ("ClusterRole", "edit")):
            self.kube.create({"apiVersion": role["apiVersion"], "kind": "RoleBinding",
                              "metadata": {"name": name, "namespace": self.namespace},
                              "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
                              "subjects": [{"kind": "ServiceAccount", "name": "deployer",
                                            "namespace": self.namespace}]})

    def commit(self, files):
        return self.flux.commit(self.namespace, "fleet", files)

    def kustomize(self, **spec):
        self.kube.create(gitops.kustomization(self.namespace, "fleet", serviceAccountName="deployer", **spec))

    def ready(self):
        found = self.kube.get(gitops.KUSTOMIZE_API, "Kustomization", self.namespace, "fleet")
        return vms.condition(found, "Ready"), found

    def settled(self, revision, status="True"):
        """The Ready condition once it has that status for that revision."""
        def now():
            condition, found = self.ready()
            attempted = (found.get("status") or {}).get("lastAttemptedRevision")
            return condition if condition.get("status") == status and attempted == revision else \
                self.fail(f"{attempted}: {condition}")
        return self.wait_for(now, 120, f"the Kustomization to be Ready={status}")

    def again(self):
        """A reconciliation on demand, as `flux reconcile` asks for it."""
        token = str(time.time_ns())
        self.kube.patch(gitops.KUSTOMIZE_API, "Kustomization", self.namespace, "fleet",
                        {"metadata": {"annotations": {gitops.REQUESTED: token}}})
        self.wait_for(lambda: (self.ready()[1].get("status") or {}).get("lastHandledReconcileAt") == token,
                      60, "the reconciliation")

    def test_one_commit_converges_stays_and_is_pruned(self):
        # The clone comes first in the stage: at its dry run nothing of the commit exists.
        revision = self.commit({"a-clone.yaml": self.manifest(), "b-source.yaml": self.machine()})
        self.kustomize()
        def seen():
            """Ready of the Kustomization as seen before Ready of the Wukong was read."""
            before = self.ready()[0].get("status")
            wukong = self.kube.find(vms.WUKONG_API, "Wukong", self.namespace, "copy")
            if wukong and not vms.holds(wukong, "Ready"):
                self.assertNotEqual("True", before, "Flux takes an unfinished clone for Current")
                waiting.append(before)
            return before == "True"
        waiting = []
        self.wait_for(seen, 120, "Flux to be done")
        self.assertIn("Unknown", waiting, "the clone was never seen in progress")
        self.assertEqual("ReconciliationSucceeded", self.settled(revision)["reason"])
        self.assertTrue(vms.holds(self.wukong("copy"), "Ready"))

        before, mark = self.versions(), self.bed.audit_mark()
        self.again()
        self.settled(revision)
        self.assertEqual(before, self.versions())
        self.assertEqual([], self.written(mark, self.user), "the second round wrote something")

        revision = self.commit({"b-source.yaml": self.machine()})
        self.wait_for(lambda: self.gone("Wukong", "copy", vms.WUKONG_API), 60, "the Wukong to be pruned")
        self.wait_for(lambda: self.gone("VirtualMachine", "copy-vm"), 60, "its VM to go with it")
        self.settled(revision)
        self.assertFalse(self.gone("VirtualMachine", "src"))

    def test_a_wrong_wukong_is_told_and_nothing_of_the_stage_is_applied(self):
        revision = self.commit({"a-clone.yaml": self.manifest(source={"cloneType": "runing"}, replicas=0),
                                "b-source.yaml": self.machine()})
        self.kustomize()
        told = self.settled(revision, "False")["message"]
        for text in ("Wukong/", "spec.replicas: Invalid value: 0", 'did you mean "running"?'):
            self.assertIn(text, told)
        self.assertTrue(self.gone("VirtualMachine", "src"), "the stage was applied in part")

    def test_a_clone_that_failed_for_good_fails_the_stage_at_once(self):
        revision = self.commit({"clone.yaml": self.manifest(source={"deadlineSeconds": 2})})
        self.kustomize(timeout="90s")
        began = time.monotonic()
        condition = self.settled(revision, "False")
        self.assertEqual("HealthCheckFailed", condition["reason"], condition)
        self.assertIn("Wukong/", condition["message"])
        self.assertIn("Failed", condition["message"])
        self.assertLess(time.monotonic() - began, 60, "it was waited for until the timeout")
        self.assertTrue(vms.holds(self.wukong("copy"), "Stalled"))

    def test_a_foreign_source_needs_the_tenants_own_right(self):
        other = self.make_namespace(self.namespace + "-prod")
        revision = self.commit({"clone.yaml": self.manifest(source={"namespace": other})})
        self.kustomize(wait=False)
        told = self.settled(revision, "False")["message"]
        self.assertIn(self.user, told)
        self.assertIn("wukongs/source", told)


class Argo(GitOps):
    part = "argo"
    making = threading.Lock()  # they share one account, whose token is a file

    def setUp(self):
        super().setUp()
        with self.making:
            self.argo = gitops.Argo(self.bed, self.namespace)

    def converges(self, server_side):
        after = {"apiVersion": "v1", "kind": "ConfigMap",
                 "metadata": {"name": "after", "namespace": self.namespace,
                              "annotations": {"argocd.argoproj.io/sync-wave": "1"}}}
        files = {"a-clone.yaml": self.manifest(), "b-source.yaml": self.machine(), "c-after.yaml": after}
        code, told = self.argo.sync(files, server_side)
        self.assertEqual(0, code, told)
        self.assertEqual({}, told["drift"])
        self.assertEqual("Healthy", told["health"]["Wukong/copy"]["status"])
        # The next wave waited for the clone: Progressing until then.
        done = vms.clone_status(self.wukong("copy"))["completionTime"]
        late = self.kube.get("v1", "ConfigMap", self.namespace, "after")["metadata"]["creationTimestamp"]
        self.assertGreaterEqual(late, done)

        before, mark = self.versions(), self.bed.audit_mark()
        code, told = self.argo.sync(files, server_side)
        self.assertEqual((0, {}), (code, told["drift"]), told)
        self.assertEqual(before, self.versions())

        del files["a-clone.yaml"]
        code, told = self.argo.sync(files, server_side)
        self.assertEqual(0, code, told)
        self.assertIn("pruned", told["results"]["Wukong/copy"])
        self.wait_for(lambda: self.gone("VirtualMachine", "copy-vm"), 60, "the VM to go with the Wukong")
        self.assertFalse(self.gone("VirtualMachine", "src"))

    def test_one_application_by_client_side_apply(self):
        self.converges(server_side=False)

    def test_one_application_by_server_side_apply_and_diff(self):
        self.converges(server_side=True)

    def test_a_wrong_wukong_fails_the_sync_with_its_mistakes(self):
        code, told = self.argo.sync({"clone.yaml": self.manifest(replicas=0)}, server_side=False)
        self.assertEqual(1, code, told)
        self.assertIn("spec.replicas: Invalid value: 0", told["results"]["Wukong/copy"])

    def test_a_failed_clone_is_degraded(self):
        self.kube.create(self.manifest(source={"deadlineSeconds": 2}))
        self.wait_ended("copy", "Failed")
        code, told = self.argo.sync({"clone.yaml": self.manifest(source={"deadlineSeconds": 2})}, False)
        self.assertEqual("Degraded", told["health"]["Wukong/copy"]["status"], told)
        self.assertTrue(told["health"]["Wukong/copy"]["message"])


if __name__ == "__main__":
    harness.main()
