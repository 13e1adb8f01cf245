#!/usr/bin/env python3
"""Proves what a review costs when the cluster has to be asked: the source, its claims and the requester's
right are looked up while the connection waits, classes and policies come from caches that follow the
API server, and before they are filled nobody is judged by them; an API server that is slow, answers
errors or breaks off makes no denial and no hang: the review is answered in the time that its caller gave
(`?timeout`) and admitted with a warning; more of them at once than allowed are told to come back.

    test_lookups.py PROGRAM [Lookups.test_…]

The API server is played by this file, over HTTP: what it serves a test puts into `world`.
"""

import http.client
import json
import sys
import threading
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import test_hostile  # noqa: E402

MUTATE = "/mutate-vm-novasphere-dev-v1alpha1-wukong"
VALIDATE = "/validate-vm-novasphere-dev-v1alpha1-wukong"
VMI = "/apis/kubevirt.io/v1/namespaces/d/virtualmachineinstances/db"
CLAIM = "/api/v1/namespaces/d/persistentvolumeclaims/db-root"
STORAGE = "/apis/storage.k8s.io/v1/storageclasses"
SNAPSHOTS = "/apis/snapshot.storage.k8s.io/v1/volumesnapshotclasses"
DRIVERS = "/apis/storage.k8s.io/v1/csidrivers"
CDI = "/apis/cdi.kubevirt.io/v1beta1"
POLICIES = "/apis/vm.novasphere.dev/v1alpha1/clonepolicies"

SOURCE = {"metadata": {"name": "db", "uid": "i"}, "status": {"phase": "Running"},
          "spec": {"volumes": [{"name": "root", "persistentVolumeClaim": {"claimName": "db-root"}}],
                   "domain": {"devices": {"disks": [{"name": "root"}]}}}}
BOUND = {"metadata": {"name": "db-root"}, "spec": {"storageClassName": "fast", "volumeMode": "Block"},
         "status": {"phase": "Bound", "capacity": {"storage": "10Gi"}}}


def named(name, **more):
    return {"metadata": {"name": name, "uid": f"u-{name}", "resourceVersion": "5", "generation": 1}, **more}


class World:
    """What the API server has: objects by path, lists by path, events of watches, and its moods."""

    at_start = {}

    def __init__(self):
        self.lock = threading.Condition()
        self.objects = {VMI: SOURCE, CLAIM: BOUND}
        self.lists = {
            STORAGE: [named("fast", provisioner="csi.example.com", allowVolumeExpansion=True,
                            volumeBindingMode="WaitForFirstConsumer"),
                      named("fixed", provisioner="csi.example.com")],
            SNAPSHOTS: [{**named("snap", driver="csi.example.com", deletionPolicy="Delete")}],
            DRIVERS: [named("csi.example.com")], POLICIES: []}
        self.lists[SNAPSHOTS][0]["metadata"]["annotations"] = {
            "snapshot.storage.kubernetes.io/is-default-class": "true"}
        self.events = {path: [] for path in self.lists}
        self.mood = dict(self.at_start)  # path: code, or "hang", or "drop"
        self.asked = []

    def event(self, path, kind, item):
        with self.lock:
            items = self.lists[path]
            items[:] = [i for i in items if i["metadata"]["name"] != item["metadata"]["name"]]
            if kind != "DELETED":
                items.append(item)
            item["metadata"]["resourceVersion"] = str(6 + len(self.events[path]))
            self.events[path].append(json.dumps({"type": kind, "object": item}).encode() + b"\n")
            self.lock.notify_all()


class Api(test_hostile.FakeApi):
    world = None

    def answer(self, code, value):
        body = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def watch(self, path):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        sent = 0
        while not self.server.stopping.is_set():
            with self.world.lock:
                self.world.lock.wait_for(lambda: len(self.world.events[path]) > sent, 0.2)
                fresh, sent = self.world.events[path][sent:], len(self.world.events[path])
            for line in fresh:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            self.wfile.flush()

    def do_GET(self):
        path = self.path.split("?")[0]
        if "watch=" in self.path:
            return self.watch(path)
        mood = self.world.mood.get(path)
        self.world.asked.append(path)
        if mood == "hang":
            self.server.stopping.wait(30)
        if mood in ("hang", "drop"):
            self.close_connection = True
            return None
        if mood:
            return self.answer(mood, {"kind": "Status", "code": mood})
        if path in self.world.lists:
            with self.world.lock:
                return self.answer(200, {"metadata": {"resourceVersion": "5"}, "items": self.world.lists[path]})
        found = self.world.objects.get(path)
        return self.answer(200 if found else 404, found or {"kind": "Status", "code": 404})

    def do_POST(self):
        self.world.asked.append(self.path)
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.world.mood.get(self.path):
            return self.answer(self.world.mood[self.path], {})
        review["status"] = {"allowed": False}
        return self.answer(201, review)


