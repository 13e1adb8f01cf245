"""Proves that no object that the real API server stores, of any kind that the worker or the webhook watches, stops
either for others: a character U+0000, 20,001 members, a nesting of 101, 1.4 MiB, bytes that are no UTF-8, and
wrong types in every field that we read. The kinds and the fields are those of worker/observe/kinds.{c,h}; the
webhook's are among them.

What the API server does not store is tried all the same, and counted: built-in kinds hold no unknown field, no
wrong type and 256 KiB of annotations; bytes that are no UTF-8 arrive as U+FFFD. Those stand in tests/fuzz
(watch) and tests/unit/kube. Kinds of a CustomResourceDefinition hold everything while their schema is open, as
one that an older release has left may have been; it is open here while they are made, and shut again.
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests/cluster"))

from bedlib import cdis, harness, objects, vms  # noqa: E402
from bedlib.kube import ApiError  # noqa: E402

harness.quick_storage()
CRD_API = "apiextensions.k8s.io/v1"
MIB = 1 << 20
# Not an object of tenants: the one ConfigMap that the webhook writes.
LEFT_OUT = {"ConfigMap"}
# Real controllers of these read them by fixed types and would see nothing while one is wrong: then it is they
# who stop. Wrong ones go again before the clone is made; that we live beside them is proved first.
TYPED = {"VirtualMachine", "VirtualMachineInstance", "VolumeSnapshot", "VolumeSnapshotContent",
         "VolumeSnapshotClass", "VirtualMachineSnapshot", "VirtualMachineSnapshotContent", "DataVolume",
         "StorageProfile", "VolumeGroupSnapshot", "VolumeGroupSnapshotContent", "VolumeGroupSnapshotClass"}


def watched_kinds():
    """{kind: (apiVersion, namespaced, [path of each field that is read])}, out of the worker's own table."""
    words = {}
    for header in ("worker/observe/resources.h", "common/wukong/source/facts.h", "common/wukong/api/spec.h",
                   "common/wukong/api/policy_names.h"):
        text = (ROOT / header).read_text().replace("\\\n", " ")
        words.update({name: re.findall(r'"([^"]*)"', value)
                      for name, value in re.findall(r"#define (\w+)((?:\s+\"[^\"]*\",?)+)", text)})
    table = (ROOT / "worker/observe/resources.c").read_text()
    words.update({name: re.findall(r'"([^"]*)"', value)
                  for name, value in re.findall(r"#define (\w+)((?:\s+\"[^\"]*\",?)+)", table)})
    resources = dict(re.findall(r"#define (RESOURCE_\w+)\s+([^\n]*)", (
        ROOT / "common/wukong/api/resources.h").read_text().replace("\\\n", " ")))
    found = {}
    for row in re.split(r"\n    \[KIND_", table[table.index("worker_kinds[ALL_KINDS] ="):])[1:]:
        name, _, rest = row.partition("] = {")
        if name == "REVISION":
            break
        head, _, more = rest.partition(".fields")
        head = re.sub(r"\bRESOURCE_\w+", lambda word: resources[word[0]], head)
        texts = []
        for quoted, word in re.findall(r'"([^"]*)"|\b([A-Z][A-Z_]+)\b', head):
            texts += words.get(word, []) if word else [quoted]
        group, version, _, kind = texts[:4]
        fields = [path for word in re.findall(r"\b[A-Z][A-Z_]+\b", more.partition("}")[0])
                  for path in words.get(word, [])]
        found[kind] = (f"{group}/{version}" if group else version, "true" not in head, fields)
    return found


def deep(levels):
    tree = 1
    for _ in range(levels):
        tree = {"a": tree}
    return tree


def wrong(fields, leaf_of):
    """An object's parts with another type at each path."""
    tree = {}
    for path in fields:
        steps = re.sub(r"(\{\}|\[\])$", "", path).split(".")
        if steps[0] == "metadata" or "[" in path.removesuffix("[]"):
            continue
        at = tree
        for step in steps[:-1]:
            at = at.setdefault(step, {}) if isinstance(at, dict) else {}
        if isinstance(at, dict):
            at[steps[-1]] = leaf_of(path)
    return tree


