"""The objects that a bed holds before the first test: definitions, identities, classes, the chart."""

import base64
import re
import subprocess
import threading
import time
from pathlib import Path

from . import parts, services
from .kube import ApiError, yaml_documents, yaml_header

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
    options, chosen = bed.config["options"], bed.parts()
    files = sorted((parts.part("snapshot").output() / "crds").glob("*.yaml"))
    if options.get("kubevirt_crds"):
        files += sorted(Path(options["kubevirt_crds"]).glob("*.yaml"))
    elif "kubevirt" in chosen:
        files += sorted((parts.CLUSTER / "kubevirt" / "crds").glob("*.yaml"))
    if "cdi" in chosen:
        files += sorted((parts.CLUSTER / "cdi" / "crds").glob("*.yaml"))
    return files


def definitions(bed):
    """CRDs first, before the controller-manager starts: its garbage collector then knows them from
    its first discovery on, instead of 30 seconds later."""
    documents = list(_documents_of(crd_files(bed)))
    if "webhook" in bed.parts() or "worker" in bed.parts() or bed.config["options"].get("chart"):
        documents += _documents_of(_chart_crds())
    apply_all(bed, documents)
    wait_established(bed, [yaml_header(d)[2] for d in documents])


def _chart_crds():
    return sorted(CHART.glob("crds/*.yaml")) + sorted((CHART / "files").glob("crds/*.yaml"))


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


def base(bed):
    """Identities, rights and classes of the parts that this bed runs."""
    chosen = bed.parts()
    apply_all(bed, _documents_of(sorted(MANIFESTS.glob("1?-*.yaml"))))
    documents = list(_documents_of(sorted(MANIFESTS.glob("[2-9]?-*.yaml"))))
    for part in ("kubevirt", "cdi"):
        if part in chosen:
            text = (MANIFESTS / f"{part}.yaml").read_text()
            documents += yaml_documents(_filled(bed, text, part))
    namespaces = [d for d in documents if yaml_header(d)[1] == "Namespace"]
    apply_all(bed, namespaces)
    apply_all(bed, [d for d in documents if d not in namespaces])


def after(bed):
    """What only works once the parts answer: the stand-ins' admission webhooks and their APIService,
    and the classes of the bed that need them."""
    documents = []
    for part in ("kubevirt", "cdi"):
        if part in bed.parts():
            for path in sorted((parts.CLUSTER / part / "manifests").glob("*.yaml")):
                documents += yaml_documents(_filled(bed, path.read_text(), part))
    apply_all(bed, documents)
    if "kubevirt" in bed.parts():
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


class ChartRender:
    """`helm template` of charts/wukong, run beside the control plane's start."""

    def __init__(self, bed):
        self.bed = bed
        from .bed import which
        values = {"webhook.service.type": "ExternalName", "webhook.service.externalName": "localhost",
                  "webhook.service.port": str(bed.port("webhook"))}
        values.update(bed.config["options"].get("chart_values", {}))
        command = [str(which("kubectl", "helm")), "template", RELEASE, str(CHART),
                   "--namespace", NAMESPACE, "--kube-version", parts.KUBERNETES_VERSION]
        for key, value in values.items():
            command += ["--set", f"{key}={value}"]
        # helm keeps its caches where HOME is; the bed's folder keeps it off the user's own.
        home = bed.data / "helm"
        home.mkdir(exist_ok=True)
        self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, text=True,
                                      env={"HOME": str(home), "PATH": "/usr/bin:/bin"})

    def apply(self):
        out, err = self.child.communicate(timeout=60)
        (self.bed.logs / "chart.yaml").write_text(out)
        if self.child.returncode != 0:
            raise RuntimeError(f"helm template: {err.strip()}")
        documents = [d for d in yaml_documents(out) if _wanted(d)]
        first = [d for d in documents if yaml_header(d)[1] in
                 ("CustomResourceDefinition", "Namespace", "ServiceAccount")]
        apply_all(self.bed, first, NAMESPACE)
        wait_established(self.bed, [yaml_header(d)[2] for d in first
                                    if yaml_header(d)[1] == "CustomResourceDefinition"])
        apply_all(self.bed, [d for d in documents if d not in first], NAMESPACE)


def _wanted(document):
    _, kind, _, _ = yaml_header(document)
    # Workloads run as processes of the bed; hooks and tests belong to helm's own life cycle.
    return kind not in WORKLOADS and "helm.sh/hook" not in document


def _chart_service_account(bed, component):
    """(namespace, name) of the ServiceAccount that the chart gives to this component."""
    chosen = None
    for account in bed.admin().list("v1", "ServiceAccount", NAMESPACE):
        labels = account["metadata"].get("labels") or {}
        name = account["metadata"]["name"]
        if labels.get("app.kubernetes.io/component") == component or name == f"{RELEASE}-{component}":
            chosen = name
    if not chosen:
        raise RuntimeError(f"the chart made no ServiceAccount for {component} in {NAMESPACE}")
    return NAMESPACE, chosen


def product_identity(bed, program):
    component = program.removeprefix("wukong-")
    namespace, name = _chart_service_account(bed, component)
    bed.service_account_kubeconfig(namespace, name)
    bed.config.setdefault("accounts", {})[component] = [namespace, name]
    bed.save()


def product_command(bed, program):
    component = program.removeprefix("wukong-")
    binary = services.product_binary(bed.config["options"], program)
    if binary is None:
        raise FileNotFoundError(f"{program} is not built")
    kubeconfig = bed.kubeconfigs / ".".join([*bed.config["accounts"][component], "kubeconfig"])
    command = [Path(binary).resolve(), "--kubeconfig", kubeconfig, "--namespace", NAMESPACE,
               "--health-listen", f"127.0.0.1:{bed.port(component + '-health')}"]
    if component == "webhook":
        command += ["--listen", f"127.0.0.1:{bed.port('webhook')}"]
    return command
