"""What the benches share: the Go programs beside them, what a process has cost, how a figure is told.

A bench is no test: it prints and never fails for being slow. CPU is read from /proc, so that what
else runs on the machine moves latencies but hardly the cost of one piece of work.
"""

import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

BENCH = Path(__file__).resolve().parent
REPOSITORY = BENCH.parents[1]
sys.path.insert(0, str(BENCH.parent / "cluster"))
sys.dont_write_bytecode = True

from bedlib import harness, install, parts, pki, services  # noqa: E402
from bedlib.kube import yaml_documents  # noqa: E402

# A cluster of 10,000 machines takes the API server more than it needs in the cases: it would collect garbage
# all the time.
services.GO_RUNTIME["GOMEMLIMIT"] = "6000MiB"


class Peer(parts.GoPart):
    """The Go programs of tests/bench/peer, built once and cached as the bed's parts are."""

    def __init__(self):
        super().__init__("bench-peer", "parts", {"peer": ".", "load": "./load", "fill": "./fill",
                                                 "informer": "./informer"})
        self.folder = BENCH / "peer"


def programs():
    """{name: path} of the Go programs."""
    peer = Peer()
    if not peer.is_built():
        parts.PARTS.append(peer)
        if parts.build([peer.name], say=lambda line: print(f"# {line}", file=sys.stderr, flush=True)):
            raise SystemExit("tests/bench/peer could not be built")
    return {name: peer.output() / name for name in peer.binaries}


def machine():
    """One line that says what the figures were taken on, and how busy it was."""
    model = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), "unknown")
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores, {model}, {time.strftime('%Y-%m-%d')}, load {load:.1f} before the run"


def cpu_s(pid):
    """Seconds of CPU that the threads of a process have used, to the nanosecond (/proc/PID/stat counts in
    ticks of 10 ms)."""
    total = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):
            total += int((thread / "schedstat").read_text().split()[0])
    return total / 1e9


def rss_mib(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {pid} is gone")


def told(values, unit, digits=1):
    """Median (minimum to maximum)."""
    return (f"{statistics.median(values):.{digits}f} {unit} "
            f"({min(values):.{digits}f} to {max(values):.{digits}f})")


def ratio(ours, theirs, digits=2):
    """The ratio of two series taken in turn: median (minimum to maximum) of the pairs."""
    pairs = [a / b for a, b in zip(ours, theirs) if b]
    return told(pairs, "x", digits) if pairs else "no ratio"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def answers(port, path="/readyz"):
    """True when http://127.0.0.1:port/path answers 200."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as s:
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            return s.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


@contextlib.contextmanager
def running(argv, port, core=None, env=None, log=None, patience=900):
    """A process that is ready when /readyz on the port says so; (pid, seconds until then)."""
    argv = [str(a) for a in argv]
    if core is not None:
        argv = ["taskset", "-c", str(core), *argv]
    with open(log or os.devnull, "ab") as out:
        began = time.monotonic()
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                 env={**os.environ, **(env or {})})
    try:
        while not answers(port):
            if child.poll() is not None:
                raise RuntimeError(f"{argv[0]} ended with {child.returncode}, see {log}")
            if time.monotonic() > began + patience:
                raise RuntimeError(f"{argv[0]} is not ready after {patience} s, see {log}")
            time.sleep(0.002)
        yield child.pid, time.monotonic() - began
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def run_json(argv, core=None, env=None):
    """Runs a program that prints one JSON object."""
    argv = [str(a) for a in argv]
    if core is not None:
        argv = ["taskset", "-c", str(core), *argv]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, **(env or {})})
    if not done.stdout.strip():
        raise RuntimeError(f"{' '.join(argv)}: exit {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


def kubevirt_definitions(bed):
    """KubeVirt's CRDs, on a bed without KubeVirt."""
    documents = []
    for path in sorted((BENCH.parent / "cluster" / "kubevirt" / "crds").glob("kubevirt.io_*.yaml")):
        documents += yaml_documents(path.read_text())
    install.apply_all(bed, documents)
    install.wait_established(bed, ["virtualmachines.kubevirt.io",
                                   "virtualmachineinstances.kubevirt.io"])


def admin_config(bed):
    return bed.kubeconfigs / "admin.kubeconfig"


def fill(go, bed, machines, wukongs=0, start=0):
    """Makes the objects of a large cluster (peer/fill); what it says of it."""
    return run_json([go["fill"], "--kubeconfig", admin_config(bed), "--etcd",
                     f"http://127.0.0.1:{bed.port('etcd')}", "--machines", machines,
                     "--wukongs", wukongs, "--from", start])


def cores():
    """(core of the program measured, core of what loads it): apart where there are two."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]
