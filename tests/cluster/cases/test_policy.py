"""Proves what ClonePolicies do to clones at execution, against the real API server and with the chart's
rights: limits hold back whom they should, the oldest goes first and nobody is written anew while it
waits; a shut window tells until when, and taking the policy away lets the clone go on by itself; an
unreadable policy denies what it matches and says so; a policy for one group leaves the others alone, at
admission and afterwards; what is finished is never touched."""

import contextlib
import datetime
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bedlib import harness, objects, vms  # noqa: E402

harness.quick_storage()
API = "vm.novasphere.dev/v1alpha1"
FULL_ONLY = {"rules": {"cloneTypes": ["full"]}}
# No clone of a test that runs today: the first minutes of a year.
NEW_YEAR = {"windows": [{"schedule": "0 0 1 1 *", "duration": "1m"}]}


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def most_at_once(wukongs):
    """How many were between their permission and their end at the same time, at most."""
    turns = []
    for one in wukongs:
        status = vms.clone_status(one)
        turns += [(moment(status["startTime"]), 1), (moment(status["completionTime"]), -1)]
    most = now = 0
    for _, change in sorted(turns):
        now += change
        most = max(most, now)
    return most


class Policies(vms.CloneCase):
    def setUp(self):
        super().setUp()
        self.policies = 0

    def policy(self, spec, match=None, ready=True):
        """A policy for this test's namespace, seen by the worker; its name."""
        self.policies += 1
        name = f"{self.namespace}-{self.policies}"
        match = {"target": {"namespaceSelector": {"matchLabels": {
            "kubernetes.io/metadata.name": self.namespace}}}, **(match or {})}
        self.cleanup_object({"apiVersion": API, "kind": "ClonePolicy", "metadata": {"name": name},
                             "spec": {"match": match, **spec}})
        self.wait_ready(name, ready)
        return name

    def wait_ready(self, name, ready=True):
        def now():
            found = self.kube.get(API, "ClonePolicy", None, name)
            return found if (vms.condition(found, "Ready") or {}).get("status") == str(ready) and \
                found["status"]["observedGeneration"] == found["metadata"]["generation"] else None
        return self.wait_for(now, 30, f"policy {name} to be Ready={ready}")

    def status_writes(self, until=None):
        """How many status writes each Wukong had, those before a moment. One that met the finalizer's
        write (Conflict) wrote nothing and is repeated."""
        return Counter(e["objectRef"].get("name") for e in self.bed.audit_entries(self.audit_mark)
                       if (e.get("objectRef") or {}).get("subresource") == "status"
                       and e["objectRef"].get("namespace") == self.namespace
                       and e["verb"] == "patch" and e["responseStatus"]["code"] == 200
                       and (until is None or moment(e["requestReceivedTimestamp"]) < until))

    def allowed(self, name):
        return vms.condition(self.wukong(name), "PolicyAllowed") or {}