class HostileObjects(cdis.OnCdi, vms.CloneCase):
    needs = ("cdi", *vms.PARTS)

    def setUp(self):
        super().setUp()
        self.hers = self.make_namespace(self.namespace + "-m")
        self.kinds = {k: v for k, v in watched_kinds().items() if k not in LEFT_OUT}
        self.stored, self.refused, self.shut = [], [], {}
        self.pids = self.processes()

    def processes(self):
        return {name: self.bed.process(name).pid() for name in ("webhook", "worker")}

    def name_of(self, kind, what):
        return f"{self.hers}-{kind.lower()}-{what}"

    def body(self, kind, name):
        api, namespaced, _ = self.kinds[kind]
        one = {"StorageClass": lambda: objects.storage_class(name),
               "VolumeSnapshotClass": lambda: objects.snapshot_class(name, driver="nobody.example"),
               "VolumeGroupSnapshotClass": lambda: objects.group_class(name, driver="nobody.example"),
               "PersistentVolumeClaim": lambda: objects.claim(self.hers, name),
               "VolumeSnapshot": lambda: objects.snapshot(self.hers, name, "none"),
               "VirtualMachine": lambda: vms.vm(self.hers, name, vms.machine_spec({"root": "none"}),
                                                   run_strategy="Halted"),
               "VirtualMachineInstance": lambda: vms.vmi(self.hers, name, vms.machine_spec({"root": "none"})),
               "Wukong": lambda: objects.wukong(self.hers, name, {"cloneSource": {
                   "type": "vmi", "vmiName": "nothing"}})}.get(kind, dict)()
        one.update({"apiVersion": api, "kind": kind})
        meta = one.setdefault("metadata", {})
        meta["name"] = name
        if namespaced:
            meta["namespace"] = self.hers
        source = {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": "none"}
        one.setdefault("spec", {
            "CSIDriver": {"attachRequired": False},
            "VolumeSnapshotContent": {
                "deletionPolicy": "Retain", "driver": "nobody.example", "source": {"snapshotHandle": "none"},
                "volumeSnapshotRef": {"name": "none", "namespace": self.hers}},
            "VolumeGroupSnapshot": {"source": {"selector": {"matchLabels": {"nobody": "here"}}}},
            "VolumeGroupSnapshotContent": {
                "deletionPolicy": "Retain", "driver": "nobody.example", "source": {"groupSnapshotHandles": {
                    "volumeGroupSnapshotHandle": "none", "volumeSnapshotHandles": ["none"]}},
                "volumeGroupSnapshotRef": {"name": "none", "namespace": self.hers}},
            "VirtualMachineSnapshot": {"source": source},
            "VirtualMachineSnapshotContent": {"source": {}, "virtualMachineSnapshotName": "none"},
            "DataVolume": {"source": {"pvc": {"namespace": self.hers, "name": "none"}}, "storage": {}},
            "StorageProfile": {}}.get(kind, {}))
        if not one["spec"] and kind != "StorageProfile":
            del one["spec"]
        if kind == "Event":
            one.update({"involvedObject": {"kind": "PersistentVolumeClaim", "namespace": self.hers, "name": "c",
                                           "uid": "u"}, "reason": "ProvisioningFailed", "message": "m"})
        if kind == "ClonePolicy":
            one["spec"] = {"match": {"target": {"namespaceSelector": {"matchLabels": {"nobody": "here"}}}}}
        return one

    def put(self, kind, what, one, status=None):
        """Stores it, or says that the API server does not."""
        api = self.kinds[kind][0]
        name = one["metadata"]["name"]
        try:
            self.cleanup_object(one)
            if status is not None:
                self.kube.patch(api, kind, one["metadata"].get("namespace"), name, {"status": status})
            self.stored.append((kind, what))
        except ApiError as refusal:
            self.assertIn(refusal.code, (400, 403, 404, 413, 422, 500), f"{kind} {what}: {refusal}")
            self.refused.append((kind, what))

    def put_notes(self):
        """What metadata may hold: on every kind."""
        notes = {"nul": {"n": "a\u0000b"}, "many": {f"a{i:05d}": "" for i in range(20001)},
                 "large": {"n": "x" * 250 * 1024}}
        for kind, (api, namespaced, _) in self.kinds.items():
            for what, annotations in notes.items():
                one = self.body(kind, self.name_of(kind, what))
                one["metadata"]["annotations"] = annotations
                self.put(kind, what, one)
            one = self.body(kind, self.name_of(kind, "bytes"))
            one["metadata"]["annotations"] = {"n": "MARK"}
            text = json.dumps(one).encode().replace(b"MARK", b"a\xff\xc3(")
            path = self.kube.path(api, kind, self.hers if namespaced else None)
            code = self.kube.raw("POST", path, text)[0]
            (self.stored if code == 201 else self.refused).append((kind, "bytes"))
            if code == 201:
                self.addCleanup(self.kube.delete, api, kind, self.hers if namespaced else None,
                                self.name_of(kind, "bytes"))

    def definition(self, kind):
        api = self.kinds[kind][0]
        group = api.partition("/")[0] if "/" in api else ""
        plural = self.kube.resource(api, kind)[0]
        return self.kube.find(CRD_API, "CustomResourceDefinition", None, f"{plural}.{group}") if group else None

    def open_schema(self, crd):
        name = crd["metadata"]["name"]
        self.shut[name] = json.loads(json.dumps(crd["spec"]["versions"]))
        for version in crd["spec"]["versions"]:
            version["schema"] = {"openAPIV3Schema": {"type": "object",
                                                     "x-kubernetes-preserve-unknown-fields": True}}
        self.kube.update(crd)
        self.addCleanup(self.shut_schema, name)

    def shut_schema(self, name):
        versions = self.shut.pop(name, None)
        if versions:
            self.kube.patch(CRD_API, "CustomResourceDefinition", None, name, {"spec": {"versions": versions}})

    def put_anything(self, kind, fields):
        """With its schema open: what a CustomResourceDefinition may let through."""
        shapes = {
            "deep": {"spec": {"x": deep(101)}},
            "mebibyte": {"spec": {"x": "x" * (MIB * 14 // 10)}},
            "members": {"spec": {f"m{i:05d}": 1 for i in range(20001)}},
            "types-a": wrong(fields, lambda p: 7 if p.endswith(("{}", "[]")) else {"odd": [None]}),
            "types-b": wrong(fields, lambda p: [1, "a", {}] if p.endswith("{}") else True),
            "types-c": {"spec": 7, "status": "x"}}
        for what, parts in shapes.items():
            one = self.body(kind, self.name_of(kind, what))
            if what in ("deep", "mebibyte", "members"):
                parts = {"spec": {**one.get("spec", {}), **parts["spec"]}}
            one.update(parts)
            self.put(kind, what, one, parts.get("status"))

    def alive(self, name):
        """The worker reads, decides and writes for somebody else, and the webhook lets that in."""
        self.kube.create(objects.wukong(self.namespace, name, {"cloneSource": {
            "type": "vmi", "vmiName": "nothing-yet"}}))
        self.wait_for(lambda: "SourceNotFound" in json.dumps(self.wukong(name).get("status", {})), 40,
                      f"{name} to be looked at")
        self.assertEqual(self.pids, self.processes())

    def test_every_kind_and_every_content(self):
        self.assertGreaterEqual(len(self.kinds), 16, self.kinds)
        self.assertTrue(all(fields for kind, (_, _, fields) in self.kinds.items() if kind != "CSIDriver"),
                        self.kinds)
        self.put_notes()
        # Ours are judged when they are applied; of a kind without a row here nothing would be proved.
        missing = {(k, w) for k in self.kinds for w in ("nul", "many", "bytes")} - set(self.stored)
        self.assertEqual({k for k, _ in missing} - {"Wukong", "ClonePolicy"}, set(), missing)
        self.alive("beside-notes")
        for kind, (api, _, fields) in self.kinds.items():
            crd = self.definition(kind)
            if not crd:
                continue
            self.open_schema(crd)
            self.wait_for(lambda k=kind: self.takes_anything(k), 30, f"the schema of {kind} to be open")
            self.put_anything(kind, fields)
            self.shut_schema(crd["metadata"]["name"])
        self.alive("beside-types")
        self.bed.restart("worker")
        self.bed.restart("webhook")
        self.pids = self.processes()
        self.alive("after-a-restart")
        for kind in TYPED:
            for what in ("types-a", "types-b", "types-c", "deep", "members"):
                api, namespaced, _ = self.kinds[kind]
                self.kube.delete(api, kind, self.hers if namespaced else None, self.name_of(kind, what))
        source = self.source()
        self.clone("others", source)
        self.wait_ended("others", timeout_s=120)
        self.assert_cloned("others", source)
        self.assertEqual(self.pids, self.processes())
        print(f"\n# {len(self.stored)} stored, {len(self.refused)} refused by the API server: "
              f"{sorted(self.refused)}", file=sys.stderr)

    def takes_anything(self, kind):
        one = self.body(kind, self.name_of(kind, "probe"))
        one["spec"] = {**(one.get("spec") or {}), "anything": {"goes": 1}}
        try:
            made = self.kube.create(one, dry_run=True)
        except ApiError:
            return kind in ("Wukong", "ClonePolicy", "VirtualMachine", "VirtualMachineInstance")
        return "anything" in (made.get("spec") or {})


if __name__ == "__main__":
    harness.main()
