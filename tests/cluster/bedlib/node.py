"""A made-up node, as far as those have it in common who play one (virtnode.py, cdinode.py)."""

import sys
import time
import traceback

from .bed import Bed
from .kube import CONNECTION_ERRORS, ApiError

NAME = "bed-node"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
LOOP_S = 0.1


def log(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


class Node:
    """A poll of what there is to do (`step`), for ever."""

    def __init__(self, bed):
        self.bed = bed
        self.kube = bed.admin()

    def step(self):
        raise NotImplementedError

    def guarded(self, function, obj):
        try:
            function(obj)
        except (ApiError, KeyError, OSError) as failure:
            # Most often somebody was faster; the next round sees it.
            log(f"{obj.get('kind', '')} {obj['metadata']['name']}: {failure}")

    def serve(self):
        while True:
            try:
                self.step()
            except (ApiError, *CONNECTION_ERRORS):
                log(traceback.format_exc(limit=1))
            time.sleep(LOOP_S)

    def remove(self, pod):
        """As a kubelet whose containers have ended."""
        meta = pod["metadata"]
        self.kube.request("DELETE", self.kube.path("v1", "Pod", meta["namespace"], meta["name"]),
                          {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0})

    def bind(self, pod, to=NAME):
        meta = pod["metadata"]
        self.kube.request("POST", f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/binding",
                          {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": meta["name"]},
                           "target": {"apiVersion": "v1", "kind": "Node", "name": to}})

    def claims(self, pod):
        for volume in pod["spec"].get("volumes", []):
            name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
            if name:
                yield self.kube.get("v1", "PersistentVolumeClaim", pod["metadata"]["namespace"], name)

    def claims_are_bound(self, pod):
        """As the scheduler: chooses the node for claims that wait for one, then waits for them."""
        bound = True
        for claim in self.claims(pod):
            meta = claim["metadata"]
            if claim["status"].get("phase") == "Bound":
                continue
            bound = False
            if SELECTED_NODE not in (meta.get("annotations") or {}):
                self.kube.patch("v1", "PersistentVolumeClaim", meta["namespace"], meta["name"],
                                {"metadata": {"annotations": {SELECTED_NODE: NAME}}})
        return bound


def bed_of_the_command_line():
    return Bed(sys.argv[1])
