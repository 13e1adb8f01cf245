"""What the cases in tests/cluster/cases use: a bed that is up, and helpers that explain failures.

A case file is

    import sys; from pathlib import Path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from bedlib import harness, objects

    class Something(harness.Case):
        needs = ("csi-provisioner",)
        def test_it(self):
            self.kube.create(objects.claim(self.namespace, "data"))
            self.wait_for(lambda: self.bound("data"), 10, "the claim to be bound")

    if __name__ == "__main__":
        harness.main()

All cases of one process share one bed; each test gets a namespace of its own. WUKONG_BED=FOLDER runs
them on a bed that is up already (and leaves it up), which saves its start while one writes a case.
"""

import atexit
import json
import os
import re
import signal
import subprocess
import sys
import time
import unittest
import urllib.request
from collections import Counter
from pathlib import Path

from . import objects, parts, services
from .bed import Bed as _Bed
from .bed import BedError, default_state, reap_orphans, which
from .kube import CONNECTION_ERRORS, ApiError, Kube  # noqa: F401 (cases use Kube)
from .proxy import Proxy

WRITES = {"create", "update", "patch", "delete", "deletecollection"}
# What is waited for is looked at often at first, then less so: the API server's time is what the
# cases, a few beds side by side, compete for.
POLL_S, POLL_MAX_S, POLL_GROWTH = 0.03, 0.15, 1.15
# What a wait may take is meant for a machine with two processors to itself.
PATIENCE = float(os.environ.get("WUKONG_BED_PATIENCE") or 1)
# What slowness() does takes that long on two quiet processors.
QUIET_S = 0.03


def program(name):
    """A program of ours: in the build folder that WUKONG_WEBHOOK names, or in that of a preset."""
    named = os.environ.get("WUKONG_WEBHOOK")
    found = Path(named).with_name(name) if named else services.product_binary({}, name)
    if found is None or not found.is_file():
        if os.environ.get("WUKONG_BED_STRICT"):
            raise RuntimeError(f"{name} is not built")
        raise unittest.SkipTest(f"{name} is not built")
    return found


class Bed(_Bed):
    """A bed with what tests ask of it."""

    def kubectl(self, *arguments, stdin=None, kubeconfig=None, check=True):
        """Runs kubectl, as admin unless a kubeconfig is given. Returns the CompletedProcess."""
        command = [str(which("kubectl", "kubectl")), "--kubeconfig",
                   str(kubeconfig or self.kubeconfigs / "admin.kubeconfig"), *map(str, arguments)]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120,
                              env={"HOME": str(self.data), "PATH": os.environ.get("PATH", "")})
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(arguments)}: exit {done.returncode}\n{done.stderr}")
        return done

    # ---- a network that fails -------------------------------------------------------------------

    def insert_proxy(self, component):
        """Restarts webhook or worker behind a proxy (see proxy.py) and returns it."""
        self._proxies = getattr(self, "_proxies", {})
        if component not in self._proxies:
            port = self.port(f"{component}-proxy")
            self._proxies[component] = Proxy(self, port)
            self.config.setdefault("proxied", {})[component] = port
            self.save()
            if component in self.parts():
                self.restart(component)
        return self._proxies[component]

    def remove_proxy(self, component):
        proxy = getattr(self, "_proxies", {}).pop(component, None)
        if proxy:
            del self.config["proxied"][component]
            self.save()
            if component in self.parts():
                self.restart(component)
            proxy.close()

    def down(self, keep=False):
        for component in list(getattr(self, "_proxies", {})):
            self._proxies.pop(component).close()
        super().down(keep)

    # ---- what the API server saw ----------------------------------------------------------------

    def audit_mark(self):
        """A position in the audit log: requests after it are those of the test."""
        return self.audit_log.stat().st_size if self.audit_log.exists() else 0

    def audit_entries(self, mark=0):
        """The audit events since `mark`, one dict per finished request."""
        with open(self.audit_log, "rb") as log:
            log.seek(mark)
            data = log.read()
        for line in data[:data.rfind(b"\n") + 1].splitlines():
            entry = json.loads(line)
            if entry["stage"] in ("ResponseComplete", "Panic"):
                yield entry

    def audit_count(self, mark=0, user=None, writes_only=True):
        """Counter of (verb, resource[/subresource]) since `mark`, of one user or of all.

        Leases are left out: their renewal goes by the clock, not by what a test does."""
        counted = Counter()
        for entry in self.audit_entries(mark):
            reference = entry.get("objectRef") or {}
            resource = reference.get("resource", entry["requestURI"])
            if writes_only and entry["verb"] not in WRITES or resource == "leases":
                continue
            if user and entry["user"]["username"] != user:
                continue
            if reference.get("subresource"):
                resource += "/" + reference["subresource"]
            counted[(entry["verb"], resource)] += 1
        return counted

    def metrics(self, part):
        """What webhook or worker serves at /metrics."""
        url = f"http://127.0.0.1:{self.port(part + '-health')}/metrics"
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5) as answer:
            return answer.read().decode()

    def throttled(self, part):
        """How many requests the API server has refused to webhook or worker with 429, by its own count."""
        counts = re.findall(r'^rest_client_requests_total\{[^}]*code="(\w+|<error>)"[^}]*\} (\S+)$',
                            self.metrics(part), re.MULTILINE)
        assert counts, f"{part} has counted no request"
        return sum(float(n) for code, n in counts if code == "429")

    def account(self, component):
        """The user name under which webhook or worker acts."""
        namespace, name = self.config["accounts"][component]
        return f"system:serviceaccount:{namespace}:{name}"

    # ---- explaining -----------------------------------------------------------------------------

    def events(self, namespace, name=None):
        """The Events of a namespace (about the object `name`) in order of their last occurrence."""
        selector = f"involvedObject.name={name}" if name else None
        found = self.admin().list("v1", "Event", namespace, field_selector=selector)
        return sorted(found, key=lambda e: e.get("lastTimestamp") or e.get("eventTime")
                      or e["metadata"]["creationTimestamp"])

    def diagnosis(self, namespace=None, lines=8):
        """States of the parts, Events of the namespace and what the logs say last."""
        text = ["parts: " + ", ".join(f"{n} {s}" for n, s, _, _ in self.status())]
        if namespace:
            try:
                for event in self.events(namespace)[-15:]:
                    about = event["involvedObject"]
                    text.append(f"event: {about.get('kind')}/{about.get('name')} {event.get('reason')}: "
                                f"{event.get('message')}")
            except (ApiError, *CONNECTION_ERRORS) as failure:
                text.append(f"events could not be read: {failure}")
        for name in self.parts():
            if name in ("etcd", "apiserver", "kcm"):
                continue
            tail = self.process(name).log_tail(lines)
            text += [f"---- {name}, end of {self.process(name).log}", *(line[:400] for line in tail)]
        for report in sorted(self.logs.glob("sanitizer.*")):
            text += [f"---- {report}", report.read_text(errors="replace")[:8000]]
        return "\n".join(text)


