"""A bed: one folder, one control plane, the parts that run on it.

Everything a later command needs is in the folder (bed.json, pid records, certificates), so a bed can
be brought up by one process and killed, restarted or taken down by another.
"""

import fcntl
import hashlib
import json
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

from . import guard, install, parts, pki, ports, process, services
from .kube import Kube

# Unix socket paths end at 107 bytes; the longest below the bed's folder is data/csi.sock.
SOCKET_PATH_MAX = 107


class BedError(Exception):
    """The bed could not do what was asked; the message says which part and shows its log."""


def default_state():
    """The folder that holds beds when none is named."""
    return Path(tempfile.gettempdir()) / f"wukong-bed-{os.getuid()}"


class Bed:
    """One bed by its folder. Creating the object touches nothing."""

    def __init__(self, folder):
        self.folder = Path(folder).resolve()
        self._admin = None
        self._config = None
        self._guard = None
        self._processes = {}

    # ---- where things lie -----------------------------------------------------------------------

    def _sub(self, name):
        return self.folder / name

    @property
    def pki(self):
        return self._sub("pki")

    @property
    def logs(self):
        return self._sub("logs")

    @property
    def run(self):
        return self._sub("run")

    @property
    def data(self):
        return self._sub("data")

    @property
    def kubeconfigs(self):
        return self._sub("kubeconfigs")

    @property
    def audit_log(self):
        return self.logs / "audit.log"

    @property
    def csi_data(self):
        """Where the file-backed CSI driver keeps its volumes."""
        return self.data / "csi"

    @property
    def csi_socket(self):
        return self.data / "csi.sock"

    # ---- configuration --------------------------------------------------------------------------

    @property
    def config(self):
        if self._config is None:
            try:
                self._config = json.loads((self.folder / "bed.json").read_text())
            except FileNotFoundError:
                raise BedError(f"there is no bed in {self.folder}") from None
        return self._config

    def exists(self):
        return (self.folder / "bed.json").is_file()

    def save(self):
        temporary = self.folder / "bed.json.new"
        temporary.write_text(json.dumps(self.config, indent=1) + "\n")
        os.replace(temporary, self.folder / "bed.json")

    def port(self, name):
        """The port reserved under this name; reserved now when it is the first use."""
        known = self.config["ports"]
        if name not in known:
            known[name] = ports.reserve(self.folder)
            self.save()
        return known[name]

    # ---- parts ----------------------------------------------------------------------------------

    def process(self, name):
        if name not in services.SERVICES:
            raise BedError(f"no part {name}; there are {', '.join(services.SERVICES)}")
        if name not in self._processes:
            self._processes[name] = process.Process(name, self.run, self.logs)
        return self._processes[name]

    def parts(self):
        return self.config["parts"]

    def start(self, name, wait=True):
        """Starts a part that does not run, with a fresh token, and waits until it is ready."""
        service = services.SERVICES[name]
        item = self.process(name)
        if item.pid() is not None:
            raise BedError(f"{name} is running already")
        if service.prepare:
            service.prepare(self)
        argv = service.argv(self)
        if name in self.config.get("args", {}):
            argv += self.config["args"][name]
        environment = {k: v for k, v in os.environ.items() if k in services.INHERITED}
        environment.update(services.GO_RUNTIME)
        environment.update(service.env(self) if service.env else {})
        item.start(argv, env=environment, cwd=self.folder)
        if wait:
            self.wait_ready(name)

    def wait_ready(self, name, timeout_s=60):
        service = services.SERVICES[name]
        item = self.process(name)
        end = time.monotonic() + timeout_s
        while True:
            if service.ready is None or service.ready(self):
                return
            if item.pid() is None:
                raise BedError(self._with_log(name, f"{name} ended before it was ready"))
            if time.monotonic() > end:
                raise BedError(self._with_log(name, f"{name} is not ready after {timeout_s} s"))
            time.sleep(0.02)

    def _with_log(self, name, message):
        item = self.process(name)
        return "\n".join([message, *item.log_tail(15), f"log: {item.log}"])

    def kill(self, name):
        self.process(name).kill()

    def stop(self, name):
        self.process(name).terminate()

    def pause(self, name):
        self.process(name).pause()

    def resume(self, name):
        self.process(name).resume()

    def restart(self, name, graceful=True):
        item = self.process(name)
        if graceful:
            item.terminate()
        else:
            item.kill()
        self.start(name)

    def status(self):
        """[(part, state, pid, resident KiB)] of the parts of this bed."""
        rows = []
        for name in self.parts():
            item = self.process(name)
            rows.append((name, item.state(), item.pid(), item.memory_kib()))
        return rows

    # ---- clients --------------------------------------------------------------------------------

    def admin(self):
        """A client in group system:masters."""
        if self._admin is None:
            self._admin = Kube(self.port("apiserver"), self.pki / "ca.crt", self.pki / "admin.crt",
                               self.pki / "admin.key", user_agent="wukong-bed-admin")
        return self._admin

    def client(self, namespace, service_account):
        """A client with the token of a ServiceAccount."""
        token = self.admin().mint_token(namespace, service_account)
        return Kube(self.port("apiserver"), self.pki / "ca.crt", token=token,
                    user_agent=f"wukong-bed-{service_account}")

    def write_token(self, namespace, service_account):
        """Mints a token into the file that a part re-reads. Returns the file."""
        token = self.admin().mint_token(namespace, service_account)
        path = self.kubeconfigs / f"{namespace}.{service_account}.token"
        temporary = path.with_suffix(".new")
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            out.write(token)
        os.replace(temporary, path)
        return path

    def service_account_kubeconfig(self, namespace, service_account, port=None):
        """A kubeconfig that names a token file, minted anew at every call. `port`: of a proxy that
        stands before the API server."""
        token_file = self.write_token(namespace, service_account)
        return self._write_kubeconfig(f"{namespace}.{service_account}", namespace,
                                      [f"tokenFile: {token_file}"], port)

    @staticmethod
    def _user_name(user, groups):
        """What the files of a user of these groups are called: a user of a hundred groups has some, too."""
        name = "user-" + "".join(c if c.isalnum() else "-" for c in "-".join([user, *groups]))
        return name if len(name) < 120 else f"{name[:80]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"

    def user_kubeconfig(self, user, groups=()):
        """A kubeconfig with a client certificate for any user and groups."""
        name = self._user_name(user, groups)
        crt, key = pki.Authority(self.pki, "ca").issue(name, user, groups)
        return self._write_kubeconfig(name, "default",
                                      [f"client-certificate: {crt}", f"client-key: {key}"])

    def user_client(self, user, groups=()):
        name = self._user_name(user, groups)
        crt, key = pki.Authority(self.pki, "ca").issue(name, user, groups)
        return Kube(self.port("apiserver"), self.pki / "ca.crt", crt, key, user_agent=f"wukong-bed-{name}")

    def certificate_kubeconfig(self, name):
        """A kubeconfig with one of the bed's own client certificates (admin, controller-manager)."""
        return self._write_kubeconfig(name, "default", [
            f"client-certificate: {self.pki / name}.crt", f"client-key: {self.pki / name}.key"])

    def _write_kubeconfig(self, name, namespace, user, port=None):
        path = self.kubeconfigs / f"{name}.kubeconfig"
        text = "\n".join([
            "apiVersion: v1", "kind: Config", "clusters:", "- name: bed", "  cluster:",
            f"    server: https://127.0.0.1:{port or self.port('apiserver')}",
            f"    certificate-authority: {self.pki / 'ca.crt'}",
            "users:", "- name: bed", "  user:", *[f"    {line}" for line in user],
            "contexts:", "- name: bed", "  context:", "    cluster: bed", "    user: bed",
            f"    namespace: {namespace}", "current-context: bed", ""])
        temporary = path.with_suffix(".new")
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            out.write(text)
        os.replace(temporary, path)
        return path

    # ---- up and down ----------------------------------------------------------------------------

    def up(self, wanted=None, options=None, owner=None, say=lambda line: None):
        """Brings the bed up. `wanted` names parts (what they need is added); default: all that are
        built. `options` are kept in bed.json: webhook, worker (binaries), asan, chart (False:
        without the chart's objects), chart_values, args ({part: further arguments}), …
        `owner` is the pid whose death makes this bed an orphan: its guard takes it down, or if that was
        killed too, the next run does (see reap_orphans)."""
        began = time.monotonic()
        if self.exists():
            raise BedError(f"there is a bed in {self.folder} already; take it down first")
        if len(str(self.csi_socket)) > SOCKET_PATH_MAX:
            raise BedError(f"{self.folder} is too long for a Unix socket below it")
        for folder in (self.folder, self.pki, self.logs, self.run, self.data, self.kubeconfigs):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        options = dict(options or {})
        self._config = {"ports": {}, "parts": [], "options": options, "args": options.pop("args", {}),
                        "owner": None}
        if owner:
            self._config["owner"] = {"pid": owner, "start": process.start_time(owner)}
        if owner == os.getpid():
            self._guard, self._config["guard"] = guard.watch(self.folder)
        self.save()
        try:
            self._config["parts"] = services.select(wanted, options)
            self.save()
            self._up(say)
        except BaseException:
            # A half-built bed keeps its folder for its logs; its processes must not stay.
            self.stop_all(signal.SIGKILL)
            raise
        say(f"bed up in {time.monotonic() - began:.1f} s: {self.folder}")

    def _up(self, say):
        mark = _stopwatch(say)
        chosen = self.parts()
        self.start("etcd", wait=False)
        self._make_pki()
        self.wait_ready("etcd")
        mark("etcd, certificates")
        wants_chart = self.config["options"].get("chart", True) and install.Chart.exists()
        chart = install.Chart(self) if wants_chart else None
        self.start("apiserver")
        mark("apiserver")
        install.definitions(self, chart)
        mark("definitions")
        if "kcm" in chosen:
            self.start("kcm", wait=False)
        if "csi" in chosen:
            self.start("csi", wait=False)
        install.base(self, chart)
        mark("base objects")
        later = [n for n in chosen if n not in ("etcd", "apiserver", "kcm", "csi")]
        for name in later:
            self.start(name, wait=False)
        rest = [n for n in chosen if n not in ("etcd", "apiserver")]
        for name in rest:
            self.wait_ready(name)
            mark(name)
        install.after(self)
        mark("admission and aggregated API")

    def _make_pki(self):
        ca = pki.Authority(self.pki, "ca").create()
        front = pki.Authority(self.pki, "front-proxy-ca").create()
        ca.issue("apiserver", "kube-apiserver",
                 hosts=["127.0.0.1", "localhost", "kubernetes", "kubernetes.default",
                        "kubernetes.default.svc"])
        ca.issue("admin", "wukong-bed-admin", ["system:masters"])
        ca.issue("controller-manager", "system:kube-controller-manager")
        front.issue("front-proxy-client", "front-proxy-client")
        ca.issue("virt-api", "virt-api", hosts=["virt-api.kubevirt.svc", "localhost", "127.0.0.1"])
        ca.issue("cdi-api", "cdi-api", hosts=["cdi-api.cdi.svc", "localhost", "127.0.0.1"])
        pki.key_pair(self.pki, "service-accounts")
        self.certificate_kubeconfig("admin")
        self.certificate_kubeconfig("controller-manager")

    def stop_all(self, number=signal.SIGTERM):
        """Ends every process that this bed started and no other."""
        running = []
        for record in sorted(self.run.glob("*.json")) if self.run.is_dir() else []:
            item = process.Process(record.stem, self.run, self.logs)
            if item.pid() is not None:
                item.signal(number)
                item.signal(signal.SIGCONT)
                running.append(item)
        # Nothing is worth waiting for, the folder goes away; but leaks are reported at the exit.
        sanitized = (self._config or {}).get("options", {}).get("asan")
        patient = {"webhook", "worker", "worker-2"} if sanitized else ()
        for item in running:
            if number == signal.SIGTERM and item.name in patient:
                item.wait_gone(15)
        for item in running:
            item.kill()

    def down(self, keep=False):
        """Takes the bed down, whatever state it is in. `keep` leaves the folder with its logs."""
        if self._admin:
            self._admin.close()
            self._admin = None
        try:
            self._config = self.config
        except (BedError, json.JSONDecodeError):
            pass  # half up: the pid records suffice
        self.stop_all()
        try:
            ports.release(list(self.config["ports"].values()), self.folder)
        except (BedError, json.JSONDecodeError, KeyError):
            pass
        self._config = None
        self._dismiss_guard()
        if keep:
            (self.folder / "bed.json").unlink(missing_ok=True)
        elif self.folder.is_dir() and (self.run.is_dir() or self.logs.is_dir()):
            shutil.rmtree(self.folder)


    def disown(self):
        """The bed stays when this process ends."""
        self.config["owner"] = None
        self.save()
        self._dismiss_guard()

    def _dismiss_guard(self):
        if self._guard is not None:
            pipe, self._guard = self._guard, None
            guard.release(pipe)


