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
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    sys.dont_write_bytecode = True

from bedlib import node  # noqa: E402

PREP_PODS = "cdi.kubevirt.io=cdi-populator-prep"
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


class Node(node.Node):
    def step(self):
        for claim in self.kube.list("v1", "PersistentVolumeClaim"):
            self.guarded(self.grow, claim)
        for pod in self.kube.list("v1", "Pod", selector=PREP_PODS):
            self.guarded(self.run, pod)

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
        node.log(f"{meta['namespace']}/{meta['name']} has {wanted}")

    def run(self, pod):
        meta = pod["metadata"]
        if meta.get("deletionTimestamp"):
            self.remove(pod)
        elif pod["status"].get("phase") == "Pending" and self.claims_are_bound(pod) and self.are_grown(pod):
            if not pod["spec"].get("nodeName"):
                self.bind(pod)
            self.kube.patch("v1", "Pod", meta["namespace"], meta["name"],
                            {"status": {"phase": "Succeeded"}}, "status")

    def are_grown(self, pod):
        """Its claims are as large as they ask to be: a kubelet grows them before it mounts them."""
        return all(bytes_of(claim["status"]["capacity"]["storage"])
                   >= bytes_of(claim["spec"]["resources"]["requests"]["storage"])
                   for claim in self.claims(pod))


if __name__ == "__main__":
    Node(node.bed_of_the_command_line()).serve()
