"""Plays the node below a real virt-controller and virt-api: kubelet, virt-handler and the guests.

    python3 virtnode.py BED_FOLDER

It binds launcher Pods to a made-up Node and sets them Running, tells KubeVirt that their VMIs run
with a connected agent, answers virt-api's freeze and unfreeze, and writes each guest's records to the
files of its claims (the format of records.py) and what became of a freeze to
data/kubevirt/freeze-log.jsonl (as the stand-in does, but without users: here they all are virt-api).
A migration goes to a second Node (virtmove.py). What virt-handler does and the identity that may write
a VMI's status are described in KubeVirt's pkg/virt-handler/rest/lifecycle.go and
pkg/virt-api/webhooks/mutating-webhook/mutators/vmi-mutator.go.
"""

import fcntl
import json
import os
import re
import ssl
import struct
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    sys.dont_write_bytecode = True

from bedlib import node, records, virtmove  # noqa: E402

API = "kubevirt.io/v1"
# virt-api reverts what anybody but KubeVirt's own accounts writes to a VMI's status.
AS_CONTROLLER = {"Impersonate-User": "system:serviceaccount:kubevirt:kubevirt-controller",
                 "Impersonate-Group": "system:masters"}
# The stand-in's fault of the same name: a guest without an agent.
NO_AGENT = "standin.kubevirt.io/no-agent"
WRITE_INTERVAL_S = 0.01
# virt-handler asks the agent for the freeze state every 5 s (pkg/virt-launcher, agent poller).
FREEZE_POLL_S = 5.0


class FreezeLog:
    """What happened to the guests, one JSON object a line (tests/cluster/kubevirt/guest/freezelog.go)."""

    def __init__(self, path):
        path.parent.mkdir(exist_ok=True)
        self.file = open(path, "a", buffering=1, encoding="utf-8")
        self.lock = threading.Lock()

    def add(self, event, **more):
        now = time.time_ns()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 10 ** 9))
        entry = {"time": f"{stamp}.{now % 10 ** 9:09d}Z", "event": event, **more}
        with self.lock:
            self.file.write(json.dumps(entry) + "\n")


class Guest:
    """One running VMI's writer."""

    def __init__(self, meta, files, freezes):
        uid = meta["uid"]
        self.about = {"uid": uid, "namespace": meta["namespace"], "name": meta["name"]}
        self.freezes = freezes
        self.frozen_since = None
        self.uid = uuid.UUID(uid).bytes
        self.lock = threading.Lock()
        self.thaw_at = None
        self.frozen = False
        self.stopped = threading.Event()
        self.reported = ""
        held = [records.read(path) for path in files]
        # It goes on after the highest number that its disks hold (tests/cluster/kubevirt/README.md).
        self.number = self.first = max((disk.last() for disk in held), default=0)
        self.disks = [(open(path, "r+b", buffering=0), disk.end) for path, disk in zip(files, held)]
        self.cut = open(Path(files[0]).parent.parent / "cut.lock", "a") if files else None
        freezes.add("guest-started", **self.about)
        threading.Thread(target=self._write, daemon=True).start()

    def _write(self):
        while not self.stopped.wait(WRITE_INTERVAL_S):
            with self.lock:
                if self.frozen and time.monotonic() >= self.thaw_at:
                    self._thawed("safety-thawed")
                if self.frozen:
                    continue
                self.number += 1
                number, now = self.number, time.time_ns()
                for index, (disk, start) in enumerate(self.disks):
                    # A driver that cuts a group holds writers up (tests/cluster/csi/group.go).
                    fcntl.flock(self.cut, fcntl.LOCK_SH)
                    body = struct.pack("<8sQQ16sI16s", records.MAGIC, number, now, self.uid, index, b"")
                    slot = body + struct.pack("<I", records.crc32c(body))
                    os.pwrite(disk.fileno(), slot, start + (number - self.first - 1) * records.SLOT)
                    fcntl.flock(self.cut, fcntl.LOCK_UN)

    def move(self, files):
        """Copies its disks and goes on there, as a block migration ends: no record comes in between."""
        with self.lock:
            moved = []
            for path, (disk, start) in zip(files, self.disks):
                target = open(path, "r+b", buffering=0)
                written = start + (self.number - self.first) * records.SLOT
                os.pwrite(target.fileno(), os.pread(disk.fileno(), written, 0), 0)
                disk.close()
                moved.append((target, start))
            self.disks = moved

    def freeze(self, seconds):
        with self.lock:
            event = "already-frozen" if self.frozen else "frozen"
            if not self.frozen:
                # A second freeze shares the first one's timer (pkg/virt-launcher/virtwrap/manager.go).
                self.frozen_since = time.monotonic()
                self.thaw_at = self.frozen_since + (seconds or float("inf"))
            self.frozen = True
            self.freezes.add(event, last=self.number, timeoutSeconds=seconds, **self.about)

    def thaw(self):
        with self.lock:
            self._thawed("thawed" if self.frozen else "already-thawed")

    def _thawed(self, event):
        more = {"frozenMs": (time.monotonic() - self.frozen_since) * 1000} if self.frozen else {}
        self.frozen = False
        self.freezes.add(event, last=self.number, **more, **self.about)

    def stop(self):
        self.stopped.set()
        with self.lock:
            for disk, _ in self.disks:
                disk.close()
            self.disks = []