class Lock:
    """Held by the command that changes a bed, so that `up` and `down` never cross."""

    def __init__(self, folder):
        folder = Path(folder)
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = folder.parent / f".{folder.name}.lock"

    def __enter__(self):
        self.file = open(self.path, "w")
        fcntl.flock(self.file, fcntl.LOCK_EX)
        return self

    def __exit__(self, *_):
        self.file.close()


def reap_orphans():
    """Takes down the beds of this user whose owner is gone, wherever they lie: a test run that was
    killed leaves none to the next one. Returns their folders."""
    gone = []
    for folder in ports.owners():
        try:
            owner = json.loads((folder / "bed.json").read_text()).get("owner")
        except (OSError, json.JSONDecodeError):
            continue
        if owner and process.start_time(owner["pid"]) != owner["start"]:
            with Lock(folder):
                # Several runs may begin at once; one of them reaps.
                if (folder / "bed.json").exists():
                    Bed(folder).down()
                    gone.append(folder)
    return gone


def _stopwatch(say):
    last = [time.monotonic()]

    def mark(what):
        now = time.monotonic()
        say(f"  {now - last[0]:5.2f} s  {what}")
        last[0] = now

    return mark


def which(part_name, name):
    """Path of a built binary, as a BedError when it is absent."""
    try:
        return parts.binary(part_name, name)
    except FileNotFoundError as missing:
        raise BedError(str(missing)) from None