def slowness():
    """How many times as long as on a quiet machine a small piece of work takes now, 1 to 6: a process is started,
    and the interpreter counts a little."""
    began = time.monotonic()
    for _ in range(3):
        subprocess.run(["true"], check=False)
        sum(range(200_000))
    return min(6.0, max(1.0, (time.monotonic() - began) / QUIET_S))


def wait_for(function, timeout_s, what, explain=None):
    """Calls `function` until it returns something true, and returns that. When the time is up, it is measured
    how slow the machine is; on a busy one the wait is longer, six times as long at most.

    An ApiError, a lost connection or a failed assertion counts as "not yet" and is reported when the
    time is up, together with the last value and with what `explain()` returns."""
    began = time.monotonic()
    end, longest = began + timeout_s * PATIENCE, began + 6 * timeout_s * PATIENCE
    last, pause = None, POLL_S
    while True:
        try:
            last = function()
            if last:
                return last
        except (ApiError, AssertionError, KeyError, FileNotFoundError, *CONNECTION_ERRORS) as failure:
            last = f"{type(failure).__name__}: {failure}"
        if time.monotonic() > end:
            allowed = min(1.0, slowness() - 1) * timeout_s if longest > end else 0
            if allowed > 0.2 * timeout_s:
                end = min(longest, time.monotonic() + allowed)
                continue
            message = f"waited {time.monotonic() - began:.0f} s for {what}; last: {_short(last)}"
            if explain:
                message += "\n" + explain()
            raise AssertionError(message)
        time.sleep(pause)
        pause = min(pause * POLL_GROWTH, POLL_MAX_S)


def _short(value):
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 1500 else text[:1500] + "…"


# ---- the beds of this process -------------------------------------------------------------------

_shared = None
_mine = []
_quick_storage = False
SIDECARS = ("snapshot-controller", "csi-snapshotter", "csi-provisioner")
QUICK = ["--kube-api-qps=100", "--kube-api-burst=200"]


def quick_storage():
    """For cases in which many clones that have nothing to do with one another run side by side: beds
    of this process get sidecars that do not share out their default of 5 requests a second among them.
    Cases about one clone keep that default, and with it the time from a content's cut to its
    VolumeSnapshot's."""
    global _quick_storage
    _quick_storage = True


def state_folder():
    return Path(os.environ.get("WUKONG_BED_STATE") or default_state() / "tests")