def seconds_of(duration):
    """Go's duration text ("1m0s") in seconds."""
    units = {"h": 3600, "m": 60, "s": 1, "ms": 0.001}
    return sum(float(n) * units[u] for n, u in re.findall(r"([0-9.]+)(ms|h|m|s)", duration or ""))


def unfreeze_timeout(body):
    """Whole seconds of a freeze's body, or None when it names no Go duration."""
    try:
        text = json.loads(body)["unfreezeTimeout"]
    except (ValueError, KeyError, TypeError):
        return None
    if not isinstance(text, str) or not re.fullmatch(r"0|([0-9.]+(ms|h|m|s))+", text):
        return None
    return int(seconds_of(text))


def has_agent(vmi):
    return NO_AGENT not in (vmi["metadata"].get("annotations") or {})


def holds(vmi, kind):
    return any(c["type"] == kind for c in vmi["status"].get("conditions", []))


def with_conditions(vmi, wanted):
    """The VMI's conditions with these, or without them."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return [c for c in vmi["status"].get("conditions", []) if c["type"] not in wanted] + [
        {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": now}
        for kind, there in wanted.items() if there]


def merged(obj, changes):
    """A merge patch's result: None takes a field away."""
    made = dict(obj)
    for key, value in changes.items():
        if value is None:
            made.pop(key, None)
        else:
            made[key] = merged(made.get(key) or {}, value) if isinstance(value, dict) else value
    return made


