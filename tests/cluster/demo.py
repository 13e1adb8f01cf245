"""What tests/demo shows once everything is built: a bed comes up, a wrong Wukong is refused, a right
one clones a running machine, and the result is proved from the bytes on the disks.

Each tick is a check that fails the demo; the expectations come from the guest's own records and from
the freeze log of the KubeVirt stand-in, not from what the product says.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.dont_write_bytecode = True

from bedlib import bed as beds  # noqa: E402
from bedlib import harness, objects, parts, progress, services, vms  # noqa: E402

NAMESPACE = "demo"
WRONG = """\
apiVersion: vm.novasphere.dev/v1alpha1
kind: Wukong
metadata: {name: copy, namespace: demo}
spec:
  cpu: 65
  memory: lots
  cloneSource:
    type: vmi
    vmName: shop
    cloneType: full
"""
RIGHT = """\
apiVersion: vm.novasphere.dev/v1alpha1
kind: Wukong
metadata: {name: copy, namespace: demo}
spec:
  cloneSource:
    type: vmi
    vmiName: shop
"""


class Demo(vms.CloneCase):
    """A CloneCase outside of a test run: its builders and checks are those of the tests."""

    def runTest(self):
        raise NotImplementedError

    def __init__(self, bed):
        super().__init__()
        self.bed, self.kube, self.namespace = bed, bed.admin(), NAMESPACE
        self.ticks = 0

    # ---- telling --------------------------------------------------------------------------------

    def title(self, text):
        print(f"\n\033[1m== {text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)

    def tick(self, text):
        self.ticks += 1
        print(f"  ✓ {text}", flush=True)

    def shell(self, command, stdin=None, check=True):
        """Runs kubectl as a user would and shows both the command and its answer."""
        print(f"$ kubectl {command}" + (" <<EOF\n" + stdin + "EOF" if stdin else ""), flush=True)
        done = self.bed.kubectl(*command.split(), stdin=stdin, check=check)
        print((done.stdout + done.stderr).rstrip(), flush=True)
        return done

    def follow(self, name, timeout_s=120):
        """kubectl get wk -w until the clone has ended; a line per change."""
        print(f"$ kubectl get wk {name} -n {NAMESPACE} -w", flush=True)
        command = [str(beds.which("kubectl", "kubectl")), "--kubeconfig",
                   str(self.bed.kubeconfigs / "admin.kubeconfig"), "get", "wk", name, "-n", NAMESPACE, "-w"]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        timer = threading.Timer(timeout_s, child.kill)
        timer.start()
        before, phase = None, None
        try:
            for line in child.stdout:
                words = line.split()
                if words[:-1] != before:
                    print(line.rstrip(), flush=True)
                before = words[:-1]
                phase = next((w for w in words if w in ("Succeeded", "Failed")), None)
                if phase:
                    break
        finally:
            timer.cancel()
            child.kill()
            child.wait()
            child.stdout.close()
        if phase != "Succeeded":
            raise AssertionError(f"the clone did not succeed: {self.bed.diagnosis(NAMESPACE)}")

    # ---- the story ------------------------------------------------------------------------------

    def run_all(self):
        self.kube.create(objects.namespace(NAMESPACE))
        self.title("A machine runs. Its guest writes a numbered record to both disks every 40 ms")
        source = self.source("shop", disks=("root", "data"))
        self.shell(f"get vmi,pvc -n {NAMESPACE}")
        print(f"records so far: {source.last()}", flush=True)

        self.title("A wrong Wukong is refused, every mistake at once")
        refused = self.shell("apply -f -", WRONG, check=False)
        self.assertNotEqual(0, refused.returncode)

        self.title("A right one clones the running machine")
        began = time.monotonic()
        self.shell("apply -f -", RIGHT)
        self.follow("copy")
        took = time.monotonic() - began
        self.shell(f"wait --for=condition=Ready wk/copy -n {NAMESPACE} --timeout=60s")
        self.shell(f"get vm,vmi,pvc -n {NAMESPACE}")

        self.title("The proof")
        self.prove(source, took)
        return 0

    def prove(self, source, took):
        status = vms.clone_status(self.wukong("copy"))
        self.assert_untouched(source)
        self.tick(f"the source is the machine that it was: VMI UID {source.uid}")
        last = self.assert_disks("copy", source, self.frozen_at(source))
        for disk in source.claims:
            self.tick(f"the clone's disk {disk} holds records 1 to {last}: all that the guest had written "
                      "when it was frozen, none torn")
        now = source.last()
        self.wait_for(lambda: source.last() > now, 10, "the source to go on writing")
        self.tick(f"the source lost none and is still writing: record {source.last()}")
        made = self.assert_own_identity("copy", source)
        ours = made["spec"]["template"]["spec"]["domain"]
        theirs = source.vmi()["spec"]["domain"]
        self.tick(f"new MAC   {theirs['devices']['interfaces'][0]['macAddress']} -> "
                  f"{ours['devices']['interfaces'][0]['macAddress']}")
        self.tick(f"new UUID  {theirs['firmware']['uuid']} -> {ours['firmware']['uuid']}")
        self.tick("nothing in the new machine names a disk of the source")
        self.assert_no_temporaries()
        self.tick("no temporary snapshot is left")
        self.assert_thawed_by_worker(source)
        frozen, = source.log("thawed")
        self.assertEqual("FilesystemConsistent", status["consistency"])
        self.tick(f"the guest was frozen for {frozen['frozenMs']:.0f} ms by its own log "
                  f"({status['freezeMilliseconds']} ms with the calls, in status)")
        print(f"\n{self.ticks} of {self.ticks} checks hold. The clone took {took:.1f} s; its memory was "
              "not copied: it booted from the disks.", flush=True)


def product_log(log):
    """How far ninja is, by the last of its lines."""
    try:
        steps = re.findall(r"^\[(\d+/\d+)\]", log.read_text(errors="replace"), re.M)
    except OSError:
        return ""
    return f"{steps[-1]} files" if steps else ""


def build_product(shown, log):
    root = services.REPOSITORY
    shown.begin("webhook and worker", lambda: product_log(log))
    with open(log, "w") as out:
        for command in (["cmake", "--preset", "release", "-DWUKONG_TESTS=OFF"],
                        ["cmake", "--build", "--preset", "release", "--target", "wukong-webhook",
                         "wukong-worker"]):
            if subprocess.run(command, cwd=root, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                              check=False).returncode:
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
                raise beds.BedError(f"the programs could not be built\n{tail}")
    shown.end()


def build(bed):
    """What this demo runs and nothing else."""
    options = {part: os.environ[f"WUKONG_{part.upper()}"] for part in ("webhook", "worker")
               if os.environ.get(f"WUKONG_{part.upper()}")}
    options["asan"] = bool(os.environ.get("WUKONG_BED_ASAN"))
    given = options["asan"] or {"webhook", "worker"} <= options.keys()
    chosen = services.select(vms.PARTS, options)
    needed = services.built_from(chosen)
    missing = parts.absent(needed)
    print(f"== Building {'' if given else 'the webhook, the worker and '}the parts of the control plane, "
          f"{len(missing)} of {len(needed)}; they are kept in {parts.cache_root()}", file=sys.stderr, flush=True)
    with progress.Progress(len(missing) + (not given)) as shown:
        if not given:
            build_product(shown, bed.folder.parent / "demo-build.log")
        say = lambda line: None if line.endswith(" cached") else shown.say(f"   {line}")  # noqa: E731
        if parts.build(needed, say, shown):
            raise beds.BedError("parts of the bed could not be built")
    return chosen, options


def bring_up(bed):
    chosen, options = build(bed)
    print("== etcd, kube-apiserver, controllers, CSI sidecars, webhook and worker start", flush=True)
    bed.up(chosen, options, owner=os.getpid(),
           say=lambda line: None if line.startswith(" ") else print(line, flush=True))
    vms.wait_leading(bed)


NEXT = """
What to try next:
  tests/demo --keep                  the same, and the control plane stays up for you
  docs/user/walkthrough.md           clone, plan, watch, share, across namespaces, with their output
  docs/admin/install.md              into a cluster of your own
  docs/user/spec.md                  every field, by example
"""
KEPT = """
The control plane stays up. What to try next:
    eval "$(tests/cluster/bed --name demo env)"
    kubectl describe wk copy -n demo
    kubectl explain wk.spec
    kubectl get events -n demo
and to end it:
    tests/cluster/bed --name demo down"""


def interrupted(*_):
    raise KeyboardInterrupt


def main():
    parser = argparse.ArgumentParser(prog="tests/demo")
    parser.add_argument("--keep", action="store_true", help="leave the control plane up")
    keep = parser.parse_args().keep
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    bed = harness.Bed(beds.default_state() / "demo")
    bed.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with beds.Lock(bed.folder):
        bed.down()
        try:
            bring_up(bed)
            Demo(bed).run_all()
        except (AssertionError, vms.WrongEnd, beds.BedError, harness.ApiError, TimeoutError,
                KeyError, *harness.CONNECTION_ERRORS) as failure:
            print(f"\n  ✗ {failure}", file=sys.stderr)
            bed.down(keep=True)
            print(f"logs: {bed.logs}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            bed.down()
            return 130
        if keep:
            bed.disown()
            print(KEPT)
        else:
            bed.down()
            print(NEXT, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
