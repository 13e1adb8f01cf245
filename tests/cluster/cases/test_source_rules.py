"""Proves that every rule about the source and the cluster holds before a real API server.

The rows are those of the rules' own unit tests (tests/unit/wukong/rows_source.h): test_answers writes
them out, this case makes real objects of them, each in namespaces of its own, and sends the Wukong as
a dry run. What the row expects must reach the user: a cause with its field, a warning, or not a word.
Each row is judged twice, by the mutating endpoint, which refuses first, and by the validating one alone.
The bed has no KubeVirt, so that nobody changes the states that a row sets.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bedlib import harness, install, objects, parts  # noqa: E402
from bedlib.kube import ApiError, yaml_documents  # noqa: E402

KUBEVIRT = "kubevirt.io/v1"
API = {"StorageClass": "storage.k8s.io/v1", "CSIDriver": "storage.k8s.io/v1",
       "VolumeSnapshotClass": objects.SNAPSHOT_API, "VolumeGroupSnapshotClass": objects.GROUP_API, "VirtualMachine": KUBEVIRT,
       "VirtualMachineInstance": KUBEVIRT, "PersistentVolumeClaim": "v1",
       "Wukong": "vm.novasphere.dev/v1alpha1"}
REGISTRATION = "admissionregistration.k8s.io/v1"
CLAIMS = ("web-root", "web-data", "a", "golden")  # as test_answers.c serves them
# The classes could not be read at all: a webhook in that state is not ready and gets no call.
NOT_LIVE = {"unknown"}


def definitions(*patterns):
    return [d for pattern in patterns for path in sorted(parts.CLUSTER.glob(pattern))
            for d in yaml_documents(path.read_text())]


class SourceRules(harness.Case):
    needs = ("webhook",)

    @classmethod
    def setUpClass(cls):
        cls.bed = harness.new_bed(wanted=["etcd", "apiserver", "webhook"])
        cls.kube = cls.bed.admin()
        install.apply_all(cls.bed, definitions("kubevirt/crds/kubevirt.io_*.yaml"))
        install.wait_established(cls.bed, ["virtualmachines.kubevirt.io",
                                           "virtualmachineinstances.kubevirt.io"])
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows"
            subprocess.run([harness.program("test_answers")], check=True, capture_output=True,
                           env={**os.environ, "WUKONG_ROWS": str(path)})
            cls.common, *rows = [json.loads(line) for line in path.read_text().splitlines()]
        page = (Path(__file__).resolve().parents[3] / "docs" / "user" / "rules.md").read_text()
        section = page.split("## The source and the cluster")[1].split("\n## ")[0]
        # id: message
        cls.rules = {line[0]: line[1].split(" | ")[3].strip()
                     for line in re.findall(r"^\| `(\S+)` \| (.*)$", section, re.M)}
        # Each row in namespaces of its own.
        cls.rows = [json.loads(re.sub(r"\b(prod|team)\b", rf"\1-{i}", json.dumps(row)))
                    for i, row in enumerate(rows)]

    def test_every_row_of_every_rule(self):
        for kind in self.common:
            self.create_cluster_objects(kind)
        for i, row in enumerate(self.rows):
            if row["cluster"] not in NOT_LIVE:
                self.make_objects(i, row)
        self.judge("normal")
        for kinds, cluster in ((("VolumeSnapshotClass", "VolumeGroupSnapshotClass"), "no snapshot class"),
                               (("CSIDriver",), "not CSI")):
            for kind in kinds:
                self.delete_cluster_objects(kind)
            self.judge(cluster)
            for kind in kinds:
                self.create_cluster_objects(kind)
        install.apply_all(self.bed, definitions("cdi/crds/*.yaml"))
        self.judge("CDI")
        self.kube.delete("apiextensions.k8s.io/v1", "CustomResourceDefinition", None,
                         "storageprofiles.cdi.kubevirt.io")
        self.kube.delete("apiextensions.k8s.io/v1", "CustomResourceDefinition", None,
                         "datavolumes.cdi.kubevirt.io")
        for name in ("volumesnapshotclasses.snapshot", "volumegroupsnapshotclasses.groupsnapshot"):
            self.kube.delete("apiextensions.k8s.io/v1", "CustomResourceDefinition", None,
                             f"{name}.storage.k8s.io")
        self.judge("no snapshot API")
        self.assert_no_rule_is_missing()

    def assert_no_rule_is_missing(self):
        self.assertGreater(len(self.rules), 25)
        self.assertEqual(set(), set(self.rules) - {r.get("rule") for r in self.rows if r["cluster"] not in NOT_LIVE})

    # ---- objects --------------------------------------------------------------------------------

    def create_cluster_objects(self, kind):
        for obj in self.common[kind]:
            self.kube.create({"apiVersion": API[kind], "kind": kind, **obj,
                              **({"spec": {"attachRequired": False}} if kind == "CSIDriver" else {})})

    def delete_cluster_objects(self, kind):
        for obj in self.common[kind]:
            self.kube.delete(API[kind], kind, None, obj["metadata"]["name"])

    def make_objects(self, i, row):
        for name in ("prod", "team"):
            self.kube.create(objects.namespace(f"{name}-{i}"))
        for kind in ("VirtualMachine", "VirtualMachineInstance", "PersistentVolumeClaim"):
            for name in CLAIMS if kind.startswith("Pers") else ("web",):
                if kind in row:
                    self.make(kind, f"prod-{i}", name, json.loads(json.dumps(row[kind])))

    def make(self, kind, namespace, name, obj):
        meta = obj.setdefault("metadata", {})
        meta.update(name=name, namespace=namespace)
        meta.pop("uid", None)
        leaving = meta.pop("deletionTimestamp", None)
        if leaving:
            meta["finalizers"] = ["example.com/held"]
        spec = obj.setdefault("spec", {})
        # What KubeVirt's schema requires and a row does not mind.
        if kind == "VirtualMachine":
            spec = spec.setdefault("template", {}).setdefault("spec", {})
        if kind.startswith("Virtual"):
            spec.setdefault("domain", {}).setdefault("devices", {})
            for volume in spec.get("volumes", []):
                if "emptyDisk" in volume:
                    volume["emptyDisk"].setdefault("capacity", "1Gi")
        status = obj.get("status")
        self.kube.create({"apiVersion": API[kind], "kind": kind, **obj})
        if status and kind != "VirtualMachineInstance":  # which has no subresource for it
            self.kube.patch(API[kind], kind, namespace, name, {"status": status}, subresource="status")
        if leaving:
            self.kube.delete(API[kind], kind, namespace, name)

    # ---- judgement ------------------------------------------------------------------------------

    def judge(self, cluster):
        """The rows of this cluster at both endpoints. Caches follow a change of the cluster soon."""
        rows = [r for r in self.rows if r["cluster"] == cluster]
        self.assertTrue(rows, cluster)
        for row in rows:
            with self.subTest(endpoint="mutating", rule=row.get("rule"), wukong=row["Wukong"]):
                self.wait_for(lambda r=row: self.found(r, "mwukong") or True, 10, "the row to hold")
        kept = self.kube.get(REGISTRATION, "MutatingWebhookConfiguration", None, "wukong-mutating")
        self.kube.delete(REGISTRATION, "MutatingWebhookConfiguration", None, "wukong-mutating")
        for row in rows:
            with self.subTest(endpoint="validating", rule=row.get("rule"), wukong=row["Wukong"]):
                self.wait_for(lambda r=row: self.found(r, "vwukong") or True, 10, "the row to hold")
        for field in ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"):
            kept["metadata"].pop(field, None)
        self.kube.create({"apiVersion": REGISTRATION, "kind": "MutatingWebhookConfiguration", **kept})

    def found(self, row, endpoint):
        """Asserts that what the API server says of the row's Wukong is what the row expects."""
        warnings, refusal = self.sent(row["Wukong"])
        word = row.get("word") or row.get("field")
        says = self.rules.get(row.get("rule"), "")
        if refusal is not None:
            self.assertTrue(row.get("rule"), f"{refusal}")
            self.assertEqual((422, "Invalid"), (refusal.code, refusal.reason), f"{refusal}")
            self.assertIn(f'"{endpoint}.vm.novasphere.dev"', refusal.message)
            self.assertTrue(any(c["field"] == row["field"] and (row.get("word") or "") in c["message"] and
                                says in c["message"] for c in refusal.causes()),
                            f"{row['field']}, {word}, {says}: {refusal}")
        elif row.get("rule"):
            self.assertTrue(any(word in w and says in w for w in warnings), f"{word}, {says} in {warnings}")
        else:
            self.assertEqual([], warnings)

    def sent(self, wukong):
        wukong = {"apiVersion": API["Wukong"], "kind": "Wukong", **wukong}
        path = self.kube.path(wukong["apiVersion"], "Wukong", wukong["metadata"]["namespace"])
        code, data, headers = self.kube.raw("POST", path + "?dryRun=All", wukong)
        # 299 - "text", where \ stands before " and \ (RFC 7234 section 5.5).
        warnings = [re.sub(r"\\(.)", r"\1", w) for w in headers.get_all("Warning") or []]
        answer = json.loads(data)
        return warnings, None if code == 201 else ApiError(code, answer, "create")


if __name__ == "__main__":
    harness.main()
