"""The objects that a bed holds before the first test: definitions, identities, classes, the chart."""

import base64
import json
import re
import subprocess
import threading
import time
from pathlib import Path

from . import parts, realcdi, realkubevirt, services
from .kube import ApiError, yaml_documents, yaml_header

# Which part shows that the original runs instead of its stand-in.
REAL = {"virt-api": realkubevirt, "cdi-api": realcdi}
MANIFESTS = parts.CLUSTER / "manifests"
CHART = services.REPOSITORY / "charts" / "wukong"
NAMESPACE = "wukong-system"
RELEASE = "wukong"
WORKLOADS = {"Deployment", "DaemonSet", "StatefulSet", "Pod", "Job", "PodDisruptionBudget",
             "HorizontalPodAutoscaler", "ServiceMonitor", "PodMonitor", "PrometheusRule", "NetworkPolicy"}


def apply_all(bed, documents, namespace=None):
    """Applies YAML documents on a few connections at once; the first failure is raised."""
    queue, failures, lock = list(documents)[::-1], [], threading.Lock()
    admin = bed.admin()

    def work():
        while True:
            with lock:
                if not queue or failures:
                    break
                document = queue.pop()
            try:
                _apply_patiently(admin, document, namespace)
            except Exception as failure:  # raised below, in the caller's thread
                with lock:
                    failures.append(failure)
        admin.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _apply_patiently(admin, document, namespace):
    # A CRD's path answers 404 for a moment after it was established, on the very first requests.
    end = time.monotonic() + 10
    while True:
        try:
            return admin.apply_yaml(document, namespace)
        except ApiError as error:
            if error.code not in (404, 429, 503) or time.monotonic() > end:
                raise
            time.sleep(0.05)


def _documents_of(paths):
    for path in paths:
        yield from yaml_documents(Path(path).read_text())


def crd_files(bed):
    """The CustomResourceDefinitions of the parts that this bed runs."""
    chosen = bed.parts()
    files = sorted((parts.part("snapshot").output() / "crds").glob("*.yaml"))
    for part in _played(bed):
        files += sorted((parts.CLUSTER / part / "crds").glob("*.yaml"))
    return files


def definitions(bed, chart=None):
    """CRDs first, before the controller-manager starts: its garbage collector then knows them from
    its first discovery on, instead of 30 seconds later."""
    documents = list(_documents_of(crd_files(bed)))
    if chart:
        documents += chart.finish().definitions
    apply_all(bed, documents)
    names = [yaml_header(d)[2] for d in documents]
    for part, real in REAL.items():
        for obj in real.definitions(bed) if part in bed.parts() else []:
            bed.admin().apply(obj)
            names.append(obj["metadata"]["name"])
    wait_established(bed, names)


def wait_established(bed, names, timeout_s=30):
    """Returns when each named CRD is served."""
    wanted, end = set(names), time.monotonic() + timeout_s
    while True:
        items = bed.admin().list("apiextensions.k8s.io/v1", "CustomResourceDefinition")
        served = {c["metadata"]["name"] for c in items
                  if any(k["type"] == "Established" and k["status"] == "True"
                         for k in (c.get("status") or {}).get("conditions") or [])}
        if wanted <= served:
            bed.admin().forget_kinds()
            return
        if time.monotonic() > end:
            raise TimeoutError(f"not established after {timeout_s} s: {', '.join(sorted(wanted - served))}")
        time.sleep(0.03)


def ca_bundle(bed):
    return base64.b64encode((bed.pki / "ca.crt").read_bytes()).decode()


def _filled(bed, text, part):
    """Replaces ${PORT} and ${CA_BUNDLE}; any other ${…} is a mistake in the manifest."""
    values = {"PORT": str(bed.port(part)), "CA_BUNDLE": ca_bundle(bed)}
    return re.sub(r"\$\{([A-Z_]+)\}", lambda m: values[m.group(1)], text)


def _played(bed):
    """The originals that a stand-in plays in this bed."""
    chosen = bed.parts()
    return [p for p in ("kubevirt", "cdi") if p in chosen and (p != "cdi" or "cdi-api" not in chosen)]


def base(bed, chart=None):
    """Identities, rights and classes of the parts that this bed runs."""
    chosen = bed.parts()
    apply_all(bed, _documents_of(sorted(MANIFESTS.glob("1?-*.yaml"))))
    documents = list(_documents_of(sorted(MANIFESTS.glob("[2-9]?-*.yaml"))))
    for part in _played(bed):
        text = (MANIFESTS / f"{part}.yaml").read_text()
        documents += yaml_documents(_filled(bed, text, part))
    if chart:
        documents += chart.rest
    # What others live in or refer to comes first.
    first = [d for d in documents if yaml_header(d)[1] in ("Namespace", "ServiceAccount")]
    apply_all(bed, [d for d in first if yaml_header(d)[1] == "Namespace"])
    apply_all(bed, [d for d in first if yaml_header(d)[1] == "ServiceAccount"], NAMESPACE)
    apply_all(bed, [d for d in documents if d not in first], NAMESPACE)
    for part, real in REAL.items():
        if part in chosen:
            real.base(bed)