NAMED = {"WUKONG_WEBHOOK": "webhook", "WUKONG_WORKER": "worker",
         "WUKONG_VIRT_CONTROLLER": "virt_controller", "WUKONG_VIRT_API": "virt_api",
         "WUKONG_KUBEVIRT_CRDS": "kubevirt_crds", "WUKONG_CDI_APISERVER": "cdi_apiserver",
         "WUKONG_CDI_CONTROLLER": "cdi_controller", "WUKONG_CDI_OBJECTS": "cdi_objects"}


def named_options():
    """The options of a bed that the environment names."""
    return {option: os.environ[name] for name, option in NAMED.items() if os.environ.get(name)}


def new_bed(name=None, wanted=None, **options):
    """A bed of this process: it goes down with it at the latest. WUKONG_BED_ASAN=1 runs the
    sanitized binaries; WUKONG_WEBHOOK and WUKONG_WORKER name others."""
    state = state_folder()
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    reap_orphans()
    if wanted is None and os.environ.get("WUKONG_BED_PARTS"):
        wanted = os.environ["WUKONG_BED_PARTS"].split(",")
    options = {**named_options(), **options}
    if _quick_storage:
        options.setdefault("args", dict.fromkeys(SIDECARS, QUICK))
    if os.environ.get("WUKONG_BED_ASAN"):
        options.setdefault("asan", True)
    chosen = services.select(wanted, options)
    if parts.build(services.built_from(chosen), say=_progress):
        raise BedError("parts of the bed could not be built")
    bed = Bed(state / (name or f"p{os.getpid()}-{len(_mine)}"))
    _mine.append(bed)
    bed.up(chosen, options, owner=os.getpid(), say=_progress)
    return bed


def _progress(line):
    if line.endswith(" cached"):
        return
    if os.environ.get("WUKONG_BED_VERBOSE") or not line.startswith(" "):
        print(f"# {line}", file=sys.stderr, flush=True)


def shared_bed():
    """The bed that all cases of this process share."""
    global _shared
    if isinstance(_shared, Exception):
        raise _shared
    if _shared is None:
        attached = os.environ.get("WUKONG_BED")
        if attached:
            _shared = Bed(attached)
            if not _shared.exists():
                raise BedError(f"WUKONG_BED: there is no bed in {attached}")
        else:
            try:
                _shared = new_bed()
            except Exception as failure:
                # Every class of the run would try again, and fail as slowly.
                _shared = failure
                raise
    return _shared


def _close_all():
    keep = bool(os.environ.get("WUKONG_BED_KEEP_LOGS"))
    while _mine:
        _mine.pop().down(keep=keep)


atexit.register(_close_all)


# ---- cases --------------------------------------------------------------------------------------


