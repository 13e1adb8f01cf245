"""Machines of QEMU with a Debian guest, and what is asked inside them.

`GuestCase` has one source, "shop", that runs PostgreSQL and pgbench through all tests of a class. The
image is the part "guest" of the bed (image/build); the stand-in starts the machines.
"""

import base64
import contextlib
import functools
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import unittest
from pathlib import Path

CLUSTER = Path(__file__).resolve().parents[1] / "cluster"
sys.path.insert(0, str(CLUSTER))

from bedlib import harness, objects, parts, vms  # noqa: E402

QEMU = "qemu-system-x86_64"
# A guest without KVM on a machine that does much else takes minutes to boot.
BOOT_S = 900
INSIDE_S = 300
TABLES = ("accounts", "branches", "tellers")


def image():
    """The folder of the guest's image; skips with words where it cannot be had."""
    for program in (QEMU, "mmdebstrap"):
        if not shutil.which(program):
            _absent(f"{program} is not installed")
    part = parts.part("guest")
    if not part.is_built() and parts.build(["guest"], say=lambda line: print(f"# {line}", flush=True)):
        _absent("the guest's image could not be built")
    return part.output()


def _absent(why):
    if os.environ.get("WUKONG_GUEST_STRICT"):
        raise RuntimeError(why)
    raise unittest.SkipTest(why)


def unless_it_is_slow(test):
    """Left out by CI on a machine without KVM, where it would take minutes."""
    def run(self):
        skip_where_slow()
        return test(self)
    run.__doc__ = test.__doc__
    return run


def skip_where_slow():
    if os.environ.get("CI") and accelerator(image())[0] != "kvm":
        raise unittest.SkipTest("CI without KVM")