def after(bed):
    """What only works once the parts answer: the stand-ins' admission webhooks and their APIService,
    and the classes of the bed that need them."""
    documents = []
    for part in _played(bed):
        for path in sorted((parts.CLUSTER / part / "manifests").glob("*.yaml")):
            documents += yaml_documents(_filled(bed, path.read_text(), part))
    apply_all(bed, documents)
    for part, real in REAL.items():
        if part in bed.parts():
            real.after(bed)
    if "kubevirt" in bed.parts() or "virt-api" in bed.parts():
        _wait_api_service(bed, "v1.subresources.kubevirt.io")


def _wait_api_service(bed, name, timeout_s=30):
    end = time.monotonic() + timeout_s
    while True:
        service = bed.admin().get("apiregistration.k8s.io/v1", "APIService", None, name)
        for condition in service.get("status", {}).get("conditions") or []:
            if condition["type"] == "Available":
                if condition["status"] == "True":
                    return
                why = condition.get("message", "")
                break
        else:
            why = "no condition yet"
        if time.monotonic() > end:
            raise TimeoutError(f"APIService {name} is not available after {timeout_s} s: {why}")
        time.sleep(0.05)


# ---- the chart ----------------------------------------------------------------------------------


class Chart:
    """`helm template` of charts/wukong as a user would install it, run beside the control plane's
    start. Workloads are left out: their command lines are what the bed runs as processes."""

    def __init__(self, bed):
        self.bed = bed
        from .bed import which
        values = {"image.registry": "registry.example.com", "webhook.service.type": "ExternalName", "webhook.service.externalName": "localhost",
                  "webhook.service.port": bed.port("webhook"),
                  "webhook.service.targetPort": bed.port("webhook"),
                  "webhook.metricsPort": bed.port("webhook-health"),
                  "worker.metricsPort": bed.port("worker-health"),
                  # Tests of one bed run beside each other, and some hold their guest frozen.
                  "worker.maxFrozen": 0}
        values.update(bed.config["options"].get("chart_values", {}))
        command = [str(which("kubectl", "helm")), "template", RELEASE, str(CHART),
                   "--namespace", NAMESPACE, "--kube-version", parts.KUBERNETES_VERSION, "--skip-tests"]
        for key, value in values.items():
            command += ["--set", f"{key}={value}"]
        # helm keeps its caches where HOME is; the bed's folder keeps it off the user's own.
        home = bed.data / "helm"
        home.mkdir(exist_ok=True)
        self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, text=True,
                                      env={"HOME": str(home), "PATH": "/usr/bin:/bin"})

    @staticmethod
    def exists():
        return (CHART / "Chart.yaml").is_file()

    def finish(self):
        """Waits for helm and sorts what it printed."""
        out, err = self.child.communicate(timeout=60)
        (self.bed.logs / "chart.yaml").write_text(out)
        if self.child.returncode != 0:
            raise RuntimeError(f"helm template: {err.strip()}")
        self.definitions, self.rest = [], []
        for document in yaml_documents(out):
            _, kind, name, _ = yaml_header(document)
            if kind == "CustomResourceDefinition":
                self.definitions.append(document)
            elif kind == "Deployment":
                for component in ("webhook", "worker"):
                    if name.endswith(f"-{component}"):
                        self._remember(component, document)
            elif kind.endswith("WebhookConfiguration") and "webhook" not in self.bed.parts():
                # Without the webhook its registration would only refuse every Wukong.
                continue
            elif kind not in WORKLOADS:
                self.rest.append(document)
        return self

    def _remember(self, component, document):
        account = re.search(r"^ *serviceAccountName: *(\S+)", document, re.MULTILINE).group(1)
        self.bed.config.setdefault("accounts", {})[component] = [NAMESPACE, account]
        self.bed.config.setdefault("chart_args", {})[component] = container_args(document)
        self.bed.save()


def container_args(document):
    """The strings of the first `args:` list of a rendered workload, in block style."""
    lines = document.splitlines()
    start = next((i for i, line in enumerate(lines) if line.strip() == "args:"), None)
    arguments = []
    for line in lines[start + 1:] if start is not None else []:
        item = re.match(r"^ *- (.*)$", line)
        if not item or line.index("-") < lines[start].index("args:"):
            break
        text = item.group(1).strip()
        if text[:1] == '"':
            text = json.loads(text)
        elif text[:1] == "'":
            text = text[1:-1].replace("''", "'")
        arguments.append(text)
    return arguments


def product_identity(bed, component):
    """A kubeconfig with the token of the ServiceAccount that the chart gives to the component."""
    port = bed.config.get("proxied", {}).get(component)
    bed.service_account_kubeconfig(*bed.config["accounts"][component], port=port)


def product_command(bed, component, instance=None):
    """The command line of the chart's Deployment, with the bed's kubeconfig. A further instance of
    the same component gets a metrics port of its own."""
    program = f"wukong-{component}"
    binary = services.product_binary(bed.config["options"], program)
    if binary is None:
        raise FileNotFoundError(f"{program} is not built")
    arguments = list(bed.config["chart_args"][component])
    if instance:
        arguments[arguments.index("--metrics-port") + 1] = str(bed.port(f"{instance}-health"))
    if component == "webhook":
        # In a Pod it serves on all addresses.
        arguments += ["--listen-address", "127.0.0.1"]
    kubeconfig = bed.kubeconfigs / ".".join([*bed.config["accounts"][component], "kubeconfig"])
    return [Path(binary).resolve(), *arguments, "--kubeconfig", kubeconfig]
