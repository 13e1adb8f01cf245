"""Plays the nodes' part in a live migration, also of volumes, below a real virt-controller.

virt-controller does everything until the target Pod runs: it points the VMI at the destination's
claims, writes status.migratedVolumes, and hands the VMI over (status.migrationState.targetNode). From
there on two virt-handlers do it: the target listens, the source copies, the target takes over and
clears what told of the move (KubeVirt's pkg/virt-handler/migration-target.go: updateStatus,
ackMigrationCompletion, finalizeMigration; migration-source.go: setMigrationProgressStatus).
"""

import time

from . import node

NODE = f"{node.NAME}-2"
# Without a model of the host's CPU on the Node no target Pod is made (…/watch/migration/migration.go).
CPU_LABELS = {"host-model-cpu.node.kubevirt.io/bed": "true", "cpu-vendor.node.kubevirt.io/bed": "true"}
JOB_LABEL = "kubevirt.io/migrationJobUID"
# So long does the copy run, so that others see the machine while it moves.
COPY_S = 2.0
MOVING = "VolumesChange"


def claim_of(volume):
    return (volume.get("persistentVolumeClaim") or {}).get("claimName") \
        or (volume.get("dataVolume") or {}).get("name")


def claims(vmi):
    return [c for c in map(claim_of, vmi["spec"].get("volumes", [])) if c]


def moved(vmi):
    """{destination: source} of the claims that are to move."""
    pairs = {}
    for entry in vmi["status"].get("migratedVolumes") or []:
        pairs[entry["destinationPVCInfo"]["claimName"]] = entry["sourcePVCInfo"]["claimName"]
    return pairs


def written_claims(vmi):
    """The claims that the guest writes: the sources', until the move has ended."""
    state = vmi["status"].get("migrationState") or {}
    back = {} if state.get("endTimestamp") and not state.get("failed") else moved(vmi)
    return [back.get(name, name) for name in claims(vmi)]


def node_of(pod):
    return NODE if JOB_LABEL in pod["metadata"]["labels"] else node.NAME


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class Move:
    """One step of each migration a round. `of` is virtnode's Node."""

    def __init__(self, of):
        self.of = of
        self.begun = {}

    def step(self, vmi):
        state = vmi["status"].get("migrationState") or {}
        if not state.get("targetNode") or state.get("completed") or state.get("failed"):
            return
        if not state.get("targetNodeAddress"):
            self.write(vmi, state, targetNodeAddress="127.0.0.1")
        elif not state.get("startTimestamp"):
            self.begun[state["migrationUid"]] = time.monotonic()
            self.write(vmi, state, startTimestamp=now())
        elif not state.get("endTimestamp"):
            if time.monotonic() - self.begun.get(state["migrationUid"], 0) >= COPY_S:
                self.take_over(vmi, state)
        else:
            self.finish(vmi, state)

    def write(self, vmi, state, status=None, labels=None, **more):
        self.of.update_vmi(vmi, {"metadata": {"labels": labels or {}},
                                 "status": {**(status or {}), "migrationState": {**state, **more}}})

    def take_over(self, vmi, state):
        meta = vmi["metadata"]
        self.of.guests[meta["uid"]].move(self.of.files_of(vmi, claims(vmi)))
        self.write(vmi, state, {"nodeName": NODE}, {"kubevirt.io/nodeName": NODE}, endTimestamp=now(),
                   targetNodeDomainDetected=True, targetNodeDomainReadyTimestamp=now())
        node.log(f"{meta['namespace']}/{meta['name']} has moved: {moved(vmi)}")

    def finish(self, vmi, state):
        """Nothing tells of the move any more, and the Pod on the source's Node ends."""
        destinations = {e["sourcePVCInfo"]["claimName"]: e["destinationPVCInfo"]
                        for e in vmi["status"].get("migratedVolumes") or []}
        volumes = vmi["status"].get("volumeStatus") or []
        for entry in volumes:
            info = entry.get("persistentVolumeClaimInfo") or {}
            if info.get("claimName") in destinations:
                entry["persistentVolumeClaimInfo"] = destinations[info["claimName"]]
        conditions = [c for c in vmi["status"].get("conditions", []) if c["type"] != MOVING]
        self.write(vmi, state, {"migratedVolumes": None, "volumeStatus": volumes,
                                "conditions": conditions},
                   {"kubevirt.io/migrationTargetNodeName": None}, completed=True)
        namespace = vmi["metadata"]["namespace"]
        for pod in self.of.kube.list("v1", "Pod", namespace,
                                     f"kubevirt.io/created-by={vmi['metadata']['uid']}"):
            if pod["spec"].get("nodeName") == state["sourceNode"]:
                self.of.kube.patch("v1", "Pod", namespace, pod["metadata"]["name"],
                                   {"status": {"phase": "Succeeded"}}, "status")