@functools.lru_cache
def accelerator(folder):
    """(accel, cpu) for QEMU. /dev/kvm may be there and yet run no guest: a kernel is booted to see."""
    if os.access("/dev/kvm", os.R_OK | os.W_OK):
        try:
            done = subprocess.run(
                [QEMU, "-machine", "pc", "-accel", "kvm", "-cpu", "host", "-m", "256", "-nodefaults",
                 "-display", "none", "-serial", "stdio", "-no-reboot", "-kernel", folder / "vmlinuz",
                 "-initrd", folder / "initrd", "-append", "console=ttyS0 quiet wukong.probe"],
                stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
            if b"wukong-guest: probe done" in done.stdout:
                return "kvm", "host"
        except subprocess.TimeoutExpired:
            pass
    return "tcg,tb-size=128", "max"


# How a guest tells who it is.
IDENTITY = """
echo "hostname=$(cat /proc/sys/kernel/hostname)"
echo "machine-id=$(cat /etc/machine-id)"
echo "ssh-host-key=$(sha256sum </etc/ssh/ssh_host_ed25519_key.pub)"
echo "mac=$(cat /sys/class/net/eth0/address)"
echo "product-uuid=$(cat /sys/class/dmi/id/product_uuid)"
echo "product-serial=$(cat /sys/class/dmi/id/product_serial)"
echo "file-systems=$(blkid -c /dev/null -s UUID -o value /dev/vda) $(blkid -c /dev/null -s UUID -o value /dev/vdb)"
echo "disk-serial=$(cat /sys/block/vdb/serial)"
echo "database=$(runuser -u postgres -- /usr/local/pg/pg_controldata -D /srv/pg/data | sed -n 's/^Database system identifier: *//p')"
"""


class Inside:
    """The inside of one machine: commands through the second agent, and what its console has said."""

    def __init__(self, bed, namespace, name, uid):
        self.folder = bed.data / "kubevirt" / "m" / uid[:8]
        self.name, self.uid, self.namespace = name, uid, namespace
        self._sync = 0

    def _ask(self, requests, timeout_s):
        """Sends requests one after the other over one connection; returns their answers."""
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(timeout_s)
            line.connect(str(self.folder / "test"))
            answers = line.makefile("rb")
            self._sync += 1
            mark = int(time.time()) * 1000 + self._sync % 1000
            line.sendall(b"\xff" + json.dumps({"execute": "guest-sync-delimited",
                                               "arguments": {"id": mark}}).encode() + b"\n")
            while True:  # what an earlier caller did not read is skipped
                got = answers.readline()
                if not got:
                    raise ConnectionError(f"{self.name}: the agent's port was closed")
                if str(mark).encode() in got:
                    break
            for request in requests:
                line.sendall(json.dumps(request).encode() + b"\n")
                got = json.loads(answers.readline().lstrip(b"\xff"))
                if "error" in got:
                    raise AssertionError(f"{self.name}: {request['execute']}: {got['error']['desc']}")
                yield got["return"]

    def run(self, script, timeout_s=INSIDE_S, check=True):
        """Runs a shell script as root; returns what it printed. It fails with its words."""
        end = time.monotonic() + timeout_s * harness.PATIENCE
        pid, = (a["pid"] for a in self._ask([{"execute": "guest-exec", "arguments": {
            "path": "/bin/sh", "arg": ["-ec", script], "capture-output": True}}], 60 * harness.PATIENCE))
        while True:
            state, = self._ask([{"execute": "guest-exec-status", "arguments": {"pid": pid}}],
                               60 * harness.PATIENCE)
            if state["exited"]:
                break
            if time.monotonic() > end:
                raise AssertionError(f"{self.name}: after {timeout_s} s still runs: {script}")
            time.sleep(0.3)
        out = base64.b64decode(state.get("out-data", "")).decode(errors="replace")
        err = base64.b64decode(state.get("err-data", "")).decode(errors="replace")
        if check and state.get("exitcode") != 0:
            raise AssertionError(f"{self.name}: exit {state.get('exitcode')} of: {script}\n{out}\n{err}")
        return out.strip()

    def sql(self, statement, database="bench"):
        return self.run(f"runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1 -c \"{statement}\" {database}")

    def answers(self):
        try:
            return self.run("echo yes", 20) == "yes"
        except (OSError, AssertionError, json.JSONDecodeError):
            return False

    def database_ready(self):
        return self.run("/usr/local/pg/pg_isready -q -h /run/postgresql -U postgres && echo yes", check=False) == "yes"

    def database_failed(self):
        """Its last words, when it has given up."""
        return self.run("systemctl -q is-failed postgres && tail -n 5 /run/postgres.log || true")

    # ---- the console ----------------------------------------------------------------------------

    def console(self):
        """[(host's clock, line)]"""
        found = []
        for line in (self.folder / "console").read_text(errors="replace").splitlines():
            at, _, text = line.partition(" ")
            try:
                found.append((float(at), text))
            except ValueError:
                continue
        return found

    def progress(self, since=0.0):
        """What pgbench has told each second: [(host's clock, transactions/s, failed)]"""
        found = []
        for at, text in self.console():
            told = re.search(r"progress: [\d.]+ s, ([\d.]+) tps, .*?(\d+) failed", text)
            if told and at >= since:
                found.append((at, float(told[1]), int(told[2])))
        return found

    def stalls_ms(self, since, until):
        """The longest that a write to each disk has taken in this time."""
        longest = [0, 0]
        for at, text in self.console():
            told = re.search(r"beat [\d.]+ up=[\d.]+ stall=(\d+),(\d+)", text)
            if told and since <= at <= until:
                longest = [max(a, int(b)) for a, b in zip(longest, told.groups())]
        return longest

    def transactions(self):
        """pgbench's own log: [(when it ended by the guest's clock, how long it took in s)]"""
        rows = self.run("cat /run/load/tx.* | awk '$3 != \"skipped\" { print $5 + $6 / 1e6, $3 / 1e6 }' OFMT=%.6f")
        return [tuple(map(float, row.split())) for row in rows.splitlines()]

    def freezes(self):
        """What the freeze hook has noted: [(the guest's clock, "freeze" or "thaw")]"""
        rows = self.run("cat /run/freeze.log 2>/dev/null || true").splitlines()
        return [(float(row.split()[0]), row.split()[2]) for row in rows]

    # ---- the database ---------------------------------------------------------------------------

    def history(self, until):
        """(number, hash) of the transactions that began before this time of the source's clock."""
        return self.sql("select count(*), md5(string_agg(h::text, ' ' order by mtime, aid, delta)) "
                        f"from pgbench_history h where mtime <= to_timestamp({until:.3f})").split("|")

    def identity(self):
        """What tells this machine from others: {what: value}"""
        return dict(line.split("=", 1) for line in self.run(IDENTITY).splitlines())

    def judge_database(self, case):
        """All that the database itself can say of its state. It is left stopped."""
        sums = self.sql("select (select sum(abalance) from pgbench_accounts) || ' ' || "
                        "(select sum(tbalance) from pgbench_tellers) || ' ' || "
                        "(select sum(bbalance) from pgbench_branches) || ' ' || "
                        "(select coalesce(sum(delta), 0) from pgbench_history)").split()
        case.assertEqual(1, len(set(sums)), f"accounts, tellers, branches, history: {sums}")
        self.run("runuser -u postgres -- /usr/local/pg/pg_amcheck -h /run/postgresql --heapallindexed bench")
        self.run("systemctl stop postgres && runuser -u postgres -- "
                 "/usr/local/pg/pg_checksums --check -D /srv/pg/data")

    def replayed_journals(self):
        """The disks whose journal the kernel has replayed."""
        log = self.run("dmesg | grep -E 'EXT4-fs|XFS' || true")
        return sorted(set(re.findall(r"EXT4-fs \((\w+)\): (?:INFO: )?recovery (?:required|complete)", log)))


class GuestCase(vms.CloneCase):
    """Cases with a Debian guest. They share one source; each test removes the clones that it made."""

    _bed = None
    # What load.service runs pgbench with.
    load = ""
    # Empty disks of the source beside its two, {disk: size}, and what root does with them at first.
    more_disks = {}
    prepare = ""

    @classmethod
    def make_bed(cls):
        if GuestCase._bed is None:
            folder = image()
            accel, cpu = accelerator(folder)
            print(f"# guests run on {accel}", flush=True)
            start = {"program": shutil.which(QEMU), "folder": str(folder), "accel": accel, "cpu": cpu}
            GuestCase._bed = harness.new_bed(args={"kubevirt": ["--qemu", json.dumps(start)]})
        return GuestCase._bed

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.home = f"guest-{cls.__name__.lower()}"
        cls.kube.create(objects.namespace(cls.home))
        cls.shop = cls._make_shop()

    @classmethod
    def _make_shop(cls):
        """The source: two disks and more, a serial on the second, pgbench without end."""
        folder = parts.part("guest").output()
        sizes = {"root": "768Mi", "data": "256Mi", **cls.more_disks}
        claims = {disk: f"shop-{disk}" for disk in sizes}
        for disk, size in sizes.items():
            cls.kube.create(objects.claim(cls.home, claims[disk], size=size))
        probe = cls("setUp")
        shop = vms.Source(probe, "shop", claims, True, cls.home)
        for disk, claim in claims.items():
            probe.wait_for(lambda c=claim: probe.bound(c, cls.home), 120, f"claim {claim} to be bound")
            if disk not in cls.more_disks:
                subprocess.run(["cp", "--sparse=always", folder / f"{disk}.img", shop.file(disk)], check=True)
        spec = vms.machine_spec(claims, "02:00:00:00:00:01", memory="256Mi", cloud_init=False)
        spec.update({"hostname": "shop", "terminationGracePeriodSeconds": 0})
        spec["domain"]["devices"]["disks"][1]["serial"] = "PGDATA1"
        cls.kube.create(vms.vm(cls.home, "shop", spec))
        shop.wait(timeout_s=BOOT_S, written=0)
        shop.inside = Inside(cls.bed, cls.home, "shop", shop.uid)
        probe.wait_for(shop.inside.answers, BOOT_S, "the source's second agent")
        probe.wait_for(shop.inside.database_ready, BOOT_S, "the source's database")
        if cls.prepare:
            shop.inside.run(cls.prepare)
        shop.inside.run(f"echo '{cls.load}' >/run/load.env; systemctl start load")
        probe.wait_for(lambda: len(shop.inside.progress()) >= 5, BOOT_S, "pgbench to have begun")
        return shop

    def setUp(self):
        super().setUp()
        self.namespace = self.home

    @classmethod
    def tearDownClass(cls):
        cls.kube.delete("v1", "Namespace", None, cls.home)

    # ---- clones ---------------------------------------------------------------------------------

    @contextlib.contextmanager
    def slow_cut(self, disk, ms):
        """This disk is cut so long after the others, and the database writes its pages all the time."""
        handle, inside = self.shop.handle(disk), self.shop.inside
        vms.set_disk_fault(self.bed, handle, snapshot_delay_ms=ms)
        inside.run("systemd-run -q --unit=checkpoints --uid=postgres sh -c "
                   "'while sleep 0.3; do psql -h /run/postgresql -qc checkpoint bench; done'")
        try:
            yield
        finally:
            vms.set_disk_fault(self.bed, handle)
            inside.run("systemctl stop checkpoints")

    def assert_nothing_lost(self, clone):
        """What was committed before the last freeze is in the clone, to the row."""
        froze, thawed = self.shop.inside.freezes()[-2:]
        self.assertEqual(("freeze", "thaw"), (froze[1], thawed[1]))
        # No transaction takes as long as five seconds: these had been committed.
        count, _ = theirs = self.shop.inside.history(froze[0] - 5)
        self.assertEqual(theirs, clone.history(froze[0] - 5))
        self.assertGreater(int(count), 0)
        return froze[0], thawed[0]

    def cloned(self, name, timeout_s=BOOT_S, **more):
        """Makes a clone of the shop, waits for its end, and returns its status."""
        source = {"quiesce": "Required", **more.pop("clone_source", {})}
        self.clone(name, self.shop, namespace=self.home, clone_source=source, **more)
        return vms.clone_status(self.wait_ended(name, timeout_s=timeout_s, namespace=self.home))

    def inside(self, vm):
        """The inside of a clone's machine with its database ready."""
        found = self.booted(vm)
        self.wait_for(lambda: found.database_ready() or found.database_failed(), BOOT_S, f"{vm}'s database")
        self.assertEqual("", found.database_failed(), f"{vm}'s database does not start")
        return found

    def booted(self, vm):
        """The inside of a clone's machine, whose agent is connected. It goes with the test."""
        self.addCleanup(self._remove, vm)
        clone = vms.Source(self, vm, {}, True, self.home)
        clone.wait(timeout_s=BOOT_S, written=0)
        found = Inside(self.bed, self.home, vm, clone.uid)
        self.wait_for(found.answers, BOOT_S, f"{vm}'s second agent")
        return found

    def _remove(self, vm):
        """The machine goes, and its disks with it."""
        self.kube.delete(vms.KUBEVIRT_API, "VirtualMachine", self.home, vm)
        self.wait_for(lambda: not self.kube.find(vms.KUBEVIRT_API, "VirtualMachineInstance", self.home, vm),
                      120, f"{vm} to be off")

    def assert_source_unharmed(self, since):
        """No transaction has failed, pgbench goes on, and the VMI is the one that it was."""
        shop = self.shop
        self.assertEqual(shop.uid, shop.vmi()["metadata"]["uid"])
        now = time.time()
        self.wait_for(lambda: [p for p in shop.inside.progress(now) if p[1] > 0], 120, "pgbench to go on")
        told = shop.inside.progress(since)
        self.assertTrue(told)
        self.assertEqual(0, sum(failed for _, _, failed in told), "transactions failed")