class Node(node.Node):
    """What happens on the Node, driven by a poll of Pods and VMIs."""

    def __init__(self, bed):
        super().__init__(bed)
        self.move = virtmove.Move(self)
        self.freezes = FreezeLog(bed.data / "kubevirt" / "freeze-log.jsonl")
        self.guests = {}
        self.lock = threading.Lock()

    def announce(self):
        """The Nodes, and on each the virt-handler Pod that virt-api looks for."""
        for handler, name in (("virt-handler", node.NAME), ("virt-handler-2", virtmove.NODE)):
            self.kube.apply({"apiVersion": "v1", "kind": "Node", "metadata": {
                "name": name, "labels": {"kubevirt.io/schedulable": "true", **virtmove.CPU_LABELS}}})
            self.kube.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {
                "name": handler, "namespace": "kubevirt", "labels": {"kubevirt.io": "virt-handler"}},
                "spec": {"nodeName": name, "containers": [{"name": "virt-handler", "image": "none"}]}})
            self.pod_status("kubevirt", handler)

    def pod_status(self, namespace, name):
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        conditions = [{"type": t, "status": "True", "lastTransitionTime": now}
                      for t in ("PodScheduled", "Initialized", "ContainersReady", "Ready")]
        pod = self.kube.get("v1", "Pod", namespace, name)
        containers = [{"name": c["name"], "image": c["image"], "imageID": "none", "ready": True,
                       "started": True, "restartCount": 0, "state": {"running": {"startedAt": now}}}
                      for c in pod["spec"]["containers"]]
        self.kube.patch("v1", "Pod", namespace, name, {"status": {
            "phase": "Running", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}],
            "conditions": conditions, "containerStatuses": containers}}, "status")

    def step(self):
        for pod in self.kube.list("v1", "Pod", selector="kubevirt.io=virt-launcher"):
            self.guarded(self.pod, pod)
        seen = set()
        for vmi in self.kube.list(API, "VirtualMachineInstance"):
            seen.add(vmi["metadata"]["uid"])
            self.guarded(self.vmi, vmi)
        for uid in set(self.guests) - seen:
            self.drop(uid)

    def pod(self, pod):
        meta = pod["metadata"]
        if meta.get("deletionTimestamp"):
            self.remove(pod)
        elif not pod["spec"].get("nodeName"):
            if self.claims_are_bound(pod):
                self.bind(pod, virtmove.node_of(pod))
        elif pod["status"].get("phase") == "Pending":
            self.pod_status(meta["namespace"], meta["name"])

    def vmi(self, vmi):
        uid, status = vmi["metadata"]["uid"], vmi.get("status") or {}
        phase = status.get("phase")
        if vmi["metadata"].get("deletionTimestamp"):
            self.drop(uid)
            if phase not in ("Succeeded", "Failed"):
                self.update_vmi(vmi, {"status": {"phase": "Succeeded"}})
            return
        if phase == "Scheduled":
            self.run(vmi)
        elif phase == "Running":
            if uid not in self.guests:
                # This process was restarted below a running guest.
                self.start_guest(vmi)
            if holds(vmi, "AgentConnected") != has_agent(vmi):
                self.update_vmi(vmi, {"status": {
                    "conditions": with_conditions(vmi, {"AgentConnected": has_agent(vmi)})}})
            else:
                self.report_freeze(vmi)
                self.move.step(vmi)

    def run(self, vmi):
        pods = self.kube.list("v1", "Pod", vmi["metadata"]["namespace"],
                              f"kubevirt.io/created-by={vmi['metadata']['uid']}")
        pods = [p for p in pods if p["status"].get("phase") == "Running"]
        if not pods:
            return
        conditions = with_conditions(vmi, {"Ready": True, "AgentConnected": has_agent(vmi)})
        self.update_vmi(vmi, {
            "metadata": {"labels": {"kubevirt.io/nodeName": node.NAME}},
            "status": {"phase": "Running", "nodeName": node.NAME, "conditions": conditions,
                       "selinuxContext": "none",
                       "activePods": {pods[0]["metadata"]["uid"]: node.NAME}}})
        self.start_guest(vmi)

    def update_vmi(self, vmi, changes):
        """As virt-handler: the whole object in the version that was read. A patch would take each null
        out of the conditions, and virt-controller's patches test for them (…/watch/vmi/lifecycle.go)."""
        meta = vmi["metadata"]
        path = self.kube.path(API, "VirtualMachineInstance", meta["namespace"], meta["name"])
        whole = merged({**vmi, "apiVersion": API, "kind": "VirtualMachineInstance"}, changes)
        return self.kube.request("PUT", path, whole, headers=AS_CONTROLLER)

    def files_of(self, vmi, claims):
        """The volume files of these claims, in their order."""
        files = []
        for name in claims:
            claim = self.kube.get("v1", "PersistentVolumeClaim", vmi["metadata"]["namespace"], name)
            pv = self.kube.get("v1", "PersistentVolume", None, claim["spec"]["volumeName"])
            files.append(self.bed.csi_data / "volumes" / f"{pv['spec']['csi']['volumeHandle']}.img")
        return files

    def start_guest(self, vmi):
        meta, files = vmi["metadata"], self.files_of(vmi, virtmove.written_claims(vmi))
        with self.lock:
            self.guests[meta["uid"]] = Guest(meta, files, self.freezes)
        node.log(f"{meta['namespace']}/{meta['name']} runs on {len(files)} disks")

    def report_freeze(self, vmi):
        guest = self.guests[vmi["metadata"]["uid"]]
        if int(time.monotonic() / FREEZE_POLL_S) == getattr(guest, "polled", None):
            return
        state = "frozen" if guest.frozen else ""
        if state != vmi["status"].get("fsFreezeStatus", ""):
            self.update_vmi(vmi, {"status": {"fsFreezeStatus": state or None}})
        guest.polled = int(time.monotonic() / FREEZE_POLL_S)

    def drop(self, uid):
        with self.lock:
            guest = self.guests.pop(uid, None)
        if guest:
            guest.stop()

    def guest_of(self, namespace, name):
        vmi = self.kube.get(API, "VirtualMachineInstance", namespace, name)
        return self.guests.get(vmi["metadata"]["uid"])


class Handler(BaseHTTPRequestHandler):
    """virt-handler's REST port: PUT …/freeze and …/unfreeze, 202 or 400 as the original answers."""

    protocol_version = "HTTP/1.1"
    node = None

    def body(self):
        # virt-api sends the freeze body chunked, without Content-Length.
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            data = b""
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                data += self.rfile.read(size)
                self.rfile.readline()
                if size == 0:
                    return data
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def do_PUT(self):
        data = self.body()
        match = re.fullmatch(r"/v1/namespaces/([^/]+)/virtualmachineinstances/([^/]+)/(freeze|unfreeze)",
                             self.path)
        guest = match and self.node.guest_of(match.group(1), match.group(2))
        done = bool(guest)
        if guest and match.group(3) == "freeze":
            timeout = unfreeze_timeout(data)
            done = timeout is not None
            if done:
                guest.freeze(timeout)
        elif guest:
            guest.thaw()
        self.send_response(202 if done else 400)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, text, *arguments):
        node.log(text % arguments)


def main():
    bed = node.bed_of_the_command_line()
    Handler.node = Node(bed)
    Handler.node.announce()
    server = ThreadingHTTPServer(("127.0.0.1", bed.port("virt-node")), Handler)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(bed.pki / "ca.crt"))
    context.load_cert_chain(bed.pki / "virt-handler.crt", bed.pki / "virt-handler.key")
    context.verify_mode = ssl.CERT_REQUIRED
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Handler.node.serve()


if __name__ == "__main__":
    main()
