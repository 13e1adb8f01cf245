"""Flux and Argo CD on a bed: the real kustomize-controller and the real gitops-engine.

Flux's source-controller is no Go module. What the kustomize-controller needs of it is an object with
`status.artifact` and a tar file behind its URL: `Flux.commit` makes both, as the controller's own tests
do (internal/controller/suite_test.go of kustomize-controller). What reaches the cluster and when
(stages, dry runs, health, pruning) is the kustomize-controller's doing alone.
"""

import functools
import hashlib
import http.server
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import threading
from pathlib import Path

from . import install, parts
from .kube import yaml_documents

SOURCE_API = "source.toolkit.fluxcd.io/v1"
KUSTOMIZE_API = "kustomize.toolkit.fluxcd.io/v1"
REQUESTED = "reconcile.fluxcd.io/requestedAt"
HEALTH = parts.CLUSTER.parent.parent / "docs" / "argocd" / "health.lua"


def _source_definition(kind, plural):
    """source-controller's kind with an open schema: only its status.artifact is read here."""
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.source.toolkit.fluxcd.io"},
            "spec": {"group": "source.toolkit.fluxcd.io", "scope": "Namespaced",
                     "names": {"kind": kind, "plural": plural},
                     "versions": [{"name": "v1", "served": True, "storage": True,
                                   "subresources": {"status": {}},
                                   "schema": {"openAPIV3Schema": {
                                       "type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]}}


def _admin_account(bed, namespace, name):
    """Both controllers are cluster-admin in their upstream manifests (kustomize-controller
    config/rbac/cluster_role_binding.yaml; argo-cd manifests/cluster-rbac/application-controller)."""
    admin = bed.admin()
    admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    admin.apply({"apiVersion": "v1", "kind": "ServiceAccount",
                 "metadata": {"name": name, "namespace": namespace}})
    admin.apply({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
                 "metadata": {"name": f"{namespace}-{name}"},
                 "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
                             "name": "cluster-admin"},
                 "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}]})
    return bed.service_account_kubeconfig(namespace, name)


def write_folder(folder, files):
    """{name: object or objects} as YAML files; JSON is YAML."""
    for old in Path(folder).glob("*.yaml"):
        old.unlink()
    for name, content in files.items():
        many = content if isinstance(content, list) else [content]
        text = "---\n".join(json.dumps(one, indent=2) + "\n" for one in many)
        (Path(folder) / name).write_text(text)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Flux:
    """One kustomize-controller and the folder that it fetches commits from."""

    def __init__(self, bed):
        self.bed, self.kube = bed, bed.admin()
        self.folder = Path(tempfile.mkdtemp(prefix="wukong-flux-"))
        self.server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(Quiet, directory=str(self.folder)))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        for kind, plural in (("GitRepository", "gitrepositories"), ("Bucket", "buckets"),
                             ("OCIRepository", "ocirepositories")):
            self.kube.apply(_source_definition(kind, plural))
        crds = sorted((parts.part("flux").output() / "crds").glob("*.yaml"))
        for document in [d for path in crds for d in yaml_documents(path.read_text())]:
            self.kube.apply_yaml(document)
        install.wait_established(bed, ["kustomizations.kustomize.toolkit.fluxcd.io",
                                       "gitrepositories.source.toolkit.fluxcd.io"])
        self.kube.forget_kinds()
        kubeconfig = _admin_account(bed, "flux-system", "kustomize-controller")
        self.log = open(bed.logs / "kustomize-controller.log", "w", encoding="utf-8")
        environment = {"PATH": os.environ["PATH"], "KUBECONFIG": str(kubeconfig), "HOME": str(self.folder),
                       "RUNTIME_NAMESPACE": "flux-system", "TMPDIR": str(self.folder)}
        self.process = subprocess.Popen(
            [parts.binary("flux", "kustomize-controller"), "--metrics-addr=0", "--health-addr=0",
             "--log-level=info", "--requeue-dependency=1s"],
            env=environment, stdout=self.log, stderr=self.log)

    def commit(self, namespace, name, files):
        """A new revision of the repository `name`. Returns the revision."""
        data = io.BytesIO()
        with tempfile.TemporaryDirectory() as work, tarfile.open(fileobj=data, mode="w:gz") as archive:
            write_folder(work, files)
            for path in sorted(Path(work).iterdir()):
                archive.add(path, path.name)
        digest = hashlib.sha256(data.getvalue()).hexdigest()
        file = f"{namespace}-{name}-{digest[:12]}.tar.gz"
        (self.folder / file).write_bytes(data.getvalue())
        self.kube.apply({"apiVersion": SOURCE_API, "kind": "GitRepository",
                         "metadata": {"name": name, "namespace": namespace}, "spec": {}})
        revision = f"main@sha1:{digest[:40]}"
        self.kube.patch(SOURCE_API, "GitRepository", namespace, name, {"status": {"artifact": {
            "path": file, "url": f"http://127.0.0.1:{self.server.server_port}/{file}",
            "revision": revision, "digest": f"sha256:{digest}", "size": len(data.getvalue()),
            "lastUpdateTime": "2026-01-01T00:00:00Z"}}}, subresource="status")
        return revision

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        self.server.shutdown()
        self.server.server_close()
        shutil.rmtree(self.folder, ignore_errors=True)


def kustomization(namespace, name, **spec):
    return {"apiVersion": KUSTOMIZE_API, "kind": "Kustomization",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"interval": "1h", "retryInterval": "1s", "path": "./", "prune": True, "wait": True,
                     "timeout": "90s", "sourceRef": {"kind": "GitRepository", "name": name}, **spec}}


class Argo:
    """Argo CD's engine over a folder, one sync at a time."""

    def __init__(self, bed, namespace):
        self.namespace = namespace
        self.kubeconfig = _admin_account(bed, "argocd", "argocd-application-controller")

    def sync(self, files, server_side, timeout_s=150):
        """(exit code, what argo-sync found)."""
        with tempfile.TemporaryDirectory() as folder:
            write_folder(folder, files)
            command = [parts.binary("argo", "argo-sync"), "--kubeconfig", self.kubeconfig,
                       "--namespace", self.namespace, "--folder", folder, "--health", HEALTH, "--prune"]
            done = subprocess.run([*map(str, command), *(["--server-side"] if server_side else [])],
                                  capture_output=True, text=True, timeout=timeout_s, check=False)
        try:
            return done.returncode, json.loads(done.stdout)
        except ValueError:
            raise AssertionError(f"argo-sync said: {done.stdout}{done.stderr}") from None