class Asking(test_hostile.Program):
    api_class = Api

    @classmethod
    def setUpClass(cls):
        cls.world = Api.world = World()
        super().setUpClass()

    def setUp(self):
        self.world.mood.clear()
        self.world.asked.clear()

    def ask(self, timeout="5s", path=VALIDATE, metadata=None, link=None, **spec):
        """(seconds, the response) to a review of a Wukong that clones VMI d/db."""
        spec.setdefault("cloneSource", {"type": "vmi", "vmiName": "db"})
        wukong = {"apiVersion": "vm.novasphere.dev/v1alpha1", "kind": "Wukong",
                  "metadata": {"name": "w", "namespace": "d", **(metadata or {})}, "spec": spec}
        link = link or self.connection()
        began = time.monotonic()
        link.request("POST", f"{path}?timeout={timeout}", test_hostile.review("u", {"object": wukong}))
        answer = link.getresponse()
        body = json.loads(answer.read())
        self.assertEqual((200, "u"), (answer.status, body["response"]["uid"]))
        link.close()
        return time.monotonic() - began, body["response"]

    def warned(self, response, text):
        self.assertTrue(response["allowed"], response)
        self.assertTrue(any(text in w for w in response.get("warnings", [])), response)

    def eventually(self, check):
        end = time.monotonic() + 20
        while True:
            try:
                return check()
            except AssertionError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)


class Lookups(Asking):
    def test_a_good_source_is_looked_up_and_admitted_without_a_word(self):
        for path in (MUTATE, VALIDATE):
            self.world.asked.clear()
            _, response = self.ask(path=path, disks=[{"name": "root", "size": "20Gi"}])
            self.assertTrue(response["allowed"], response)
            self.assertNotIn("warnings", response)
            self.assertEqual({VMI, CLAIM}, {VMI, CLAIM} & set(self.world.asked))
            self.assertFalse(set(self.world.lists) & set(self.world.asked), "the caches were not used")

    def test_whether_cdi_is_there_is_asked_now_and_then_and_before_a_denial(self):
        for _ in range(5):
            self.ask()
        self.assertLessEqual(self.world.asked.count(CDI), 1)
        self.world.asked.clear()
        _, response = self.ask(disks=[{"name": "root", "storageClassName": "nope"}])
        self.assertFalse(response["allowed"])
        self.assertEqual(1, self.world.asked.count(CDI))

    def test_classes_and_policies_follow_the_api_server(self):
        _, response = self.ask(disks=[{"name": "root", "size": "20Gi", "storageClassName": "fixed"}])
        self.assertIn("expansion", response["status"]["message"])
        self.world.event(STORAGE, "MODIFIED", named("fixed", provisioner="csi.example.com",
                                                    allowVolumeExpansion=True))
        self.eventually(lambda: self.assertTrue(self.ask(disks=[
            {"name": "root", "size": "20Gi", "storageClassName": "fixed"}])[1]["allowed"]))
        policy = named("small", spec={"rules": {"maxReplicas": 1}, "validationActions": ["Deny"]})
        self.world.event(POLICIES, "ADDED", policy)
        self.eventually(lambda: self.assertIn("small", self.ask(replicas=2)[1]["status"]["message"]))
        self.world.event(POLICIES, "DELETED", policy)
        self.eventually(lambda: self.assertTrue(self.ask(replicas=2)[1]["allowed"]))

    def test_a_look_that_hangs_ends_with_the_callers_time(self):
        for timeout, least, most in (("1s", 0.3, 1), ("2s", 1.2, 2), ("5s", 3, 4.5)):
            self.world.mood[VMI] = "hang"
            took, response = self.ask(timeout=timeout)
            self.warned(response, "could not check")
            self.assertGreater(took, least)
            self.assertLess(took, most)

    def test_the_callers_time_begins_with_its_connection(self):
        """On a busy machine the handshake takes a good part of it. A connection that was opened for
        another request, though, leaves this one time to look."""
        self.world.mood[VMI] = "hang"
        link, began = self.connection(), time.monotonic()
        link.connect()
        time.sleep(0.8)
        self.warned(self.ask(timeout="2s", link=link)[1], "could not check")
        self.assertLess(time.monotonic() - began, 2)
        self.world.mood.clear()
        link = self.connection()
        link.connect()
        time.sleep(3)
        self.assertNotIn("warnings", self.ask(timeout="2s", link=link)[1])

    def test_times_that_are_none_leave_the_default(self):
        self.world.mood[VMI] = 500
        for timeout in ("", "s", "0s", "-1s", "1m", "99999999999s", "3600s", "x"):
            self.warned(self.ask(timeout=timeout)[1], "could not check")

    def test_errors_and_broken_answers_are_no_denial(self):
        for mood in (500, 403, 429, "drop"):
            for path in (VMI, CLAIM):
                with self.subTest(mood=mood, path=path):
                    self.world.mood = {path: mood}
                    took, response = self.ask(timeout="3s")
                    self.warned(response, "could not check")
                    self.assertLess(took, 4)

    def test_what_is_missing_warns(self):
        _, response = self.ask(cloneSource={"type": "vmi", "vmiName": "later"})
        self.warned(response, "does not exist yet")

    def test_many_at_once_beside_one_that_hangs(self):
        self.world.mood[CLAIM] = "hang"
        slow = threading.Thread(target=self.ask, kwargs={"timeout": "4s"})
        slow.start()
        time.sleep(0.3)
        self.world.mood.clear()
        times = [self.ask()[0] for _ in range(20)]
        self.assertLess(sorted(times)[10], 1, "the one that hangs holds up the others")
        slow.join()

    def test_a_caller_that_leaves_takes_its_looks_with_it(self):
        self.world.mood[VMI] = "hang"
        for _ in range(5):
            link = self.connection()
            link.request("POST", f"{VALIDATE}?timeout=3s", test_hostile.review("u", {"object": {
                "metadata": {"name": "w"}, "spec": {"cloneSource": {"type": "vmi", "vmiName": "db"}}}}))
            time.sleep(0.1)
            link.close()
        self.world.mood.clear()
        self.assertTrue(self.ask()[1]["allowed"])

    def test_metrics_tell_of_the_looks(self):
        self.ask()
        link = http.client.HTTPConnection("127.0.0.1", self.plain, timeout=5)
        link.request("GET", "/metrics")
        text = link.getresponse().read().decode()
        self.assertIn('virtualmachineinstance"', text)
        self.assertIn("persistentvolumeclaim", text)