class Limits(Policies, vms.Concurrent):
    together = "policies"

    def test_two_at_once_of_six_the_oldest_first(self):
        sources = [self.source(f"s{i}") for i in range(3)]
        policy = self.policy({"limits": {"concurrentPerTargetNamespace": 2}})
        names = [f"c{i}" for i in range(6)]
        for i, name in enumerate(names):
            # Not equal in what they clone: equal ones may share a snapshot, which is another test's.
            self.clone(name, sources[i % 3], clone_source={"deadlineSeconds": 1000 + i})
        last = self.wait_reason(names[-1], "PolicyAllowed", "Queued")
        message = vms.condition(last, "PolicyAllowed")["message"]
        self.assertIn(f'ClonePolicy "{policy}": at most 2 clones into one namespace at once', message)
        self.assertEqual("Queued", vms.condition(last, "Ready")["reason"])
        ended = [self.wait_ended(name, timeout_s=120) for name in names]
        self.assertEqual(2, most_at_once(ended))
        begun = [vms.clone_status(one)["startTime"] for one in ended]
        # Two places that become free in one moment go to the two oldest, whichever of them writes first.
        for older, younger in zip(begun, begun[1:]):
            self.assertGreater((moment(younger) - moment(older)).total_seconds(), -0.25, "not the oldest first")
        # It waited for others to end, several times over, and told so once.
        self.assertLessEqual(self.status_writes(moment(begun[-1]))[names[-1]], 2)

    def test_one_at_a_time_of_each_source(self):
        sources = [self.source(f"s{i}") for i in range(2)]
        self.policy({"limits": {"concurrentPerSource": 1}})
        for i in range(4):
            self.clone(f"c{i}", sources[i % 2], clone_source={"deadlineSeconds": 1000 + i})
        ended = [self.wait_ended(f"c{i}", timeout_s=120) for i in range(4)]
        for which in range(2):
            self.assertEqual(1, most_at_once(ended[which::2]))

    def test_who_waits_for_its_source_keeps_no_slot(self):
        source = self.source()
        self.policy({"limits": {"concurrentPerTargetNamespace": 1}})
        self.clone("early", clone_source={"type": "vmi", "vmiName": "not-there"})
        self.wait_reason("early", "SourceReady", "SourceNotFound")
        self.clone("late", source)
        self.wait_ended("late")

    def test_a_limit_that_is_raised_lets_the_next_one_go(self):
        source = self.source()
        vms.set_disk_fault(self.bed, source.handle("root"), snapshot_delay_ms=20000)
        self.addCleanup(vms.set_disk_fault, self.bed, source.handle("root"))
        other = self.source("other")
        policy = self.policy({"limits": {"concurrentPerTargetNamespace": 1}})
        self.clone("slow", source)
        self.wait_field("slow", "startTime")
        self.clone("next", other)
        self.wait_reason("next", "PolicyAllowed", "Queued")
        self.kube.patch(API, "ClonePolicy", None, policy,
                        {"spec": {"limits": {"concurrentPerTargetNamespace": 2}}})
        self.wait_ended("next")

    def test_storage_of_a_namespace(self):
        source = self.source(size="64Mi")
        policy = self.policy({"limits": {"storagePerTargetNamespace": "100Mi"}})
        self.clone("one", source)
        self.wait_ended("one")
        self.clone("two", source)
        held = self.wait_reason("two", "PolicyAllowed", "Queued")
        self.assertIn(f'"{policy}": clones in one namespace may hold 100Mi and this one needs 64Mi',
                      vms.condition(held, "PolicyAllowed")["message"])
        self.assertEqual([], self.snapshots(), "the source was touched")
        self.kube.delete(API, "Wukong", self.namespace, "one")
        self.wait_ended("two")

    def test_a_crowd_in_line_is_written_once(self):
        """Whatever ends before it, nobody in line is written anew."""
        source = self.source()
        vms.set_disk_fault(self.bed, source.handle("root"), snapshot_delay_ms=15000)
        self.addCleanup(vms.set_disk_fault, self.bed, source.handle("root"))
        self.policy({"limits": {"concurrentPerTargetNamespace": 1}})
        crowd = [f"q{i:03}" for i in range(100)]
        self.clone("first", source, clone_source={"quiesce": "Never"})
        self.wait_field("first", "startTime")
        for i, name in enumerate(crowd):
            self.clone(name, source, clone_source={"quiesce": "Never", "deadlineSeconds": 1000 + i})

        def queued():
            found = {w["metadata"]["name"]: vms.condition(w, "PolicyAllowed")
                     for w in self.kube.list(API, "Wukong", self.namespace)}
            return all((found[n] or {}).get("reason") == "Queued" for n in crowd[5:])
        self.wait_for(queued, 60, "the crowd to be in line")
        vms.set_disk_fault(self.bed, source.handle("root"))
        for name in ("first", *crowd[:3]):
            self.wait_ended(name, timeout_s=120)
        written = self.status_writes()
        self.assertEqual({1}, {written[name] for name in crowd[10:]}, written)

    def test_snapshots_kept_for_linked_clones(self):
        source = self.source()
        policy = self.policy({"limits": {"retainedSnapshotsPerSource": 1}})
        for i in range(2):
            self.clone(f"c{i}", source, clone_source={"cloneType": "linked", "deadlineSeconds": 1000 + i})
        self.wait_ended("c0")
        held = self.wait_reason("c1", "PolicyAllowed", "Queued")
        self.assertIn(f'"{policy}": linked clones of one source may keep 1 snapshots and this one needs 1',
                      vms.condition(held, "PolicyAllowed")["message"])
        self.clone("full", source)
        self.wait_ended("full")  # it keeps none
        self.kube.delete(API, "Wukong", self.namespace, "c0")
        self.wait_ended("c1")


class Killed(Policies):
    # Without a Lease a restarted worker goes on at once.
    worker_arguments = ("--lease", "")

    def test_a_worker_that_is_killed_counts_anew(self):
        sources = [self.source(f"s{i}") for i in range(3)]
        self.policy({"limits": {"concurrentPerTargetNamespace": 1}})
        names = [f"c{i}" for i in range(3)]
        for i, name in enumerate(names):
            self.clone(name, sources[i], clone_source={"deadlineSeconds": 1000 + i})
        self.wait_field(names[0], "snapshotTime")
        self.bed.kill("worker")
        self.bed.start("worker")
        ended = [self.wait_ended(name, timeout_s=120) for name in names]
        self.assertEqual(1, most_at_once(ended))
        begun = [vms.clone_status(one)["startTime"] for one in ended]
        # Two places that become free in one moment go to the two oldest, whichever of them writes first.
        for older, younger in zip(begun, begun[1:]):
            self.assertGreater((moment(younger) - moment(older)).total_seconds(), -0.25, "not the oldest first")


