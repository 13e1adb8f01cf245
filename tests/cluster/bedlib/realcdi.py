"""A bed with real CDI instead of the stand-in, for whoever has built its programs.

`bed up --parts cdi,… --cdi-apiserver BIN --cdi-controller BIN --cdi-objects DIR`: DIR holds *.json, one
object each, as cdi-operator would create them: CDI's CustomResourceDefinitions, ServiceAccounts and
rights, and cdi-apiserver's webhook configurations and APIService (pkg/operator/resources/cluster and
…/namespaced; each with apiVersion and kind). Ports and caBundles in them are replaced.

Both programs listen on port 8443 of all addresses and the controller reads its keys below /var/run. In a
bed they take those from the environment, which is all that has to be changed in their two main
functions: LISTEN_PORT (on 127.0.0.1), METRICS_ADDRESS, TOKEN_KEYS (a folder). cdinode.py plays the node:
what CDI does by Pods that copy (host-assisted clones, imports) does not end; CDI's other two ways do.
"""

import base64
import sys
import time
from pathlib import Path

from .realkubevirt import REGISTRATIONS, led_here, objects_in

NAMESPACE = "cdi"
ACCOUNTS = {"cdi-api": "cdi-apiserver", "cdi": "cdi-sa"}
SIGNING_KEY = "cdi-api-signing-key"
# Images are never pulled: a Pod stays Pending and shows what CDI asked for.
IMAGES = ("IMPORTER_IMAGE", "CLONER_IMAGE", "UPLOADSERVER_IMAGE", "OVIRT_POPULATOR_IMAGE")


def wanted(options):
    return bool(options.get("cdi_apiserver") and options.get("cdi_controller")
                and options.get("cdi_objects"))


def _objects(bed, *kinds, but=()):
    return objects_in(bed.config["options"]["cdi_objects"], *kinds, but=but)


def definitions(bed):
    return _objects(bed, "CustomResourceDefinition")


def base(bed):
    """Everything the two programs read at their start."""
    admin = bed.admin()
    admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    for obj in _objects(bed, but=(*REGISTRATIONS, "CustomResourceDefinition", "Service")):
        admin.apply(obj)
    ca = (bed.pki / "ca.crt").read_text()
    for name in ("cdi-uploadserver-signer-bundle", "cdi-uploadserver-client-signer-bundle"):
        admin.apply({"apiVersion": "v1", "kind": "ConfigMap",
                     "metadata": {"name": name, "namespace": NAMESPACE}, "data": {"ca-bundle.crt": ca}})
    # Without one the controller makes no Pod (pkg/controller/common/util.go, GetActiveCDI).
    # Its gate is the one that CDI's release sets; the annotation is cdi-operator's.
    admin.apply({"apiVersion": "cdi.kubevirt.io/v1beta1", "kind": "CDI",
                 "metadata": {"name": "cdi", "annotations": {"cdi.kubevirt.io/configAuthority": ""}},
                 "spec": {"config": {"featureGates": ["HonorWaitForFirstConsumer"]}}})
    admin.apply({"apiVersion": "v1", "kind": "Service",
                 "metadata": {"name": "cdi-api", "namespace": NAMESPACE},
                 "spec": {"type": "ExternalName", "externalName": "localhost"}})


def after(bed):
    for obj in _objects(bed, *REGISTRATIONS):
        bed.admin().apply(led_here(bed, obj, NAMESPACE, "cdi-api", bed.port("cdi-api")))


def _keys(bed):
    folder = bed.data / "cdi"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def prepare(part):
    def mint(bed):
        bed.service_account_kubeconfig(NAMESPACE, ACCOUNTS[part])
    return mint


def prepare_controller(bed):
    """The controller gets the key that cdi-apiserver made for itself, as its Pod does by a volume."""
    bed.service_account_kubeconfig(NAMESPACE, ACCOUNTS["cdi"])
    end = time.monotonic() + 30
    while not (secret := bed.admin().find("v1", "Secret", NAMESPACE, SIGNING_KEY)):
        if time.monotonic() > end:
            raise TimeoutError(f"cdi-apiserver made no Secret {SIGNING_KEY}: see logs/cdi-api.log")
        time.sleep(0.05)
    for name in ("id_rsa", "id_rsa.pub"):
        path = _keys(bed) / name
        path.touch(mode=0o600)
        path.write_bytes(base64.b64decode(secret["data"][name]))


def _kubeconfig(bed, part):
    return bed.kubeconfigs / f"{NAMESPACE}.{ACCOUNTS[part]}.kubeconfig"


def apiserver(bed):
    return [bed.config["options"]["cdi_apiserver"], "--kubeconfig", _kubeconfig(bed, "cdi-api")]


def apiserver_env(bed):
    return {"LISTEN_PORT": str(bed.port("cdi-api")), "CERT_FILE": str(bed.pki / "cdi-api.crt"),
            "KEY_FILE": str(bed.pki / "cdi-api.key")}


def controller(bed):
    return [bed.config["options"]["cdi_controller"], "--kubeconfig", _kubeconfig(bed, "cdi")]


def node(bed):
    return [sys.executable, "-B", Path(__file__).resolve().parent / "cdinode.py", bed.folder]


def controller_env(bed):
    ca = {f"UPLOAD_{who}_{what}_FILE": str(bed.pki / f"ca.{end}")
          for who in ("SERVER", "CLIENT") for what, end in (("KEY", "key"), ("CERT", "crt"))}
    return {**ca, **{name: "none" for name in IMAGES}, "UPLOADPROXY_SERVICE": "cdi-uploadproxy",
            "METRICS_ADDRESS": f"127.0.0.1:{bed.port('cdi')}", "TOKEN_KEYS": str(_keys(bed))}