class Many(Asking):
    """However many policies there are, the last one by name denies, and costs a review little."""

    MANY = 1100

    @classmethod
    def setUpClass(cls):
        made = World.__init__

        def with_policies(world):
            made(world)
            window = {"schedule": "* * * * *", "duration": "168h", "timeZone": "America/New_York"}
            world.lists[POLICIES] = [
                named(f"p{i:05}", spec={"windows": [window] * 4, "match": {"subjects": [
                    {"kind": "User", "name": "x"}]}}) for i in range(cls.MANY)] + [
                named("z", spec={"rules": {"maxReplicas": 1}})]
        World.__init__ = with_policies
        try:
            super().setUpClass()
        finally:
            World.__init__ = made

    def test_the_last_one_counts(self):
        _, denied = self.ask(replicas=2)
        self.assertFalse(denied["allowed"])
        self.assertIn('ClonePolicy "z"', denied["status"]["message"])
        before = int(Path(f"/proc/{self.process.pid}/schedstat").read_text().split()[0])
        for _ in range(5):
            self.assertTrue(self.ask()[1]["allowed"])
        took_s = (int(Path(f"/proc/{self.process.pid}/schedstat").read_text().split()[0]) - before) / 5e9
        print(f"# {self.MANY} policies of four dense windows: {took_s * 1000:.0f} ms a review", flush=True)
        self.assertLess(took_s, 2 if test_hostile.SANITIZED else 0.2)


class Cap(Asking):
    """More reviews at once than --max-requests: the next one is told to come back, which client-go does
    unseen (rest/with_retry.go); nobody waits in a queue, and room that becomes free is used."""

    @classmethod
    def arguments(cls, folder):
        return ["--max-requests", "3"]

    def answer(self):
        link = self.connection()
        link.request("POST", f"{VALIDATE}?timeout=5s", test_hostile.review("u"))
        answer = link.getresponse()
        answer.read()
        return answer

    def test_what_is_too_much_is_shed_with_retry_after(self):
        self.world.mood[VMI] = "hang"
        began = time.monotonic()
        slow = [threading.Thread(target=self.ask, kwargs={"timeout": "3s"}) for _ in range(3)]
        for thread in slow:
            thread.start()
        self.eventually(lambda: self.assertEqual(429, self.answer().status))
        shed = self.answer()
        self.assertEqual((429, "1"), (shed.status, shed.headers["Retry-After"]))
        self.assertLess(time.monotonic() - began, 2, "it was kept waiting")
        for thread in slow:
            thread.join()
        self.assertEqual(200, self.answer().status)


class Cold(Asking):
    """Before the caches are filled a review is told to come back: nothing is denied, and nothing let
    through, because a cache is cold."""

    @classmethod
    def setUpClass(cls):
        cls.told = set()
        asker = threading.Thread(target=cls.ask_until_judged, daemon=True)
        World.at_start = {STORAGE: 500, POLICIES: 403}
        threading.Timer(3, lambda: cls.world.mood.clear()).start()
        asker.start()
        try:
            super().setUpClass()
        finally:
            World.at_start = {}
        asker.join(20)

    @classmethod
    def ask_until_judged(cls):
        """From before the program listens until the first 200."""
        while 200 not in {code for code, _ in cls.told}:
            try:
                link = cls.connection(timeout=5)
                link.request("POST", f"{VALIDATE}?timeout=5s", test_hostile.review("u"))
                answer = link.getresponse()
                answer.read()
                cls.told.add((answer.status, answer.headers["Retry-After"]))
            except (OSError, AttributeError, TypeError):
                pass  # it does not listen yet
            time.sleep(0.05)

    def test_it_says_come_back_until_they_are_filled(self):
        self.assertEqual({(503, "1"), (200, None)}, self.told)


if __name__ == "__main__":
    unittest.main(warnings="ignore", argv=[sys.argv[0], *sys.argv[2:]], verbosity=1)
