"""A node in namespaces of its own: containerd, kubelet, kube-proxy and scheduler beside the bed's etcd and API server.

Needs root. Nothing of it is reachable from outside, and nothing stays: its first process ends, and with it all."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/cluster"), str(ROOT / "release")]
sys.dont_write_bytecode = True

from bedlib import harness, parts  # noqa: E402
from releaselib import pack  # noqa: E402

HERE = Path(__file__).resolve().parent
REGISTRY = "registry.example.com"
PROGRAMS = ("wukong-webhook", "wukong-worker", "kubectl-wukong")
PAUSE = "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n"


def why_not():
    """What keeps a node from being started here; None: nothing."""
    if os.geteuid() != 0:
        return "needs root"
    missing = [p for p in ("containerd", "runc", "ctr", "iptables", "nsenter", "unshare") if not shutil.which(p)]
    if not Path("/usr/lib/cni/bridge").exists():
        missing.append("containernetworking-plugins")
    return f"not installed: {', '.join(missing)}" if missing else None


class Node:
    def __init__(self):
        self.state = Path(tempfile.mkdtemp(prefix="wukong-node-", dir="/tmp"))
        self.built = {name: parts.build_part(parts.part(name)) for name in
                      ("etcd", "kubernetes", "node", "kubectl", "snapshot")}
        self.unshare, self.init = None, None

    # ---- images ---------------------------------------------------------------------------------

    def make_images(self, programs):
        """By release/make, as a release has them; and the one that holds a Pod's namespaces."""
        images = self.state / "images"
        images.mkdir()
        stripped = self.state / "programs"
        stripped.mkdir()
        for name in PROGRAMS:
            subprocess.run(["strip", "-o", stripped / name, programs / name], check=True)
        subprocess.run([ROOT / "release/make", "--programs", stripped, "--registry", REGISTRY, "--out", images,
                        "image"], check=True, stdout=subprocess.DEVNULL)
        source = self.state / "pause.c"
        source.write_text(PAUSE)
        subprocess.run(["gcc", "-Os", "-static", "-o", self.state / "pause", source], check=True)
        oci = pack.Oci(0, "1970-01-01T00:00:00Z")
        oci.add("localhost/pause:1", "amd64", pack.tar({"pause": self.state / "pause"}, 0),
                {"Entrypoint": ["/pause"], "User": "65535:65535"}, {})
        (images / "pause.tar").write_bytes(oci.bytes())

    # ---- up and down ----------------------------------------------------------------------------

    def up(self):
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(self.state), "STATE": str(self.state),
               "HERE": str(HERE), "ETCD": str(self.built["etcd"]), "APISERVER": str(self.built["kubernetes"]),
               "KUBELET": str(self.built["node"]), "KUBECTL": str(self.built["kubectl"] / "kubectl")}
        with open(self.state / "init.log", "wb") as log:
            self.unshare = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--net", "--pid", "--uts", "--ipc", "--fork",
                 "--kill-child", "--mount-proc", "--propagation", "private", "bash", HERE / "init.sh"],
                env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        harness.wait_for(self._find_init, 20, "the node's first process")
        harness.wait_for(lambda: "True" in self.kubectl(
            "get", "node", "node1", "-o", "jsonpath={.status.conditions[?(@.type=='Ready')].status}",
            check=False).stdout, 180, "the node to be Ready")
        harness.wait_for(lambda: self.kubectl("get", "serviceaccount", "default", check=False).returncode == 0, 60,
                         "the ServiceAccount default")

    def _find_init(self):
        children = Path(f"/proc/{self.unshare.pid}/task/{self.unshare.pid}/children").read_text().split()
        self.init = int(children[0]) if children else None
        return self.init

    def down(self):
        if self.init:
            os.kill(self.init, signal.SIGKILL)
        if self.unshare:
            self.unshare.wait(60)
        for _ in range(100):
            left = [d for d, *_ in os.walk("/sys/fs/cgroup", topdown=False)
                    if "/kubepods" in d or "/k8s.io" in d or "/kube-proxy" in d]
            for folder in left:
                try:
                    os.rmdir(folder)
                except OSError:
                    pass
            if not left:
                break
            time.sleep(0.1)
        shutil.rmtree(self.state, ignore_errors=True)

    # ---- commands -------------------------------------------------------------------------------

    def run(self, *command, check=True, stdin=None, timeout=300):
        """In the node's namespaces, with kubectl and helm in the PATH."""
        env = {"PATH": f"{self.built['kubectl']}:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(self.state),
               "KUBECONFIG": str(self.state / "pki/admin.conf")}
        inside = ["nsenter", "-t", str(self.init), "-m", "-n", "-p", "-u", "-i", "--wdns=" + str(ROOT)]
        done = subprocess.run([*inside, *map(str, command)], env=env, input=stdin, timeout=timeout, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}\n{self.tell()}")
        return done

    def kubectl(self, *arguments, **more):
        return self.run(self.built["kubectl"] / "kubectl", *arguments, **more)

    def json(self, *arguments):
        return json.loads(self.kubectl(*arguments, "-o", "json").stdout)

    def tell(self):
        """What helps to see why something did not come about."""
        shown = self.kubectl("get", "pods,events", "-A", check=False).stdout if self.init else ""
        return shown[-6000:]
