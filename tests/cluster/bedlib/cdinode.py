"""Plays what real CDI needs below it: a resizer, and a node for the one kind of Pod that only has to run.

    python3 cdinode.py BED_FOLDER

CDI restores a snapshot at its own size and then lets the claim grow, and it gives a claim that waits
for its first consumer a Pod (pkg/controller/clone/prep-claim.go). So claims are grown through the CSI
driver as external-resizer does (its driver needs no node for that), and CDI's prep Pods are bound to
a made-up node and Succeeded once their claims are bound. Every other Pod of CDI (copies, imports)
stays Pending: nothing here runs images.
"""

import struct
import subprocess
import sys
import time
import traceback
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    sys.dont_write_bytecode = True

from bedlib.bed import Bed  # noqa: E402
from bedlib.kube import CONNECTION_ERRORS, ApiError  # noqa: E402
from bedlib.virtnode import NODE, log  # noqa: E402

PREP_PODS = "cdi.kubevirt.io=cdi-populator-prep"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
LOOP_S = 0.1
UNITS = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}


def bytes_of(quantity):
    """Bytes of the quantities that claims of the cases have."""
    unit = UNITS.get(quantity[-2:], 0)
    return int(quantity[:-2]) * unit if unit else int(quantity)


def _varint(number):
    out = b""
    while number > 0x7f:
        out += bytes((number & 0x7f | 0x80,))
        number >>= 7
    return out + bytes((number,))


def expand(socket, handle, size):
    """ControllerExpandVolume{volume_id = 1, capacity_range = 2 {required_bytes = 1}} (csi.proto)."""
    capacity = b"\x08" + _varint(size)
    message = b"\x0a" + _varint(len(handle)) + handle.encode() + b"\x12" + _varint(len(capacity)) + capacity
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--http2-prior-knowledge", "--unix-socket", str(socket),
         "--header", "content-type: application/grpc", "--header", "te: trailers", "--data-binary", "@-",
         "--dump-header", "-", "--output", "/dev/null",
         "http://localhost/csi.v1.Controller/ControllerExpandVolume"],
        input=struct.pack(">BI", 0, len(message)) + message, capture_output=True, timeout=30)
    if b"grpc-status: 0" not in done.stdout.lower():
        raise OSError(f"expand {handle}: {done.stdout.decode()} {done.stderr.decode()}")


class Node:
    def __init__(self, bed):
        self.bed = bed
        self.kube = bed.admin()

    def step(self):
        for claim in self.kube.list("v1", "PersistentVolumeClaim"):
            self.guarded(self.grow, claim)
        for pod in self.kube.list("v1", "Pod", selector=PREP_PODS):
            self.guarded(self.run, pod)

    def guarded(self, function, obj):
        try:
            function(obj)
        except (ApiError, KeyError, OSError) as failure:
            # Most often somebody was faster; the next round sees it.
            log(f"{obj['metadata']['name']}: {failure}")

    def grow(self, claim):
        if claim.get("status", {}).get("phase") != "Bound":
            return
        wanted = claim["spec"]["resources"]["requests"]["storage"]
        if bytes_of(wanted) <= bytes_of(claim["status"]["capacity"]["storage"]):
            return
        meta, name = claim["metadata"], claim["spec"]["volumeName"]
        volume = self.kube.get("v1", "PersistentVolume", None, name)
        expand(self.bed.csi_socket, volume["spec"]["csi"]["volumeHandle"], bytes_of(wanted))
        self.kube.patch("v1", "PersistentVolume", None, name, {"spec": {"capacity": {"storage": wanted}}})
        self.kube.patch("v1", "PersistentVolumeClaim", meta["namespace"], meta["name"],
                        {"status": {"capacity": {"storage": wanted}}}, "status")
        log(f"{meta['namespace']}/{meta['name']} has {wanted}")

    def run(self, pod):
        meta = pod["metadata"]
        if meta.get("deletionTimestamp"):
            self.kube.request("DELETE", self.kube.path("v1", "Pod", meta["namespace"], meta["name"]),
                              {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0})
        elif pod["status"].get("phase") == "Pending" and self.claims_are_ready(pod):
            if not pod["spec"].get("nodeName"):
                self.kube.request("POST", f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/binding",
                                  {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": meta["name"]},
                                   "target": {"apiVersion": "v1", "kind": "Node", "name": NODE}})
            self.kube.patch("v1", "Pod", meta["namespace"], meta["name"],
                            {"status": {"phase": "Succeeded"}}, "status")

    def claims_are_ready(self, pod):
        """As the scheduler: chooses the node of claims that wait for one; then waits until all are
        bound and as large as they ask to be, which a kubelet does before it mounts them."""
        for volume in pod["spec"]["volumes"]:
            name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
            if not name:
                continue
            namespace = pod["metadata"]["namespace"]
            claim = self.kube.get("v1", "PersistentVolumeClaim", namespace, name)
            if claim["status"].get("phase") != "Bound":
                if SELECTED_NODE not in (claim["metadata"].get("annotations") or {}):
                    self.kube.patch("v1", "PersistentVolumeClaim", namespace, name,
                                    {"metadata": {"annotations": {SELECTED_NODE: NODE}}})
                return False
            if bytes_of(claim["status"]["capacity"]["storage"]) < \
                    bytes_of(claim["spec"]["resources"]["requests"]["storage"]):
                return False
        return True


def main():
    bed = Bed(sys.argv[1])
    node = Node(bed)
    while True:
        try:
            node.step()
        except (ApiError, *CONNECTION_ERRORS):
            log(traceback.format_exc(limit=1))
        time.sleep(LOOP_S)


if __name__ == "__main__":
    main()
