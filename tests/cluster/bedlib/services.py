"""How each part of a bed is started and when it counts as ready.

Every part but the control plane itself runs under its own ServiceAccount with a token from
TokenRequest: a permission that is missing upstream is missing here.
"""

import socket
import urllib.request
from collections import OrderedDict
from pathlib import Path

from . import parts, realcdi, realkubevirt
from .kube import CONNECTION_ERRORS

DRIVER = "file.csi.novasphere.dev"
REPOSITORY = parts.CLUSTER.parent.parent

# What a part gets of the caller's environment; proxies must not reach it.
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "TZ")

# The parts are Go programs that live for a minute or two on a machine with memory to spare and few
# processors: collecting garbage was a quarter of the API server's time. The limit still binds when
# something leaks.
GO_RUNTIME = {"GOGC": "off", "GOMEMLIMIT": "1500MiB"}

# part: (namespace, ServiceAccount)
IDENTITIES = {
    "snapshot-controller": ("kube-system", "snapshot-controller"),
    "csi-snapshotter": ("csi-file", "csi-snapshotter"),
    "csi-provisioner": ("csi-file", "csi-provisioner"),
    # KubeVirt's own mutating webhook reverts anybody else's write to a VMI's status
    # (pkg/virt-api/webhooks/mutating-webhook/mutators/vmi-mutator.go).
    "kubevirt": ("kubevirt", "kubevirt-controller"),
    "cdi": ("cdi", "cdi-sa"),
}


class Service:
    def __init__(self, argv, ready=None, env=None, prepare=None, needs=(), available=None):
        self.argv = argv
        self.ready = ready
        self.env = env
        self.prepare = prepare
        self.needs = needs
        self.available = available or (lambda options: True)


# ---- readiness ----------------------------------------------------------------------------------


def _listens(port):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _socket_answers(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(path)) == 0


def _http_ok(url):
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def _kcm_ready(bed):
    # The default ServiceAccount is made by one of its controllers: when it is there they work.
    try:
        return bed.admin().find("v1", "ServiceAccount", "default", "default") is not None
    except CONNECTION_ERRORS:
        return False


# ---- the control plane --------------------------------------------------------------------------


def _etcd(bed):
    client, peer = (f"http://127.0.0.1:{bed.port(p)}" for p in ("etcd", "etcd-peer"))
    return [_which("etcd", "etcd"), "--name", "bed", "--data-dir", bed.data / "etcd",
            "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", f"bed={peer}", "--unsafe-no-fsync", "--log-level", "warn",
            # A member waits for one to two election timeouts before it finds that it is alone.
            "--heartbeat-interval", "50", "--election-timeout", "250"]


def _apiserver(bed):
    pki = bed.pki
    return [_which("kubernetes", "kube-apiserver"),
            "--etcd-servers", f"http://127.0.0.1:{bed.port('etcd')}",
            "--bind-address", "127.0.0.1", "--secure-port", str(bed.port("apiserver")),
            "--tls-cert-file", pki / "apiserver.crt", "--tls-private-key-file", pki / "apiserver.key",
            "--client-ca-file", pki / "ca.crt", "--authorization-mode", "Node,RBAC",
            "--service-account-issuer", "https://kubernetes.default.svc",
            "--service-account-key-file", pki / "service-accounts.pub",
            "--service-account-signing-key-file", pki / "service-accounts.key",
            "--service-cluster-ip-range", "10.96.0.0/16",
            # An address on loopback is no valid endpoint of the service "kubernetes".
            "--endpoint-reconciler-type", "none",
            "--requestheader-client-ca-file", pki / "front-proxy-ca.crt",
            "--requestheader-allowed-names", "front-proxy-client",
            "--requestheader-username-headers", "X-Remote-User",
            "--requestheader-group-headers", "X-Remote-Group",
            "--requestheader-extra-headers-prefix", "X-Remote-Extra-",
            "--proxy-client-cert-file", pki / "front-proxy-client.crt",
            "--proxy-client-key-file", pki / "front-proxy-client.key",
            "--audit-policy-file", parts.CLUSTER / "manifests" / "audit-policy.yaml",
            "--audit-log-path", bed.audit_log, "--audit-log-maxsize", "0",
            "--allow-privileged=true", "--profiling=false"]


def _kcm(bed):
    pki = bed.pki
    return [_which("kubernetes", "kube-controller-manager"),
            "--kubeconfig", bed.kubeconfigs / "controller-manager.kubeconfig",
            "--leader-elect=false", "--secure-port", "0", "--use-service-account-credentials=true",
            "--service-account-private-key-file", pki / "service-accounts.key",
            "--root-ca-file", pki / "ca.crt", "--cluster-name", "bed",
            # Its start is some 200 small requests, which the default of 20 a second spreads over 4 s.
            "--kube-api-qps", "300", "--kube-api-burst", "600",
            # Nodes and Pods are records here, without kubelets that would renew their leases.
            "--controllers", "*,-node-lifecycle-controller,-taint-eviction-controller,"
                             "-pod-garbage-collector-controller,-bootstrap-signer-controller,"
                             "-token-cleaner-controller"]


