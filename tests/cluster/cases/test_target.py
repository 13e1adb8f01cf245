"""Proves that spec.target reaches what others look at: a Service selects the clones of a batch and no source, a
cluster's policy on claims is met, an annotation of the template is kept, links are down and networks are others;
that clones share a freeze whatever their targets; and that ClonePolicies that demand labels and isolation hold for a
user with role edit.

The stand-in makes no launcher Pods; the test makes them of the instances' labels, as virt-controller does
(pkg/virt-controller/services/template.go), and kube-controller-manager makes the EndpointSlices.
"""

import functools
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bedlib import harness, objects, vms  # noqa: E402
from bedlib.kube import ApiError  # noqa: E402

harness.quick_storage()
API = vms.WUKONG_API
SLICES = "discovery.k8s.io/v1"
ADMISSION = "admissionregistration.k8s.io/v1"
HOOKS = "hooks.kubevirt.io/hookSidecars"


NETWORKS = "k8s.cni.cncf.io/v1"


def serve_networks(kube):
    """Multus' kind, which no part of the bed brings along."""
    names = {"plural": "network-attachment-definitions", "singular": "network-attachment-definition",
             "kind": "NetworkAttachmentDefinition"}
    try:
        kube.create({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                     "metadata": {"name": f"{names['plural']}.k8s.cni.cncf.io"},
                     "spec": {"group": "k8s.cni.cncf.io", "scope": "Namespaced", "names": names, "versions": [{
                         "name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
                             "type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]}})
    except ApiError as e:
        if e.code != 409:
            raise


class Target(vms.Concurrent):
    together = "target"

    def network(self, name):
        serve_networks(self.kube)

        def made():
            try:
                return self.kube.create({"apiVersion": NETWORKS, "kind": "NetworkAttachmentDefinition",
                                         "metadata": {"namespace": self.namespace, "name": name}})
            except ApiError as e:
                return e.code == 409
        self.wait_for(made, 30, "NetworkAttachmentDefinitions to be served")

    def template_of(self, vm):
        return vm["spec"]["template"]

    def machines(self, name, count):
        return [self.kube.get(vms.KUBEVIRT_API, "VirtualMachine", self.namespace, f"{name}-vm-{i}")
                for i in range(count)]

    def launcher(self, vmi):
        """The Pod that virt-controller makes of an instance, as far as a Service looks at it."""
        name = f"virt-launcher-{vmi['metadata']['name']}"
        self.kube.create({"apiVersion": "v1", "kind": "Pod", "metadata": {
            "namespace": self.namespace, "name": name, "labels": vmi["metadata"].get("labels") or {}},
            "spec": {"containers": [{"name": "compute", "image": "none"}], "nodeName": self.namespace}})
        self.addCleanup(self.kube.delete, "v1", "Pod", self.namespace, name)
        address = f"10.9.{len(name) % 200}.{sum(name.encode()) % 250 + 1}"
        self.kube.patch("v1", "Pod", self.namespace, name, {"status": {
            "phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": "True"}]}}, "status")
        return name

    def test_a_service_selects_the_clones_of_a_batch(self):
        """And not the source, which bears other labels."""
        source = self.source(owned=True, labels={"app": "shop"})
        self.clone("many", source, labels={"team": "web", "argocd.argoproj.io/instance": "x"}, replicas=3,
                   target={"labels": {"app": "shop-test"}, "annotations": {"example.com/owner": "ann, é"}})
        self.wait_ended("many", timeout_s=180)
        self.cleanup_object({"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.namespace}})
        self.kube.create({"apiVersion": "v1", "kind": "Service",
                          "metadata": {"namespace": self.namespace, "name": "shop"},
                          "spec": {"selector": {"app": "shop-test"}, "ports": [{"port": 80}]}})
        pods = [self.launcher(self.kube.get(vms.KUBEVIRT_API, "VirtualMachineInstance", self.namespace, name))
                for name in ("src", "many-vm-0", "many-vm-1", "many-vm-2")]

        def selected():
            slices = self.kube.list(SLICES, "EndpointSlice", self.namespace,
                                    selector="kubernetes.io/service-name=shop")
            found = {e["targetRef"]["name"] for s in slices for e in s.get("endpoints") or []}
            return found if len(found) >= 3 else None
        self.assertEqual(set(pods[1:]), self.wait_for(selected, 30, "the Service to have endpoints"))
        for made in self.machines("many", 3):
            for meta in (made["metadata"], self.template_of(made)["metadata"]):
                self.assertEqual(("shop-test", "web"), (meta["labels"]["app"], meta["labels"]["team"]))
                self.assertNotIn("argocd.argoproj.io/instance", meta["labels"])
                self.assertEqual("ann, é", meta["annotations"]["example.com/owner"])

    def test_a_policy_on_claims_is_met(self):
        """shared/cases 15: a cluster that demands labels on claims."""
        self.cleanup_object({
            "apiVersion": ADMISSION, "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": f"labels-{self.namespace}"},
            "spec": {"matchConstraints": {"resourceRules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"],
                "resources": ["persistentvolumeclaims"]}]},
                "validations": [{"expression": "has(object.metadata.labels) && 'team' in object.metadata.labels",
                                 "message": "claims need the label team"}]}})
        source = self.source()
        self.cleanup_object({
            "apiVersion": ADMISSION, "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": f"labels-{self.namespace}"},
            "spec": {"policyName": f"labels-{self.namespace}", "validationActions": ["Deny"],
                     "matchResources": {"namespaceSelector": {"matchLabels": {
                         "kubernetes.io/metadata.name": self.namespace}}}}})
        self.wait_for(lambda: self.assert_refused(
            lambda: self.kube.create(objects.claim(self.namespace, "bare"), dry_run=True), 422, "claims need") or True,
            20, "the cluster's policy to be in force")
        self.clone("bare", source)
        self.wait_reason("bare", "SourceReady", "PreflightRefused", 40)
        self.clone("good", source, target={"labels": {"team": "web"}})
        self.wait_ended("good", timeout_s=120)

    def test_annotations_of_the_template(self):
        """shared/cases 10: dropped and named when it is applied, or kept where it is asked for."""
        source = self.source(owned=True)
        self.kube.patch(vms.KUBEVIRT_API, "VirtualMachine", self.namespace, "src", {"spec": {"template": {"metadata": {
            "annotations": {HOOKS: '[{"image": "a"}]', "example.com/a": "b"}}}}})
        self.call(source, "stop")
        self.wait_for(lambda: not source.find_vmi(), 60, "the source to stop")
        self.start(source)
        _, warnings = self.dry_run("w", source)
        self.assertTrue(any(HOOKS in w and "is left out" in w for w in warnings), warnings)
        self.assertTrue(any("left out: example.com/a" in w for w in warnings), warnings)
        target = {"keepAnnotations": [HOOKS, "example.com/"]}
        _, warnings = self.dry_run("w", source, target=target)
        self.assertFalse(any("left out" in w and (HOOKS in w or "example.com" in w) for w in warnings), warnings)
        self.clone("kept", source, target=target)
        self.wait_ended("kept", timeout_s=120)
        kept = self.template_of(self.vm_of("kept"))["metadata"]["annotations"]
        self.assertEqual(('[{"image": "a"}]', "b"), (kept[HOOKS], kept["example.com/a"]))

    def dry_run(self, name, source, **spec):
        path = self.kube.path(API, "Wukong", self.namespace) + "?dryRun=All"
        code, body, headers = self.kube.raw("POST", path, objects.wukong(
            self.namespace, name, {"cloneSource": source.spec(), **spec}))
        self.assertEqual(201, code, body)
        return json.loads(body), [w.replace('\\"', '"') for w in headers.get_all("Warning") or []]

    def test_links_are_down_and_the_freeze_is_shared(self):
        source = self.source()
        self.network("test-vlan")
        with source.held():
            self.clone("dark", source, target={"network": {"links": "Down"}})
            self.clone("moved", source, target={"network": {"map": [{"from": "pod", "to": "test-vlan"}]},
                                                "labels": {"app": "x"}})
            self.clone("plain", source)
            self.wait_for(lambda: all(vms.reason(self.wukong(n), "SourceReady") for n in ("dark", "moved", "plain")),
                          20, "all three to wait")
        for name in ("dark", "moved", "plain"):
            self.wait_ended(name, timeout_s=90)
        self.assertEqual(1, len(source.log("frozen")), "one freeze for all three")
        moved = self.template_of(self.vm_of("moved"))["spec"]
        self.assertEqual([{"name": "default", "multus": {"networkName": "test-vlan"}}], moved["networks"])
        self.assertIn("bridge", moved["domain"]["devices"]["interfaces"][0])
        dark = self.template_of(self.vm_of("dark"))["spec"]["domain"]["devices"]["interfaces"]
        self.assertEqual(["down"], [i.get("state") for i in dark])
        vmi = self.kube.get(vms.KUBEVIRT_API, "VirtualMachineInstance", self.namespace, "dark-vm")
        self.assertEqual(["down"], [i.get("state") for i in vmi["spec"]["domain"]["devices"]["interfaces"]])
        plain = self.template_of(self.vm_of("plain"))["spec"]["domain"]["devices"]["interfaces"]
        self.assertEqual([None], [i.get("state") for i in plain])

    def test_a_map_that_names_nothing_is_refused_with_what_there_is(self):
        source = self.source()
        self.assert_refused(lambda: self.clone("w", source, target={"network": {"map": [
            {"from": "prod-vlan", "to": "test-vlan"}]}}), 422, 'it has "default"')

    def test_references(self):
        """Other names in the clone; what is missing is waited for before the source pays for it, and a Secret is
        neither read nor asked for."""
        self.kube.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
            "namespace": self.namespace, "name": "settings"}})
        self.kube.create({"apiVersion": "v1", "kind": "Secret", "metadata": {
            "namespace": self.namespace, "name": "init"}})
        source = self.source_with({"name": "settings", "configMap": {"name": "settings"}},
                                  {"name": "init", "secret": {"secretName": "init"}})
        references = [{"kind": "ConfigMap", "from": "settings", "to": "settings-test"},
                      {"kind": "Secret", "from": "init", "to": "init-test"}]
        self.assert_refused(lambda: self.clone("w", source, target={"references": [
            {"kind": "Secret", "from": "settings", "to": "a"}]}), 422, "the source names no such object")
        freezes = len(source.log("frozen"))
        self.clone("other", source, target={"references": references})
        said = self.wait_reason("other", "SourceReady", "DependencyMissing", 60)
        self.assertIn(f"ConfigMap {self.namespace}/settings-test", vms.condition(said, "SourceReady")["message"])
        self.assertEqual(freezes, len(source.log("frozen")))
        self.kube.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
            "namespace": self.namespace, "name": "settings-test"}})
        self.wait_ended("other", timeout_s=120)
        volumes = {v["name"]: v for v in self.template_of(self.vm_of("other"))["spec"]["volumes"]}
        self.assertEqual("settings-test", volumes["settings"]["configMap"]["name"])
        self.assertEqual("init-test", volumes["init"]["secret"]["secretName"])
        worker = self.bed.account("worker")
        self.assertEqual([], [e["requestURI"] for e in self.bed.audit_entries(self.audit_mark)
                              if e["user"]["username"] == worker
                              and (e.get("objectRef") or {}).get("resource") == "secrets"])

    def test_a_network_that_is_missing_is_waited_for(self):
        """In the source's own namespace, too: the launcher of such a machine hangs."""
        self.network("there")
        source = self.source()
        freezes = len(source.log("frozen"))
        self.clone("lost", source, target={"network": {"map": [{"from": "pod", "to": "lost"}]}})
        said = self.wait_reason("lost", "SourceReady", "DependencyMissing", 60)
        self.assertIn(f"NetworkAttachmentDefinition {self.namespace}/lost",
                      vms.condition(said, "SourceReady")["message"])
        self.assertEqual(freezes, len(source.log("frozen")))
        self.network("lost")
        self.wait_ended("lost", timeout_s=120)

    def test_overrides(self):
        """A patch of the machine's spec, nulls included; what it must not touch is refused by path, and what this
        KubeVirt does not know is told before the source is touched."""
        source = self.source(owned=True)
        spec = {"evictionStrategy": "None", "nodeSelector": {"example.com/disk": "fast"},
                "domain": {"memory": {"guest": None}, "devices": {"rng": {}}}}
        self.clone("patched", source, target={"overrides": {"template": {"spec": spec}}}, memory="128Mi",
                   startStrategy={"autoStart": False})
        stored = self.wukong("patched")["spec"]["target"]["overrides"]
        self.assertEqual(spec, stored["template"]["spec"], "the API server keeps nulls")
        self.wait_ended("patched", timeout_s=120)
        made = self.template_of(self.vm_of("patched"))["spec"]
        self.assertEqual(("None", "fast"), (made["evictionStrategy"], made["nodeSelector"]["example.com/disk"]))
        self.assertNotIn("guest", made["domain"].get("memory") or {})
        self.assertEqual({}, made["domain"]["devices"]["rng"])
        for path, value, said in (
                (("template", "spec", "volumes"), [], "spec.target.overrides.template.spec.volumes"),
                (("template", "spec", "domain", "firmware"), None, "must not take away"),
                (("template", "spec", "domain", "devices", "autoattachPodInterface"), True, "use target.network")):
            patch = value
            for name in reversed(path):
                patch = {name: patch}
            self.assert_refused(lambda p=patch: self.clone("w", source, target={"overrides": p}), 422, said)
        freezes = len(source.log("frozen"))
        self.clone("typo", source, target={"overrides": {"template": {"spec": {"evictionStratgy": "None"}}}})
        said = self.wait_reason("typo", "SourceReady", "ChangedByAdmission", 60)
        self.assertIn("overrides.template.spec.evictionStratgy: this KubeVirt does not know the field",
                      vms.condition(said, "SourceReady")["message"])
        self.assertEqual(freezes, len(source.log("frozen")), "not frozen for it")

    def test_run_strategies(self):
        source = self.source(owned=True, run_strategy="RerunOnFailure")
        for name, strategy in (("once", "Once"), ("same", "Inherit")):
            self.clone(name, source, startStrategy={"runStrategy": strategy})
        for name, strategy in (("once", "Once"), ("same", "RerunOnFailure")):
            self.wait_ended(name, timeout_s=120)
            self.assertEqual(strategy, self.vm_of(name)["spec"]["runStrategy"])

    def test_a_manual_source_is_inherited_and_its_clone_started(self):
        source = self.source(owned=True, run_strategy="Manual", wait=False)
        self.start(source)
        self.clone("same", source, startStrategy={"runStrategy": "Inherit"})
        self.wait_ended("same", timeout_s=120)
        self.assertEqual("Manual", self.vm_of("same")["spec"]["runStrategy"])
        self.kube.get(vms.KUBEVIRT_API, "VirtualMachineInstance", self.namespace, "same-vm")

    def test_policies_hold_for_role_edit(self):
        source = self.source()
        self.kube.create({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                          "metadata": {"name": "edit", "namespace": self.namespace},
                          "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
                          "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User",
                                        "name": f"ed-{self.namespace}"}]})
        editor = self.bed.user_client(f"ed-{self.namespace}")
        policy = f"target-{self.namespace}"
        self.cleanup_object({"apiVersion": API, "kind": "ClonePolicy", "metadata": {"name": policy}, "spec": {
            "match": {"target": {"namespaceSelector": {"matchLabels": {
                "kubernetes.io/metadata.name": self.namespace}}}},
            "rules": {"isolation": "Required", "requiredLabels": ["team"],
                      "overridePaths": ["template.spec.domain.cpu"]}}})

        def attempt(**target):
            more = {"target": target} if target else {}
            return editor.create(objects.wukong(self.namespace, "w", {"cloneSource": source.spec(), **more}),
                                 dry_run=True)
        self.wait_for(lambda: self.assert_refused(attempt, 403, "set target.network.links to Down") or True, 20,
                      "the policy to be known")
        self.assert_refused(attempt, 403, "must bear the label team")
        self.assert_refused(lambda: attempt(labels={"team": "a"}), 403, "links down")
        attempt(labels={"team": "a"}, network={"links": "Down"})
        for member, value, refused in (("cpu", {"model": "host-model"}, None), ("resources", {"limits": None}, 403)):
            call = functools.partial(attempt, labels={"team": "a"}, network={"links": "Down"}, overrides={
                "template": {"spec": {"domain": {member: value}}}})
            if refused:
                self.assert_refused(call, refused, f"may not change template.spec.domain.{member}")
            else:
                call()
        # Who may edit a Wukong cannot take it back.
        self.kube.create(objects.wukong(self.namespace, "w", {"cloneSource": source.spec(), "target": {
            "labels": {"team": "a"}, "network": {"links": "Down"}}}))
        self.addCleanup(self.kube.delete, API, "Wukong", self.namespace, "w")
        self.assert_refused(lambda: editor.patch(API, "Wukong", self.namespace, "w", {"spec": {"target": None}}), 422,
                            "target is immutable")


if __name__ == "__main__":
    harness.main()