class Case(unittest.TestCase):
    """A case on the shared bed. `needs` names parts without which it is skipped; with
    WUKONG_BED_STRICT=1 (as in CI) a missing part fails it. "kubevirt" is the stand-in or the real
    one, "kubevirt-standin" only the stand-in (for cases that inject faults through it)."""

    needs = ()
    maxDiff = None
    _count = 0

    @classmethod
    def make_bed(cls):
        """The bed that the class runs on; one with an install of its own makes another."""
        return shared_bed()

    @classmethod
    def setUpClass(cls):
        cls.bed = cls.make_bed()
        cls.kube = cls.bed.admin()

    def setUp(self):
        for part in self.needs:
            if not self._has(part):
                if os.environ.get("WUKONG_BED_STRICT"):
                    self.fail(f"the bed has no {part}")
                self.skipTest(f"the bed has no {part}")
        for name, state, _, _ in self.bed.status():
            # A test that broke a part mends it; when it failed before it could, the next one does.
            if state == "paused":
                self.bed.resume(name)
            elif state == "dead":
                self.bed.start(name)
        Case._count += 1
        self.namespace = self.make_namespace(f"t{Case._count}-{os.getpid() % 10000}")
        self.audit_mark = self.bed.audit_mark()

    def _has(self, part):
        chosen = self.bed.parts()
        if part == "kubevirt":
            return "kubevirt" in chosen or "virt-controller" in chosen
        return part in chosen if part != "kubevirt-standin" else "kubevirt" in chosen

    def make_namespace(self, name, labels=None):
        """A namespace that is deleted when the test ends, without waiting for it."""
        self.kube.create(objects.namespace(name, labels))
        self.addCleanup(self._drop_namespace, name)
        return name

    def _drop_namespace(self, name):
        if not os.environ.get("WUKONG_BED"):
            try:
                self.kube.delete("v1", "Namespace", None, name)
            except (ApiError, *CONNECTION_ERRORS):
                pass

    def run(self, result=None):
        self._result = result
        return super().run(result)

    def wait_for(self, function, timeout_s, what):
        return wait_for(function, timeout_s, what, lambda: self.bed.diagnosis(self.namespace))

    def cleanup_object(self, obj):
        """Creates a cluster-scoped object that is deleted when the test ends."""
        made = self.kube.create(obj)
        self.addCleanup(self.kube.delete, obj["apiVersion"], obj["kind"],
                        obj["metadata"].get("namespace"), obj["metadata"]["name"])
        return made

    def assert_refused(self, function, code=None, text=None):
        """`function` must raise ApiError; returns it."""
        try:
            function()
        except ApiError as refusal:
            if code is not None:
                self.assertEqual(code, refusal.code, refusal)
            if text is not None:
                self.assertIn(text, refusal.message)
            return refusal
        return self.fail("the API server accepted what it must refuse")

    # ---- storage, which most cases touch --------------------------------------------------------

    def claim(self, name, namespace=None):
        return self.kube.get("v1", "PersistentVolumeClaim", namespace or self.namespace, name)

    def bound(self, name, namespace=None):
        """The claim when it is Bound, else None."""
        claim = self.claim(name, namespace)
        return claim if claim.get("status", {}).get("phase") == "Bound" else None

    def make_claim(self, name, timeout_s=30, **arguments):
        """Creates a claim and waits until it is bound."""
        self.kube.create(objects.claim(self.namespace, name, **arguments))
        return self.wait_for(lambda: self.bound(name), timeout_s, f"claim {name} to be bound")

    def volume_file(self, name, namespace=None):
        """The file that holds a bound claim's bytes (the layout is in tests/cluster/csi/README.md)."""
        claim = self.claim(name, namespace)
        volume = self.kube.get("v1", "PersistentVolume", None, claim["spec"]["volumeName"])
        return volume_file(self.bed, volume["spec"]["csi"]["volumeHandle"])

    def snapshot_content(self, name, namespace=None):
        """The VolumeSnapshotContent that a VolumeSnapshot names, else None."""
        snapshot = self.kube.get(objects.SNAPSHOT_API, "VolumeSnapshot", namespace or self.namespace, name)
        bound = (snapshot.get("status") or {}).get("boundVolumeSnapshotContentName")
        return bound and self.kube.find(objects.SNAPSHOT_API, "VolumeSnapshotContent", None, bound)

    def ready_snapshot(self, name, namespace=None):
        snapshot = self.kube.get(objects.SNAPSHOT_API, "VolumeSnapshot", namespace or self.namespace, name)
        return snapshot if (snapshot.get("status") or {}).get("readyToUse") else None


def volume_file(bed, handle):
    """The file behind a CSI volume handle."""
    return bed.csi_data / "volumes" / f"{handle}.img"


class _Result(unittest.TextTestResult):
    """One line per test with its time; failures in full at the end."""

    passed = 0

    def startTest(self, test):
        self._began = time.monotonic()
        unittest.TestResult.startTest(self, test)

    def _line(self, word, test, more=""):
        name = ".".join(test.id().split(".")[-2:])
        print(f"{word:5} {time.monotonic() - self._began:6.2f} s  {name}{more}", flush=True)

    def addSuccess(self, test):
        unittest.TestResult.addSuccess(self, test)
        self.passed += 1
        self._line("ok", test)

    def addError(self, test, err):
        unittest.TestResult.addError(self, test, err)
        if not hasattr(self, "_began"):
            self._began = time.monotonic()
        self._line("ERROR", test)

    def addFailure(self, test, err):
        unittest.TestResult.addFailure(self, test, err)
        self._line("FAIL", test)

    def addSkip(self, test, reason):
        unittest.TestResult.addSkip(self, test, reason)
        if not hasattr(self, "_began"):
            self._began = time.monotonic()
        self._line("skip", test, f"  ({reason})")


def run_suite(suite):
    """Runs it, prints a line per test and 'N passed, N failed, N skipped'; returns the exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    result = _Result(unittest.runner._WritelnDecorator(sys.stdout), True, 1)
    result.failfast = "--failfast" in sys.argv
    began = time.monotonic()
    suite.run(result)
    _close_all()
    for kind, entries in (("ERROR", result.errors), ("FAIL", result.failures)):
        for test, trace in entries:
            print(f"\n======== {kind}: {test.id()}\n{trace}")
    bad = len(result.errors) + len(result.failures)
    skipped = len(result.skipped)
    print(f"# {time.monotonic() - began:.1f} s in all")
    print(f"{result.passed} passed, {bad} failed, {skipped} skipped")
    return 1 if bad or result.unexpectedSuccesses else 0


def main():
    """Runs the tests of the calling file, or those named on the command line (Class or Class.test)."""
    module = sys.modules["__main__"]
    names = [a for a in sys.argv[1:] if not a.startswith("-")]
    loader = unittest.TestLoader()
    suite = loader.loadTestsFromNames(names, module) if names else loader.loadTestsFromModule(module)
    sys.exit(run_suite(suite))