# ---- storage ------------------------------------------------------------------------------------


def _csi(bed):
    bed.csi_data.mkdir(exist_ok=True)
    # A driver that was killed leaves its socket behind.
    bed.csi_socket.unlink(missing_ok=True)
    return [_which("csi-file", "csi-file"), "--endpoint", f"unix://{bed.csi_socket}",
            "--data", bed.csi_data, "--driver-name", DRIVER, "--with", "groups"]


def _kubeconfig(bed, part):
    return bed.kubeconfigs / ".".join([*IDENTITIES[part], "kubeconfig"])


def _mint(part):
    return lambda bed: bed.service_account_kubeconfig(*IDENTITIES[part])


# Off in 8.6 unless it is asked for; both programs must agree (external-snapshotter pkg/features).
GROUPS = "--feature-gates=CSIVolumeGroupSnapshot=true"


def _snapshot_controller(bed):
    return [_which("snapshot", "snapshot-controller"),
            "--kubeconfig", _kubeconfig(bed, "snapshot-controller"),
            "--http-endpoint", f"127.0.0.1:{bed.port('snapshot-controller')}", GROUPS, "--v=4"]


def _csi_snapshotter(bed):
    return [_which("snapshot", "csi-snapshotter"),
            "--kubeconfig", _kubeconfig(bed, "csi-snapshotter"),
            "--csi-address", bed.csi_socket,
            "--http-endpoint", f"127.0.0.1:{bed.port('csi-snapshotter')}", GROUPS, "--v=4"]


def _csi_provisioner(bed):
    return [_which("provisioner", "csi-provisioner"),
            "--kubeconfig", _kubeconfig(bed, "csi-provisioner"),
            "--csi-address", bed.csi_socket, "--feature-gates=Topology=false",
            "--http-endpoint", f"127.0.0.1:{bed.port('csi-provisioner')}", "--v=4"]


# ---- stand-ins ----------------------------------------------------------------------------------


def _kubevirt(bed):
    state = bed.data / "kubevirt"
    state.mkdir(exist_ok=True)
    return [_which("kubevirt", "kubevirt-standin"), "--kubeconfig", _kubeconfig(bed, "kubevirt"),
            "--listen", f"127.0.0.1:{bed.port('kubevirt')}",
            "--tls-cert", bed.pki / "virt-api.crt", "--tls-key", bed.pki / "virt-api.key",
            "--client-ca", bed.pki / "front-proxy-ca.crt",
            "--data", bed.csi_data, "--state", state]


def _by_cdi(stand_in, real):
    return lambda bed: (real if "cdi-api" in bed.parts() else stand_in)(bed)


def _cdi(bed):
    state = bed.data / "cdi"
    state.mkdir(exist_ok=True)
    return [_which("cdi", "cdi-standin"), "--kubeconfig", _kubeconfig(bed, "cdi"),
            "--listen", f"127.0.0.1:{bed.port('cdi')}",
            "--tls-cert", bed.pki / "cdi-api.crt", "--tls-key", bed.pki / "cdi-api.key",
            "--client-ca", bed.pki / "front-proxy-ca.crt",
            "--data", bed.csi_data, "--state", state]


# ---- the product --------------------------------------------------------------------------------


def product_binary(options, program):
    """Where wukong-webhook or wukong-worker is: named, or in the build folder of a CMake preset."""
    folder = program.removeprefix("wukong-")
    named = options.get(folder)
    if named:
        return Path(named)
    for preset in (["asan"] if options.get("asan") else ["release", "dev"]):
        build = REPOSITORY / "build" / preset
        for found in (build / folder / program, build / "bin" / program, build / program):
            if found.is_file():
                return found
    return None


def _product(component, instance=None):
    def argv(bed):
        from . import install
        return install.product_command(bed, component, instance)
    return argv


def _product_env(bed):
    if not bed.config["options"].get("asan"):
        return {}
    return {"ASAN_OPTIONS": f"abort_on_error=0:exitcode=99:log_path={bed.logs}/sanitizer",
            "UBSAN_OPTIONS": f"print_stacktrace=1:halt_on_error=1:log_path={bed.logs}/sanitizer"}


def _product_prepare(component):
    def prepare(bed):
        from . import install
        install.product_identity(bed, component)
    return prepare


def _product_ready(instance):
    return lambda bed: _http_ok(f"http://127.0.0.1:{bed.port(instance + '-health')}/readyz")


def _which(part_name, name):
    from .bed import which
    return which(part_name, name)


def _buildable(name):
    return lambda options: parts.part(name).exists()


