"""Proves that many Wukongs at once end as one alone would: of many sources, with no more guests frozen than the
worker is told and no more clones under way than twice what it is told, and of one source, with one freeze, one
snapshot for each disk, and the right to clone asked for each of them. The API server never has to turn the worker
away (429).

What is under way is told by a watch of all Wukongs (bedlib/flight.py), which misses no moment, and not
by the worker. WUKONG_SCALE=full: 200 Wukongs of 50 sources, and 50 of one. What that costs is measured by
tests/bench/batch.
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bedlib import harness, objects, vms  # noqa: E402
from bedlib.flight import Flight  # noqa: E402

harness.quick_storage()
FULL = os.environ.get("WUKONG_SCALE") == "full"
AT_ONCE = 8
DISKS = ("root", "data")
PATIENCE_S = 1800 if FULL else 240


def in_parallel(do, items):
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(do, items))


class Scale(vms.CloneCase):
    def setUp(self):
        super().setUp()
        self.throttled = self.bed.throttled("worker")

    def phases(self):
        """{phase: how many Wukongs of this test}"""
        found = [vms.clone_status(w).get("phase")
                 for w in self.kube.list(vms.WUKONG_API, "Wukong", self.namespace)]
        return {phase: found.count(phase) for phase in set(found)}

    def wait_all_succeeded(self, count, timeout_s):
        def done():
            phases = self.phases()
            if phases.get("Failed"):
                raise vms.WrongEnd(f"some have failed: {phases}")
            return phases == {"Succeeded": count} or self.fail(phases)
        self.wait_for(done, timeout_s, f"all {count} to succeed")

    def assert_never_throttled(self):
        self.assertEqual(self.throttled, self.bed.throttled("worker"))
        turned_away = [e["requestURI"] for e in self.bed.audit_entries(self.audit_mark)
                       if (e.get("responseStatus") or {}).get("code") == 429]
        self.assertEqual([], turned_away)

    def created(self, resource, namespace):
        """The names of all objects of a kind that were ever created there in this test."""
        return [e["objectRef"].get("name") for e in self.bed.audit_entries(self.audit_mark)
                if e["verb"] == "create" and e["objectRef"].get("resource") == resource
                and e["objectRef"].get("namespace") == namespace
                and e["responseStatus"].get("code") == 201 and "dryRun=" not in e["requestURI"]]


class ManySources(Scale):
    sources, each, in_flight = (50, 4, 32) if FULL else (5, 3, 4)
    frozen = 4 if FULL else 2

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if "worker" in cls.bed.parts():
            vms.worker_with(cls.bed, "--max-in-flight", str(cls.in_flight), "--max-frozen", str(cls.frozen))

    @classmethod
    def tearDownClass(cls):
        if "worker" in cls.bed.parts():
            vms.worker_with(cls.bed)

    @staticmethod
    def most_frozen(sources):
        """How many guests were frozen at the same time; one that thaws makes room for another at that moment."""
        changes = sorted((e["at"], 1 if e["event"] == "frozen" else -1)
                         for s in sources for e in s.log("frozen", "thawed", "safety-thawed"))
        now = most = 0
        for _, change in changes:
            now += change
            most = max(most, now)
        return most

    def test_no_more_than_the_configured_number_is_under_way(self):
        # A clone is under way until its disks are there; its snapshots go afterwards. With disks that take a
        # while there are more under way than guests may be frozen.
        slow = f"slow-{self.namespace}"
        self.cleanup_object(objects.storage_class(slow, {"fault-restore-delay-ms": "1500"}))
        sources = in_parallel(lambda i: self.source(f"src{i}", disks=DISKS, storage_class=slow),
                              range(self.sources))
        names = [f"c{i:02}" for i in range(self.sources * self.each)]
        of = {name: sources[i % self.sources] for i, name in enumerate(names)}
        with Flight(self.kube) as flight:
            in_parallel(lambda name: self.clone(name, of[name], startStrategy={"autoStart": False}), names)
            self.wait_all_succeeded(len(names), PATIENCE_S)
        self.assertIsNone(flight.failure)
        self.assertGreaterEqual(flight.most, self.in_flight, "places that nobody takes cost time")
        # Those that share the cut of one which has a place go along (docs/admin/policy.md, Limits).
        self.assertLessEqual(flight.most, 2 * self.in_flight)
        self.assertLess(sum(len(s.log("frozen")) for s in sources), len(names), "equals froze apart")
        self.assertLessEqual(self.most_frozen(sources), self.frozen)
        self.assert_never_throttled()
        for name in names:
            self.assert_disks(name, of[name], disks=DISKS)
            self.assert_own_identity(name, of[name])
        for source in sources:
            self.assert_untouched(source)
            self.assert_thawed_by_worker(source)
        self.assert_no_temporaries()


class OneSource(Scale):
    """Of another namespace, where each needs the right to clone it."""

    count = 50 if FULL else 12

    def setUp(self):
        super().setUp()
        self.prod = self.make_namespace(self.namespace + "-prod")
        self.clients = {}
        for name in ("ada", "ben", "cal"):
            user = f"{name}-{self.namespace}"
            self.clients[name] = self.bed.user_client(user)
            self.bind(self.namespace, user, "ClusterRole", "edit")
            if name != "cal":
                self.bind(self.prod, user, "Role", "cloners")
        self.kube.create({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
                          "metadata": {"name": "cloners", "namespace": self.prod},
                          "rules": [{"apiGroups": ["vm.novasphere.dev"], "resources": ["wukongs/source"],
                                     "resourceNames": ["src"], "verbs": ["create"]}]})

    def bind(self, namespace, user, kind, role):
        self.kube.create({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                          "metadata": {"name": user, "namespace": namespace},
                          "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
                          "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User",
                                        "name": user}]})

    def ask(self, name, user, source, dry_run=False):
        spec = {"cloneSource": {**source.spec(), "namespace": self.prod},
                "startStrategy": {"autoStart": False}}
        return self.clients[user].create(objects.wukong(self.namespace, name, spec), dry_run)

    def access_reviews(self):
        """How often the webhook has asked whether somebody may clone."""
        return sum(1 for e in self.bed.audit_entries(self.audit_mark)
                   if (e.get("objectRef") or {}).get("resource") == "subjectaccessreviews"
                   and e["user"]["username"] == self.bed.account("webhook")
                   and (e.get("responseStatus") or {}).get("code") == 201)

    def test_one_freeze_one_snapshot_and_a_right_for_each(self):
        source = self.source(disks=DISKS, namespace=self.prod)
        names = [f"c{i:02}" for i in range(self.count)]
        for user in ("ada", "ben"):
            self.wait_for(lambda: self.ask("first", user, source, dry_run=True), 10,
                          "the rights to be known")

        def all_wait():
            found = self.kube.list(vms.WUKONG_API, "Wukong", self.namespace)
            waiting = [w for w in found
                       if vms.reason(w, "SnapshotTaken") in ("SourceBusy", "SharedSnapshot")]
            return len(waiting) == self.count or self.fail(f"{len(waiting)} wait")
        with source.held():
            mark, self.audit_mark = self.audit_mark, self.bed.audit_mark()
            made = in_parallel(lambda i: self.ask(names[i], ("ada", "ben")[i % 2], source),
                               range(self.count))
            self.assertGreaterEqual(self.access_reviews(), self.count)
            self.assert_refused(lambda: self.ask("stranger", "cal", source), 403, "may not clone")
            self.wait_for(all_wait, 60, "all to wait")
            self.audit_mark = mark
        stamps = {w["metadata"]["annotations"]["vm.novasphere.dev/admission"] for w in made}
        self.assertEqual(self.count, len(stamps), "a stamp is for one Wukong")
        self.wait_all_succeeded(self.count, PATIENCE_S)
        self.assertEqual(1, len(source.log("freeze-request")))
        self.assertEqual(1, len(source.log("frozen")))
        self.assertEqual(len(DISKS), len(self.created("volumesnapshots", self.prod)))
        self.assert_thawed_by_worker(source)
        self.assert_never_throttled()
        last = self.frozen_at(source)
        for name in names:
            self.assertEqual("FilesystemConsistent",
                             vms.clone_status(self.wukong(name)).get("consistency"))
        for name in names[::7]:
            self.assert_disks(name, source, last)
            self.assert_own_identity(name, source)
        for namespace in (self.namespace, self.prod):
            self.assert_no_temporaries(namespace)


if __name__ == "__main__":
    harness.main()
