"""Builders and helpers for cases that make VirtualMachines and VirtualMachineInstances."""

import json
import time

from . import harness, objects, records

API, SNAPSHOT = "kubevirt.io/v1", "snapshot.kubevirt.io/v1beta1"
VM, VMI = "VirtualMachine", "VirtualMachineInstance"
FAULT = "standin.kubevirt.io/"
CONTROLLER = "system:serviceaccount:kubevirt:kubevirt-controller"
STORAGE = ("csi", "csi-provisioner", "csi-snapshotter", "snapshot-controller")


def spec_of(*claims, memory="64Mi", cloud_init=False, **more):
    disks = [{"name": c, "disk": {"bus": "virtio"}} for c in claims]
    volumes = [{"name": c, "persistentVolumeClaim": {"claimName": c}} for c in claims]
    if cloud_init:
        disks.append({"name": "ci", "disk": {"bus": "virtio"}})
        volumes.append({"name": "ci", "cloudInitNoCloud": {"userData": "#cloud-config\n"}})
    spec = {"domain": {"devices": {"disks": disks}, "memory": {"guest": memory}}, "volumes": volumes}
    spec.update(more)
    return spec


class Machines(harness.Case):
    needs = ("kubevirt", *STORAGE)

    def vmi(self, name="src", *claims, annotations=None, labels=None, spec=None):
        return {"apiVersion": API, "kind": VMI, "spec": spec or spec_of(*claims),
                "metadata": objects._meta(self.namespace, name, labels, annotations)}

    def vm(self, name="src", *claims, strategy="Always", annotations=None, labels=None, spec=None, **more):
        template = {"metadata": {"labels": labels or {}, "annotations": annotations or {}},
                    "spec": spec or spec_of(*claims)}
        body = {"template": template, **more}
        if strategy:
            body["runStrategy"] = strategy
        return {"apiVersion": API, "kind": VM, "spec": body,
                "metadata": objects._meta(self.namespace, name)}

    def get(self, kind=VMI, name="src", api=API):
        return self.kube.find(api, kind, self.namespace, name) or {}

    def status(self, kind=VMI, name="src", api=API):
        return self.get(kind, name, api).get("status") or {}

    def condition(self, kind, wanted="AgentConnected", name="src", api=API):
        for c in self.status(kind, name, api).get("conditions") or []:
            if c["type"] == wanted:
                return c
        return None

    def running(self, name="src", agent=True):
        """Waits for the VMI to run with its agent; returns it."""
        self.wait_for(lambda: self.status(VMI, name).get("phase") == "Running"
                      and (not agent or self.condition(VMI, "AgentConnected", name)), 30, f"{name} to run")
        return self.get(VMI, name)

    def start_vmi(self, *claims, name="src", agent=True, annotations=None):
        for claim in claims:
            self.make_claim(claim)
        self.kube.create(self.vmi(name, *claims, annotations=annotations))
        return self.running(name, agent)

    def start_vm(self, *claims, name="src", **more):
        for claim in claims:
            self.make_claim(claim)
        self.kube.create(self.vm(name, *claims, **more))
        return self.running(name)

    def annotate(self, **values):
        self.kube.patch(API, VMI, self.namespace, "src", {"metadata": {"annotations": {
            FAULT + k.replace("_", "-"): v for k, v in values.items()}}})

    def call(self, verb, name="src", body=None, client=None, method="PUT", accept="*/*", query="",
             plural="virtualmachineinstances", headers=None, content_type="application/json"):
        path = f"/apis/subresources.kubevirt.io/v1/namespaces/{self.namespace}/{plural}/{name}/{verb}{query}"
        return (client or self.kube).raw(method, path, body, content_type=content_type, accept=accept,
                                         headers=headers)

    def freeze(self, timeout="60s", **more):
        return self.call("freeze", body={"unfreezeTimeout": timeout}, **more)

    def unfreeze(self, **more):
        return self.call("unfreeze", **more)

    def log(self, name="src"):
        path = self.bed.data / "kubevirt" / "freeze-log.jsonl"
        entries = (json.loads(line) for line in path.read_text().splitlines())
        return [e for e in entries if e.get("namespace") == self.namespace and e.get("name") == name]

    def log_events(self, *kinds):
        return [e for e in self.log() if e["event"] in kinds]

    def writes(self, claim):
        """Whether a guest writes to the claim now."""
        before = records.read(self.volume_file(claim)).last()
        time.sleep(0.15)
        return records.read(self.volume_file(claim)).last() > before

    def assert_status(self, answer, code, text=None):
        self.assertEqual(code, answer[0], answer[1])
        body = json.loads(answer[1])
        self.assertEqual("Status", body["kind"])
        if text:
            self.assertIn(text, body["message"])
        return body