class Windows(Policies, vms.Concurrent):
    together = "policies"

    def test_shut_it_tells_until_when_and_goes_on_without_the_policy(self):
        source = self.source()
        policy = self.policy(NEW_YEAR)
        until = f"{datetime.datetime.now(datetime.timezone.utc).year + 1}-01-01T00:00:00Z"
        self.clone("night", source, clone_source={"deadlineSeconds": 60})
        held = self.wait_reason("night", "PolicyAllowed", "OutsideWindow")
        self.assertIn(f'ClonePolicy "{policy}": outside all windows; the next one opens at {until}',
                      vms.condition(held, "PolicyAllowed")["message"])
        self.assertEqual(until, vms.clone_status(held)["waitingUntil"])
        self.assertNotIn("startTime", vms.clone_status(held), "the deadline's clock runs")
        head, row = self.bed.kubectl("get", "wk", "night", "-n", self.namespace).stdout.splitlines()
        self.assertEqual("UNTIL", head.split()[6])
        self.assertIn(until, row)
        self.assertIn(until, self.bed.kubectl("get", "wk", "night", "-n", self.namespace, "-o",
                                              "wide").stdout.splitlines()[1].split("opens at")[1])
        self.kube.delete(API, "ClonePolicy", None, policy)
        self.wait_ended("night")
        self.assertNotIn("waitingUntil", vms.clone_status(self.wukong("night")))

    def test_outside_a_window_that_denies_nothing_is_admitted(self):
        source = self.source()
        policy = self.policy({**NEW_YEAR, "outsideWindow": "Deny"})
        self.wait_for(lambda: self.assert_refused(
            lambda: self.kube.create(objects.wukong(self.namespace, "x", {"cloneSource": source.spec()}),
                                     dry_run=True), 403, policy), 10, "the webhook to know the policy")


class Edited(Policies, vms.Concurrent):
    together = "policies"

    def test_what_is_finished_is_never_touched(self):
        source = self.source()
        self.clone("done", source)
        self.wait_ended("done")
        self.wait_for(lambda: "finalizers" not in self.wukong("done")["metadata"] and
                      vms.holds(self.wukong("done"), "TemporariesCleaned"), 20, "its last write")
        before = self.wukong("done")
        policy = self.policy(FULL_ONLY)
        time.sleep(3)
        self.assertEqual(before, self.wukong("done"))
        self.vm_of("done")
        self.assertEqual(0, self.kube.get(API, "ClonePolicy", None, policy)["status"]["violations"]
                         ["total"])

    @contextlib.contextmanager
    def unjudged_policies(self):
        """The webhook is not asked about policies meanwhile."""
        def choose(selector):
            for found in self.kube.list("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", None):
                for hook in found.get("webhooks") or []:
                    if hook["name"] == "vclonepolicy.vm.novasphere.dev":
                        hook["objectSelector"] = selector
                        self.kube.patch("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration",
                                        None, found["metadata"]["name"], {"webhooks": found["webhooks"]})
        choose({"matchLabels": {"example.com/judged": "yes"}})
        time.sleep(3)  # until the API server has heard of it
        yield
        choose({})

    def test_an_unreadable_policy_denies_what_it_matches_until_it_is_mended(self):
        self.clone("waits", clone_source={"type": "vmi", "vmiName": "src"})
        self.wait_reason("waits", "SourceReady", "SourceNotFound")
        # It was stored when nobody judged policies, or before this version did.
        with self.unjudged_policies():
            policy = self.policy({"windows": [{"schedule": "61 * * * *", "duration": "1h"}]}, ready=False)
        found = vms.condition(self.kube.get(API, "ClonePolicy", None, policy), "Ready")
        self.assertEqual("Unreadable", found["reason"])
        self.assertIn("spec.windows[0].schedule", found["message"])
        self.wait_reason("waits", "PolicyAllowed", "PolicyDenied")
        self.assertIn(f'ClonePolicy "{policy}" cannot be read', self.allowed("waits")["message"])
        self.wait_for(lambda: self.assert_refused(
            lambda: self.kube.create(objects.wukong(self.namespace, "x", {
                "cloneSource": {"type": "vmi", "vmiName": "src"}}), dry_run=True), 403, policy),
            10, "the webhook to know the policy")
        self.source()
        self.kube.patch(API, "ClonePolicy", None, policy, {"spec": {"windows": [
            {"schedule": "* * * * *", "duration": "1h"}]}})
        self.wait_ready(policy)
        self.wait_ended("waits")


