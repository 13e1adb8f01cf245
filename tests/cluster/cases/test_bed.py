"""Proves the test bed itself: what other cases rely on when they judge the product.

Storage is real (bytes survive a snapshot as they were at its cut), parts can be broken and mended,
beds stand side by side, nothing runs as root or admin that should not, and a bed never signals a
process that is not its own.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bedlib import harness, objects, parts, process  # noqa: E402
from bedlib.bed import Bed, reap_orphans  # noqa: E402
from bedlib.kube import ApiError  # noqa: E402

STORAGE = ("csi", "csi-provisioner", "csi-snapshotter", "snapshot-controller", "kcm")


class ControlPlane(harness.Case):
    """The API server is the real one and knows who calls."""

    def test_reports_its_version(self):
        self.assertEqual(parts.KUBERNETES_VERSION, self.kube.request("GET", "/version")["gitVersion"])

    def test_a_users_rights_are_their_own(self):
        alice = self.bed.user_client("alice", ["dev"])
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview", "metadata": {}}
        who = alice.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review)
        self.assertEqual("alice", who["status"]["userInfo"]["username"])
        self.assertIn("dev", who["status"]["userInfo"]["groups"])
        self.assert_refused(lambda: alice.list("v1", "Secret", self.namespace), 403)

    def test_a_sidecar_holds_only_the_rights_of_upstreams_manifest(self):
        sidecar = self.bed.client("csi-file", "csi-provisioner")
        sidecar.list("v1", "PersistentVolume")
        self.assert_refused(lambda: sidecar.list("v1", "Secret", self.namespace), 403)

    def test_the_audit_log_counts_writes_by_user(self):
        alice = self.bed.user_client("alice")
        mark = self.bed.audit_mark()
        self.assert_refused(lambda: alice.create(objects.claim(self.namespace, "no")), 403)
        self.assert_refused(lambda: alice.get("v1", "PersistentVolumeClaim", self.namespace, "no"), 403)
        counted = self.wait_for(lambda: self.bed.audit_count(mark, "alice"), 5, "the audit entry")
        self.assertEqual({("create", "persistentvolumeclaims"): 1}, dict(counted))

    def test_kubectl_speaks_to_this_bed(self):
        shown = self.bed.kubectl("get", "namespace", self.namespace, "-o", "name").stdout.strip()
        self.assertEqual(f"namespace/{self.namespace}", shown)


class Network(harness.Case):
    """The proxy before the API server fails as it is told and passes everything else unchanged."""

    def setUp(self):
        super().setUp()
        self.proxy = self.bed.insert_proxy("nobody")
        self.addCleanup(self.bed.remove_proxy, "nobody")
        self.behind = harness.Kube(self.proxy.port, self.bed.pki / "ca.crt",
                                   token=self.kube.mint_token("csi-file", "csi-provisioner"),
                                   timeout_s=2)
        self.addCleanup(self.behind.close)

    def _list(self):
        return self.behind.list("v1", "PersistentVolume")

    def _account(self, name):
        return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
                "spec": {"capacity": {"storage": "1Mi"}, "accessModes": ["ReadWriteOnce"],
                         "csi": {"driver": "none.example", "volumeHandle": name}}}

    def test_requests_and_watches_pass(self):
        self._list()
        code, body, _ = self.behind.raw("GET", "/api/v1/nodes?watch=1&timeoutSeconds=1")
        self.assertEqual((200, b""), (code, body))

    def test_an_injected_status_is_answered_as_often_as_asked(self):
        with self.proxy.fault(path="persistentvolumes", status=429, retry_after=7, times=2) as fault:
            for _ in range(2):
                refusal = self.assert_refused(self._list, 429)
                self.assertEqual(7, refusal.status["details"]["retryAfterSeconds"])
            self._list()
        self.assertEqual(2, fault.hits)

    def test_a_lost_reply_leaves_the_write_done(self):
        name = f"lost-{self.namespace}"
        self.behind.resource("v1", "PersistentVolume")
        self.addCleanup(self.kube.delete, "v1", "PersistentVolume", None, name)
        # The client repeats what it lost on a kept-alive connection; a new one is not repeated.
        self.behind.close()
        with self.proxy.fault(method="POST", lose_reply=True) as fault:
            with self.assertRaises(harness.CONNECTION_ERRORS):
                self.behind.create(self._account(name))
        self.assertEqual(1, fault.hits)
        self.assertIsNotNone(self.kube.find("v1", "PersistentVolume", None, name))

    def test_a_dropped_request_never_arrives(self):
        name = f"dropped-{self.namespace}"
        self.behind.resource("v1", "PersistentVolume")
        self.behind.close()
        with self.proxy.fault(method="POST", drop=True):
            with self.assertRaises(harness.CONNECTION_ERRORS):
                self.behind.create(self._account(name))
        self.assertIsNone(self.kube.find("v1", "PersistentVolume", None, name))

    def test_a_stalled_network_hangs_and_flows_again(self):
        self._list()
        self.proxy.stall()
        with self.assertRaises(TimeoutError):
            self._list()
        self.proxy.flow()
        self._list()

    def test_a_refusing_network_answers_nobody_until_it_accepts(self):
        self.proxy.refuse()
        with self.assertRaises(harness.CONNECTION_ERRORS):
            self._list()
        self.proxy.accept()
        self._list()


class Storage(harness.Case):
    """Claims are provisioned, cut and restored by the real sidecars with real bytes."""

    needs = STORAGE

    def _put(self, name, data):
        with open(self.volume_file(name), "r+b") as volume:
            volume.write(data)

    def _bytes(self, name, length):
        return self.volume_file(name).read_bytes()[:length]

    def _snapshot(self, name, claim_name, **arguments):
        self.kube.create(objects.snapshot(self.namespace, name, claim_name, **arguments))
        return self.wait_for(lambda: self.ready_snapshot(name), 30, f"snapshot {name} to be ready")

    def test_a_restored_claim_holds_the_bytes_of_the_cut(self):
        self.make_claim("source", size="8Mi")
        self._put("source", b"before the cut")
        began = time.time()
        snapshot = self._snapshot("cut", "source")
        self._put("source", b"AFTER  the cut")
        content = self.snapshot_content("cut")
        # creationTime is in nanoseconds on the content (external-snapshotter client/apis).
        cut_at = content["status"]["creationTime"] / 1e9
        self.assertTrue(began - 1 <= cut_at <= time.time() + 1, f"cut at {cut_at}, began {began}")
        self.assertEqual("8Mi", snapshot["status"]["restoreSize"])
        self.make_claim("restored", size="16Mi", source=("VolumeSnapshot", "cut"))
        self.assertEqual(b"before the cut", self._bytes("restored", 14))
        self.assertEqual(b"AFTER  the cut", self._bytes("source", 14))
        self.assertEqual(16 << 20, self.volume_file("restored").stat().st_size)

    def test_a_claim_is_cloned_from_a_claim(self):
        self.make_claim("source", size="8Mi")
        self._put("source", b"cloned")
        self.make_claim("clone", size="8Mi", source=("PersistentVolumeClaim", "source"))
        self.assertEqual(b"cloned", self._bytes("clone", 6))

    def test_a_claim_that_waits_for_a_consumer_binds_when_a_node_is_chosen(self):
        self.kube.create(objects.claim(self.namespace, "late", storage_class="file-wffc"))
        time.sleep(1.0)
        self.assertEqual("Pending", self.claim("late")["status"]["phase"])
        self.kube.patch("v1", "PersistentVolumeClaim", self.namespace, "late", {"metadata": {
            "annotations": {"volume.kubernetes.io/selected-node": "any"}}})
        self.wait_for(lambda: self.bound("late"), 20, "the claim to be bound")

    def test_a_deleted_claim_takes_its_volume_along(self):
        self.make_claim("gone")
        path = self.volume_file("gone")
        self.assertTrue(path.exists())
        self.kube.delete("v1", "PersistentVolumeClaim", self.namespace, "gone")
        self.wait_for(lambda: not path.exists(), 30, "the volume's file to go")

    def test_volumes_are_made_by_the_provisioners_own_account(self):
        self.make_claim("mine")
        account = "system:serviceaccount:csi-file:csi-provisioner"
        counted = self.wait_for(lambda: self.bed.audit_count(self.audit_mark, account), 5, "audit")
        self.assertEqual(1, counted[("create", "persistentvolumes")])


class Faults(harness.Case):
    """Parts are killed and paused one by one, and come back."""

    needs = STORAGE

    def test_a_killed_sidecar_stops_the_work_and_a_started_one_takes_it_up(self):
        self.make_claim("source")
        self.bed.kill("csi-snapshotter")
        self.kube.create(objects.snapshot(self.namespace, "cut", "source"))
        self.wait_for(lambda: self.snapshot_content("cut"), 20, "the content")
        time.sleep(1.0)
        self.assertIsNone(self.ready_snapshot("cut"))
        self.bed.start("csi-snapshotter")
        self.wait_for(lambda: self.ready_snapshot("cut"), 30, "the snapshot to be ready")

    def test_a_paused_driver_answers_nothing_until_it_is_resumed(self):
        self.bed.pause("csi")
        self.kube.create(objects.claim(self.namespace, "stuck"))
        time.sleep(1.0)
        self.assertEqual("Pending", self.claim("stuck")["status"]["phase"])
        self.bed.resume("csi")
        self.wait_for(lambda: self.bound("stuck"), 60, "the claim to be bound")

    def test_the_api_server_and_etcd_survive_a_kill_with_what_they_stored(self):
        self.make_claim("kept")
        for part in ("apiserver", "etcd", "apiserver"):
            self.bed.kill(part)
            self.bed.start(part)
        self.bed.wait_ready("apiserver")
        self.wait_for(lambda: self.bound("kept"), 30, "the claim to be there")
        self.wait_for(lambda: self.kube.create(objects.claim(self.namespace, "next")), 30, "a write")
        self.wait_for(lambda: self.bound("next"), 60, "the parts to work on")


class Beds(unittest.TestCase):
    """Several beds, other users, and what happens to a bed when its owner dies."""

    def setUp(self):
        self.scratch = Path(tempfile.mkdtemp(prefix="wukong-bed-"))
        self.addCleanup(shutil.rmtree, self.scratch, ignore_errors=True)

    def test_two_beds_stand_side_by_side_and_share_nothing(self):
        first, second = (Bed(self.scratch / name) for name in ("a", "b"))
        for bed in (first, second):
            self.addCleanup(bed.down)
            bed.up(["apiserver"])
        first.admin().create(objects.namespace("only-here"))
        self.assertIsNone(second.admin().find("v1", "Namespace", None, "only-here"))
        used = [set(bed.config["ports"].values()) for bed in (first, second)]
        self.assertFalse(used[0] & used[1])
        with self.assertRaises(Exception):
            # Each has authorities of its own: one's certificate opens nothing at the other.
            mixed = harness.Bed(first.folder).admin()
            mixed.port = second.port("apiserver")
            mixed.get("v1", "Namespace", None, "default")
        first.down()
        self.assertFalse(first.folder.exists())
        self.assertEqual("default", second.admin().get("v1", "Namespace", None, "default")["metadata"]["name"])

    def test_down_works_on_a_bed_that_is_half_up_or_gone(self):
        bed = Bed(self.scratch / "half")
        bed.up(["etcd", "apiserver"])
        pid = bed.process("etcd").pid()
        (bed.folder / "bed.json").unlink()
        Bed(bed.folder).down()
        self.assertIsNone(process.start_time(pid))
        self.assertFalse(bed.folder.exists())
        Bed(bed.folder).down()

    def test_a_pid_that_now_belongs_to_a_stranger_is_never_signalled(self):
        stranger = subprocess.Popen(["sleep", "60"])
        self.addCleanup(stranger.wait)
        self.addCleanup(stranger.kill)
        began = process.start_time(stranger.pid)
        run = self.scratch / "x" / "run"
        run.mkdir(parents=True)
        (run / "etcd.json").write_text(json.dumps({"pid": stranger.pid, "start": began - 1, "argv": []}))
        item = process.Process("etcd", run, self.scratch)
        self.assertEqual("dead", item.state())
        item.kill()
        Bed(self.scratch / "x").down()
        self.assertEqual(began, process.start_time(stranger.pid))

    def owned(self, folder):
        """(owner, pid of its etcd, pid of its guard) of a bed that a process of its own has brought up."""
        code = ("import sys, time; sys.path.insert(0, sys.argv[1])\n"
                "from bedlib.bed import Bed\nimport os\n"
                "Bed(sys.argv[2]).up(['etcd', 'apiserver'], owner=os.getpid())\n"
                "print('up', flush=True); time.sleep(120)\n")
        owner = subprocess.Popen([sys.executable, "-B", "-c", code, str(parts.CLUSTER), str(folder)],
                                 stdout=subprocess.PIPE, text=True)
        self.assertEqual("up\n", owner.stdout.readline())
        self.addCleanup(owner.stdout.close)
        return owner, Bed(folder).process("etcd").pid(), Bed(folder).config["guard"]

    def test_a_bed_is_taken_down_when_its_owner_is_killed(self):
        """By its guard: also what was started and is not noted yet."""
        folder = (self.scratch / "guarded").resolve()
        owner, pid, _ = self.owned(folder)
        unnoted = subprocess.Popen(["sleep", "300"], cwd=folder)
        owner.kill()
        owner.wait()
        harness.wait_for(lambda: not folder.exists(), 30, "the bed to be gone")
        self.assertIsNone(process.start_time(pid))
        self.assertEqual(-signal.SIGKILL, unnoted.wait(30))

    def test_a_bed_whose_owner_was_killed_is_taken_down_by_the_next_run(self):
        """When its guard was killed, too."""
        folder = (self.scratch / "orphan").resolve()
        owner, pid, guard = self.owned(folder)
        self.assertNotIn(folder, reap_orphans())
        os.kill(guard, signal.SIGKILL)
        owner.kill()
        owner.wait()
        self.assertIn(folder, reap_orphans())
        self.assertIsNone(process.start_time(pid))

    def test_runs_without_root(self):
        if os.geteuid() != 0:
            self.skipTest("this whole run is without root already")
        python, setpriv = "/usr/bin/python3", shutil.which("setpriv")
        if not setpriv or not os.access(python, os.X_OK):
            self.skipTest("setpriv and /usr/bin/python3 are needed to become another user")
        # The other user must be able to read the tree and the cache wherever these lie.
        tree, cache, state = (self.scratch / n for n in ("tree", "cache", "state"))
        shutil.copytree(parts.CLUSTER, tree / "tests" / "cluster",
                        ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        for item in parts.PARTS:
            if item.exists() and item.is_built():
                shutil.copytree(item.output(), cache / item.output().name, copy_function=_link)
        state.mkdir()
        for path in [self.scratch, state]:
            path.chmod(0o755)
        os.chown(state, 65534, 65534)
        environment = {"WUKONG_CACHE": str(cache), "PATH": "/usr/bin:/bin", "HOME": str(state),
                       "TMPDIR": str(state)}
        command = [setpriv, "--reuid=65534", "--regid=65534", "--clear-groups", python, "-B",
                   str(tree / "tests" / "cluster" / "bed"), "--state", str(state / "beds")]
        run = lambda *more: subprocess.run([*command, *more], env=environment, cwd="/",  # noqa: E731
                                           capture_output=True, text=True)
        self.addCleanup(run, "down")
        wanted = "csi-provisioner,kcm" if parts.part("csi-file").is_built() else "kcm"
        done = run("up", "--no-build", "--parts", wanted)
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        done = run("kubectl", "get", "namespace", "kube-system", "-o", "name")
        self.assertEqual("namespace/kube-system\n", done.stdout, done.stderr)
        bed = Bed(state / "beds" / "default")
        for name in bed.parts():
            owner = Path(f"/proc/{bed.process(name).pid()}").stat().st_uid
            self.assertEqual(65534, owner, name)
        self.assertEqual(0, run("down").returncode)


def _link(source, target):
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


if __name__ == "__main__":
    harness.main()