SERVICES = OrderedDict([
    ("etcd", Service(_etcd, ready=lambda bed: _http_ok(f"http://127.0.0.1:{bed.port('etcd')}/health"))),
    ("apiserver", Service(_apiserver, needs=("etcd",), ready=lambda bed: bed.admin().ready())),
    ("kcm", Service(_kcm, needs=("apiserver",), ready=_kcm_ready)),
    ("csi", Service(_csi, ready=lambda bed: _socket_answers(bed.csi_socket),
                    available=_buildable("csi-file"))),
    ("snapshot-controller",
     Service(_snapshot_controller, prepare=_mint("snapshot-controller"), needs=("apiserver",),
             ready=lambda bed: _listens(bed.port("snapshot-controller")))),
    ("csi-snapshotter",
     Service(_csi_snapshotter, prepare=_mint("csi-snapshotter"), needs=("apiserver", "csi"),
             ready=lambda bed: _listens(bed.port("csi-snapshotter")),
             available=_buildable("csi-file"))),
    ("csi-provisioner",
     Service(_csi_provisioner, prepare=_mint("csi-provisioner"), needs=("apiserver", "csi"),
             env=lambda bed: {"POD_NAMESPACE": "csi-file", "NODE_NAME": "bed"},
             ready=lambda bed: _listens(bed.port("csi-provisioner")),
             available=_buildable("csi-file"))),
    ("kubevirt", Service(_kubevirt, prepare=_mint("kubevirt"), needs=("apiserver", "csi"),
                         ready=lambda bed: _listens(bed.port("kubevirt")),
                         available=lambda o: _buildable("kubevirt")(o) and not realkubevirt.wanted(o))),
    ("virt-api", Service(realkubevirt.virt_api, prepare=realkubevirt.prepare("kubevirt-apiserver"),
                         needs=("apiserver",), ready=lambda bed: _listens(bed.port("virt-api")),
                         available=realkubevirt.wanted)),
    ("virt-controller", Service(realkubevirt.virt_controller, needs=("apiserver", "csi"),
                                prepare=realkubevirt.prepare("kubevirt-controller"),
                                ready=lambda bed: _listens(bed.port("virt-controller")),
                                available=realkubevirt.wanted)),
    ("virt-node", Service(realkubevirt.virt_node, needs=("virt-api", "virt-controller"),
                          prepare=realkubevirt.prepare("kubevirt-controller"),
                          ready=lambda bed: _listens(bed.port("virt-node")),
                          available=realkubevirt.wanted)),
    ("cdi-api", Service(realcdi.apiserver, env=realcdi.apiserver_env, needs=("apiserver",),
                        prepare=realcdi.prepare("cdi-api"),
                        ready=lambda bed: _listens(bed.port("cdi-api")), available=realcdi.wanted)),
    # The stand-in, or real CDI's controller behind the part before.
    ("cdi", Service(_by_cdi(_cdi, realcdi.controller), needs=("apiserver", "csi"),
                    env=_by_cdi(lambda bed: {}, realcdi.controller_env),
                    prepare=_by_cdi(_mint("cdi"), realcdi.prepare_controller),
                    ready=lambda bed: _listens(bed.port("cdi")), available=_buildable("cdi"))),
    ("cdi-node", Service(realcdi.node, needs=("apiserver", "csi"), available=realcdi.wanted)),
    ("webhook", Service(_product("webhook"), env=_product_env, needs=("apiserver",),
                        prepare=_product_prepare("webhook"), ready=_product_ready("webhook"),
                        available=lambda o: product_binary(o, "wukong-webhook") is not None)),
    ("worker", Service(_product("worker"), env=_product_env, needs=("apiserver",),
                       prepare=_product_prepare("worker"), ready=_product_ready("worker"),
                       available=lambda o: product_binary(o, "wukong-worker") is not None)),
    # A second candidate for the worker's lease: part of a bed only when it is named.
    ("worker-2", Service(_product("worker", "worker-2"), env=_product_env, needs=("worker",),
                         prepare=_product_prepare("worker"), ready=_product_ready("worker-2"),
                         available=lambda o: False)),
])


def select(wanted, options):
    """The parts of a bed in starting order. None: all there are, CDI excepted (it is asked for by
    name: most clusters' paths differ with and without it)."""
    if wanted is None:
        return [n for n, s in SERVICES.items() if not n.startswith("cdi") and s.available(options)]
    chosen = set()

    def add(name):
        if name not in SERVICES:
            raise KeyError(f"no part {name}; there are {', '.join(SERVICES)}")
        if name not in chosen:
            chosen.add(name)
            for other in SERVICES[name].needs:
                add(other)

    for name in wanted:
        add(name)
    if "cdi" in chosen and realcdi.wanted(options):
        add("cdi-api")
        add("cdi-node")
    return [n for n in SERVICES if n in chosen]


# Which part of parts.PARTS each service is built from.
_BUILT_FROM = {"etcd": "etcd", "apiserver": "kubernetes", "kcm": "kubernetes", "csi": "csi-file",
               "snapshot-controller": "snapshot", "csi-snapshotter": "snapshot",
               "csi-provisioner": "provisioner", "kubevirt": "kubevirt", "cdi": "cdi"}


def built_from(chosen):
    """Names of the parts to build for these services: kubectl and the snapshot CRDs always."""
    given = {"cdi"} if "cdi-api" in chosen else set()
    return {"kubectl", "snapshot"} | {_BUILT_FROM[n] for n in chosen if n in _BUILT_FROM} - given