class Who(Policies, vms.Concurrent):
    together = "policies"

    def setUp(self):
        super().setUp()
        for group in ("ops", "guests"):
            self.kube.create({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                              "metadata": {"name": group, "namespace": self.namespace},
                              "roleRef": {"apiGroup": "rbac.authorization.k8s.io",
                                          "kind": "ClusterRole", "name": "edit"},
                              "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group",
                                            "name": f"{self.namespace}-{group}"}]})
        self.ops, self.guest = (self.bed.user_client(f"{self.namespace}-{name}",
                                                     [f"{self.namespace}-{group}"])
                                for name, group in (("olga", "ops"), ("gus", "guests")))

    def create(self, client, name, source, dry_run=False):
        return client.create(objects.wukong(self.namespace, name, {"cloneSource": source.spec()}),
                             dry_run=dry_run)

    def test_one_group_is_denied_and_the_other_clones(self):
        """At execution too: the worker knows who asked by the webhook's stamp."""
        source = self.source()
        policy = self.policy(FULL_ONLY, {"subjects": [
            {"kind": "Group", "name": f"{self.namespace}-guests"}]})
        self.wait_for(lambda: self.assert_refused(
            lambda: self.create(self.guest, "g", source, dry_run=True), 403,
            f'ClonePolicy "{policy}": cloneType running is not allowed; use one of: full'),
            10, "the webhook to know the policy")
        self.create(self.ops, "o", source)
        self.addCleanup(self.kube.delete, API, "Wukong", self.namespace, "o")
        self.wait_ended("o")

    def test_the_policy_comes_after_the_clone_was_admitted(self):
        """One clone of a guest, one of ops, both waiting for their source; then guests are denied."""
        match = {"subjects": [{"kind": "Group", "name": f"{self.namespace}-guests"}]}
        self.policy({}, match)  # some policy asks who
        spec = {"cloneSource": {"type": "vmi", "vmiName": "src"}}
        seen = self.wait_for(lambda: self.guest.create(
            objects.wukong(self.namespace, "x", spec), dry_run=True)["metadata"].get("annotations"),
            10, "the webhook to stamp")
        self.assertIn("vm.novasphere.dev/admission", seen)
        for client, name in ((self.guest, "g"), (self.ops, "o")):
            client.create(objects.wukong(self.namespace, name, spec))
            self.addCleanup(self.kube.delete, API, "Wukong", self.namespace, name)
            self.wait_reason(name, "SourceReady", "SourceNotFound")
        policy = self.policy(FULL_ONLY, match)
        self.wait_reason("g", "PolicyAllowed", "PolicyDenied")
        self.source()
        self.wait_ended("o")
        self.assertEqual("PolicyDenied", self.allowed("g")["reason"])
        found = self.wait_for(lambda: self.kube.get(API, "ClonePolicy", None, policy)["status"]
                              ["violations"].get("items"), 20, "the violation")
        self.assertEqual([("g", f"{self.namespace}-gus", "cloneTypes")],
                         [(v["name"], v["user"], v["rule"]) for v in found])

    def test_audit_holds_nobody_and_counts(self):
        source = self.source()
        policy = self.policy({**FULL_ONLY, "validationActions": ["Audit"]})
        self.clone("seen", source)
        self.wait_ended("seen")
        found = self.wait_for(lambda: [v for v in [self.kube.get(API, "ClonePolicy", None, policy)
                                                   ["status"]["violations"]] if v["total"]],
                              20, "the violation")[0]
        self.assertEqual(1, found["total"])
        self.assertEqual(("seen", self.namespace, "cloneTypes"),
                         tuple(found["items"][0][k] for k in ("name", "namespace", "rule")))
        self.assertIn("cloneType running is not allowed", found["items"][0]["message"])
        self.kube.delete(API, "Wukong", self.namespace, "seen")
        self.wait_for(lambda: self.kube.get(API, "ClonePolicy", None, policy)["status"]["violations"]
                      ["total"] == 0, 30, "the violation to go with its Wukong")
        # Nobody writes when there is nothing to say.
        writes = [e for e in self.bed.audit_entries(self.audit_mark)
                  if (e.get("objectRef") or {}).get("resource") == "clonepolicies"
                  and e["objectRef"].get("subresource") == "status"
                  and e["objectRef"]["name"] == policy]
        self.assertLessEqual(len(writes), 3, "Ready, the violation, its end")


if __name__ == "__main__":
    harness.main()
