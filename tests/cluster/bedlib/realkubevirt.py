"""A bed with real KubeVirt instead of the stand-in, for whoever has built its programs.

`bed up --virt-controller BIN --virt-api BIN --kubevirt-crds DIR`: DIR holds *.json, one object each:
KubeVirt's CustomResourceDefinitions and, as virt-operator would create them, the ServiceAccounts and
rights of virt-api and virt-controller, virt-api's webhook configurations and APIServices (the
constructors in pkg/virt-operator/resource/generate/components and …/rbac; each with apiVersion and
kind). Ports and caBundles in them are replaced. Below both programs, virtnode.py plays the node.
"""

import json
import sys
from pathlib import Path

from . import pki

PARTS = ("virt-api", "virt-controller", "virt-node")
NAMESPACE = "kubevirt"


def wanted(options):
    return bool(options.get("virt_controller") and options.get("virt_api")
                and options.get("kubevirt_crds"))


def objects_in(folder, *kinds, but=()):
    """The objects of a folder of JSON files; of these kinds only, or of all but those."""
    found = []
    for path in sorted(Path(folder).glob("*.json")):
        obj = json.loads(path.read_text())
        if (not kinds or obj["kind"] in kinds) and obj["kind"] not in but:
            found.append(obj)
    return found


def _objects(bed, *kinds, but=()):
    return objects_in(bed.config["options"]["kubevirt_crds"], *kinds, but=but)


def led_here(bed, obj, namespace, service, port):
    """The object with its service references leading to a Service of ours, on loopback."""
    from .install import ca_bundle
    clients = [obj["spec"]] if obj["kind"] == "APIService" else \
        [hook["clientConfig"] for hook in obj.get("webhooks", [])]
    for client in clients:
        client["caBundle"] = ca_bundle(bed)
        client.pop("insecureSkipTLSVerify", None)
        client["service"].update(namespace=namespace, name=service, port=port)
    return obj


def definitions(bed):
    return _objects(bed, "CustomResourceDefinition")


REGISTRATIONS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration", "APIService")


def base(bed):
    """Everything the two programs read at their start."""
    admin = bed.admin()
    for obj in _objects(bed, but=(*REGISTRATIONS, "CustomResourceDefinition")):
        admin.apply(obj)
    ca = (bed.pki / "ca.crt").read_text()
    for name in ("kubevirt-ca", "kubevirt-export-ca"):
        admin.apply({"apiVersion": "v1", "kind": "ConfigMap",
                     "metadata": {"name": name, "namespace": NAMESPACE}, "data": {"ca-bundle": ca}})
    admin.apply({"apiVersion": "v1", "kind": "Service",
                 "metadata": {"name": "virt-api", "namespace": NAMESPACE},
                 "spec": {"type": "ExternalName", "externalName": "localhost"}})
    admin.apply({"apiVersion": "kubevirt.io/v1", "kind": "KubeVirt",
                 "metadata": {"name": "kubevirt", "namespace": NAMESPACE},
                 "spec": {"configuration": {"developerConfiguration": {"featureGates": ["Snapshot"]}}}})
    admin.patch("kubevirt.io/v1", "KubeVirt", NAMESPACE, "kubevirt",
                {"status": {"phase": "Deployed", "defaultArchitecture": "amd64"}}, "status")


def after(bed):
    for obj in _objects(bed, *REGISTRATIONS):
        bed.admin().apply(led_here(bed, obj, NAMESPACE, "virt-api", bed.port("virt-api")))


def prepare(account):
    def mint(bed):
        bed.service_account_kubeconfig(NAMESPACE, account)
        authority = pki.Authority(bed.pki, "ca")
        for name, common_name in (("virt-handler", "kubevirt.io:system:node:virt-handler"),
                                  ("virt-handler-client", "kubevirt.io:system:client:virt-handler")):
            if not (bed.pki / f"{name}.crt").exists():
                authority.issue(name, common_name, hosts=["127.0.0.1", "localhost"])
    return mint


def virt_api(bed):
    return [bed.config["options"]["virt_api"],
            "--kubeconfig", bed.kubeconfigs / f"{NAMESPACE}.kubevirt-apiserver.kubeconfig",
            "--listen", "127.0.0.1", "--port", str(bed.port("virt-api")),
            "--console-server-port", str(bed.port("virt-node")), "--externally-managed",
            "--tls-cert-file", bed.pki / "virt-api.crt", "--tls-key-file", bed.pki / "virt-api.key",
            "--handler-cert-file", bed.pki / "virt-handler-client.crt",
            "--handler-key-file", bed.pki / "virt-handler-client.key"]


def virt_controller(bed):
    return [bed.config["options"]["virt_controller"],
            "--kubeconfig", bed.kubeconfigs / f"{NAMESPACE}.kubevirt-controller.kubeconfig",
            "--listen", "127.0.0.1", "--port", str(bed.port("virt-controller")),
            "--launcher-image", "none", "--exporter-image", "none",
            "--prom-cert-file", bed.pki / "virt-api.crt", "--prom-key-file", bed.pki / "virt-api.key"]


def virt_node(bed):
    return [sys.executable, "-B", Path(__file__).resolve().parent / "virtnode.py", bed.folder]
