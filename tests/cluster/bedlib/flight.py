"""Watches all Wukongs of a bed: how many are under way at each moment, told by the API server alone.

The events of one watch come in the order of the writes, so what is counted here is what anybody could
have seen, and no moment is missed between two looks. What the worker's own metric says is not asked.
"""

import contextlib
import http.client
import json
import socket
import threading

WUKONGS = "/apis/vm.novasphere.dev/v1alpha1/wukongs"


def begun(wukong):
    """It has done something, be it that its source was started, and has not ended: it holds a place
    in flight."""
    status = (wukong.get("status") or {}).get("cloneStatus") or {}
    return bool(status.get("attempts") or status.get("sourceStarted")) \
        and status.get("phase") not in ("Succeeded", "Failed")


class Flight(threading.Thread):
    """`most`: the most that were under way at a time since the start. Use as a context; `failure` says
    why it ended before its end, after which it has counted nothing."""

    def __init__(self, kube):
        super().__init__(daemon=True)
        self.kube, self.failure = kube, None
        self.under_way, self.most, self.events = set(), 0, 0
        self._stopping = threading.Event()

    def __enter__(self):
        found = self.kube.request("GET", WUKONGS)
        for wukong in found["items"]:
            self._count(self._key(wukong), begun(wukong))
        self._open(found["metadata"]["resourceVersion"])
        self.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._connection.sock.shutdown(socket.SHUT_RDWR)
        self.join(10)
        self._connection.close()

    def _open(self, version):
        self._connection = http.client.HTTPSConnection("127.0.0.1", self.kube.port,
                                                       context=self.kube.context)
        self._connection.request("GET", f"{WUKONGS}?watch=true&resourceVersion={version}",
                                 headers={"Accept": "application/json"})
        self._answer = self._connection.getresponse()
        if self._answer.status != 200:
            raise RuntimeError(f"watch of Wukongs: HTTP {self._answer.status}")

    @staticmethod
    def _key(wukong):
        return wukong["metadata"]["namespace"], wukong["metadata"]["name"]

    def _count(self, key, counts):
        (self.under_way.add if counts else self.under_way.discard)(key)
        self.most = max(self.most, len(self.under_way))

    def _take(self, line):
        event = json.loads(line)
        if event["type"] == "ERROR":
            raise RuntimeError(f"watch of Wukongs: {event['object']}")
        self.events += 1
        wukong = event["object"]
        self._count(self._key(wukong), event["type"] != "DELETED" and begun(wukong))

    def run(self):
        rest = b""
        try:
            while not self._stopping.is_set():
                data = self._answer.read1(65536)
                if not data:
                    raise RuntimeError("watch of Wukongs: it ended")
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self._take(line)
        except (OSError, http.client.HTTPException, RuntimeError, ValueError) as failure:
            self.failure = None if self._stopping.is_set() else failure
