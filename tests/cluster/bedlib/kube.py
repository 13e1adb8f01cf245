"""A small HTTP client for the API server: keep-alive, one connection per thread, plain dicts.

Objects are addressed by apiVersion and kind as they are written in manifests; the plural names come
from the API server's aggregated discovery document, read once and again when a kind is unknown.
"""

import http.client
import json
import re
import socket
import ssl
import threading
import time
import urllib.parse

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
DISCOVERY = ("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
             "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList")

# What a connection may die of without the server being broken.
CONNECTION_ERRORS = (http.client.HTTPException, ConnectionError, socket.timeout, ssl.SSLError, OSError)


class ApiError(Exception):
    """A refusal by the API server, with the fields of its Status object."""

    def __init__(self, code, body, what):
        status = body if isinstance(body, dict) else {}
        self.code = code
        self.reason = status.get("reason", "")
        self.status = status
        self.message = status.get("message") or (body if isinstance(body, str) else "")
        super().__init__(f"{what}: {code} {self.reason}: {self.message}")

    def causes(self):
        return (self.status.get("details") or {}).get("causes") or []


class Kube:
    """One identity at one API server."""

    def __init__(self, port, ca, certificate=None, key=None, token=None, token_file=None,
                 timeout_s=30.0, user_agent="wukong-bed"):
        self.port = port
        self.timeout_s = timeout_s
        self.user_agent = user_agent
        self.token = token
        self.token_file = token_file
        self.context = ssl.create_default_context(cafile=str(ca))
        if certificate:
            self.context.load_cert_chain(str(certificate), str(key))
        self._local = threading.local()
        self._kinds = {}
        self._kinds_lock = threading.Lock()

    # ---- requests -------------------------------------------------------------------------------

    def _connection(self, fresh):
        connection = getattr(self._local, "connection", None)
        if fresh or connection is None:
            if connection is not None:
                connection.close()
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=self.context,
                                                     timeout=self.timeout_s)
            self._local.connection = connection
            return connection, True
        return connection, connection.sock is None

    def close(self):
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def _headers(self, content_type, accept):
        headers = {"Accept": accept, "User-Agent": self.user_agent}
        token = self.token
        if self.token_file:
            with open(self.token_file, encoding="ascii") as f:
                token = f.read().strip()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if content_type:
            headers["Content-Type"] = content_type
        return headers

    def raw(self, method, path, body=None, content_type=JSON, accept=JSON, headers=None):
        """(status code, body bytes, headers). Retried once when a kept-alive connection had died."""
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        all_headers = self._headers(content_type if body is not None else None, accept)
        all_headers.update(headers or {})
        fresh = False
        while True:
            connection, is_new = self._connection(fresh)
            try:
                connection.request(method, path, body=body, headers=all_headers)
                response = connection.getresponse()
                data = response.read()
                return response.status, data, response.headers
            except CONNECTION_ERRORS as failure:
                connection.close()
                self._local.connection = None
                stale = isinstance(failure, (http.client.RemoteDisconnected, ConnectionError,
                                             ssl.SSLEOFError))
                if is_new or not stale:
                    raise
                fresh = True

    def request(self, method, path, body=None, content_type=JSON, headers=None):
        """The decoded answer; ApiError for anything but 2xx."""
        code, data, _ = self.raw(method, path, body, content_type, headers=headers)
        try:
            answer = json.loads(data) if data else None
        except json.JSONDecodeError:
            answer = data.decode(errors="replace")
        if not 200 <= code < 300:
            raise ApiError(code, answer, f"{method} {path}")
        return answer

    def ready(self):
        try:
            code, _, _ = self.raw("GET", "/readyz")
            return code == 200
        except CONNECTION_ERRORS:
            return False

    # ---- kinds ----------------------------------------------------------------------------------

    def _discover(self):
        kinds = {}
        for root in ("/api", "/apis"):
            _, data, _ = self.raw("GET", root, accept=DISCOVERY)
            for group in json.loads(data).get("items", []):
                name = (group.get("metadata") or {}).get("name", "")
                for version in group.get("versions", []):
                    api = f"{name}/{version['version']}" if name else version["version"]
                    for resource in version.get("resources", []):
                        kind = (resource.get("responseKind") or {}).get("kind")
                        if kind:
                            kinds.setdefault((api, kind), (resource["resource"],
                                                           resource.get("scope") == "Namespaced"))
        self._kinds = kinds

    def forget_kinds(self):
        with self._kinds_lock:
            self._kinds = {}

    def resource(self, api_version, kind):
        """(plural, namespaced); reads discovery again for an unknown kind, for up to 10 s."""
        end = time.monotonic() + 10
        while True:
            with self._kinds_lock:
                found = self._kinds.get((api_version, kind))
                if found:
                    return found
                self._discover()
                found = self._kinds.get((api_version, kind))
                if found:
                    return found
            if time.monotonic() > end:
                raise KeyError(f"the API server has no kind {kind} in {api_version}")
            time.sleep(0.1)

    def path(self, api_version, kind, namespace=None, name=None, subresource=None):
        plural, namespaced = self.resource(api_version, kind)
        root = "/api/" if "/" not in api_version else "/apis/"
        parts = [root + api_version]
        if namespaced and namespace:
            parts.append(f"namespaces/{namespace}")
        elif namespaced and name:
            raise ValueError(f"{kind} {name} needs a namespace")
        parts.append(plural)
        if name:
            parts.append(urllib.parse.quote(name, safe=""))
        if subresource:
            parts.append(subresource)
        return "/".join(parts)

    def path_of(self, obj, subresource=None, with_name=True):
        meta = obj["metadata"]
        return self.path(obj["apiVersion"], obj["kind"], meta.get("namespace"),
                         meta["name"] if with_name else None, subresource)

    # ---- verbs ----------------------------------------------------------------------------------

    def create(self, obj, dry_run=False):
        _, namespaced = self.resource(obj["apiVersion"], obj["kind"])
        path = self.path(obj["apiVersion"], obj["kind"],
                         obj["metadata"].get("namespace") if namespaced else None)
        return self.request("POST", path + ("?dryRun=All" if dry_run else ""), obj)

    def get(self, api_version, kind, namespace, name):
        return self.request("GET", self.path(api_version, kind, namespace, name))

    def find(self, api_version, kind, namespace, name):
        """Like get, but None when it does not exist."""
        try:
            return self.get(api_version, kind, namespace, name)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    def list(self, api_version, kind, namespace=None, selector=None, field_selector=None):
        query = {k: v for k, v in (("labelSelector", selector), ("fieldSelector", field_selector)) if v}
        path = self.path(api_version, kind, namespace)
        if query:
            path += "?" + urllib.parse.urlencode(query)
        return self.request("GET", path)["items"]

    def update(self, obj, subresource=None):
        return self.request("PUT", self.path_of(obj, subresource), obj)

    def patch(self, api_version, kind, namespace, name, body, subresource=None, content_type=None):
        """A merge patch for a dict, a JSON patch for a list."""
        if content_type is None:
            content_type = JSON_PATCH if isinstance(body, list) else MERGE_PATCH
        return self.request("PATCH", self.path(api_version, kind, namespace, name, subresource), body,
                            content_type)

    def apply(self, obj, manager="wukong-bed", force=True):
        """Server-side apply of a dict."""
        return self._apply_at(self.path_of(obj), json.dumps(obj), manager, force)

    def _apply_at(self, path, body, manager, force):
        query = urllib.parse.urlencode({"fieldManager": manager, "force": str(force).lower()})
        return self.request("PATCH", f"{path}?{query}", body, APPLY_PATCH)

    def apply_yaml(self, text, namespace=None, manager="wukong-bed"):
        """Server-side apply of one YAML document, sent as it is. `namespace` is used where the
        document names none. Returns the object as stored."""
        api_version, kind, name, own_namespace = yaml_header(text)
        path = self.path(api_version, kind, own_namespace or namespace, name)
        return self._apply_at(path, text, manager, True)

    def delete(self, api_version, kind, namespace, name, propagation=None, missing_ok=True):
        body = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if propagation:
            body["propagationPolicy"] = propagation
        try:
            return self.request("DELETE", self.path(api_version, kind, namespace, name), body)
        except ApiError as error:
            if error.code == 404 and missing_ok:
                return None
            raise

    def mint_token(self, namespace, name, seconds=86400):
        """A ServiceAccount's token, minted through TokenRequest."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                "spec": {"expirationSeconds": seconds}}
        return self.request("POST", path, body)["status"]["token"]


_DOCUMENT = re.compile(r"^---(?:[ \t].*)?$", re.MULTILINE)


def yaml_documents(text):
    """The documents of a multi-document YAML text that are not empty."""
    for document in _DOCUMENT.split(text):
        if any(line.strip() and not line.lstrip().startswith("#") for line in document.splitlines()):
            yield document


def yaml_header(text):
    """(apiVersion, kind, name, namespace) of a block-style Kubernetes manifest.

    The standard library has no YAML parser and the API server takes YAML as it is: all that is
    needed here is its address. Top-level keys stand in column 0, metadata's own keys at the first
    indentation after it."""
    top, meta, inside, indent = {}, {}, False, None
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        column = len(line) - len(line.lstrip(" "))
        key, _, value = line.strip().partition(":")
        value = value.split(" #")[0].strip().strip("\"'")
        if column == 0:
            inside, indent = key == "metadata", None
            top.setdefault(key, value)
        elif inside:
            if indent is None:
                indent = column
            if column == indent:
                meta.setdefault(key, value)
    if not (top.get("apiVersion") and top.get("kind") and meta.get("name")):
        raise ValueError("a manifest without apiVersion, kind or metadata.name:\n" + text[:300])
    return top["apiVersion"], top["kind"], meta["name"], meta.get("namespace")
