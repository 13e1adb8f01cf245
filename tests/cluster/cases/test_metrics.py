"""Proves that the programs export the metrics of docs/admin/metrics.md and no others, and that each moves
by what it is said to count: a clone that succeeds, one that fails, a refusal, a look-up.

The two pages are read before and after, from the plain ports, as Prometheus would. Bounds that only a
hostile client reaches (wukong_webhook_turned_away) are moved by tests/webhook and the unit tests.
"""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bedlib import harness, vms  # noqa: E402

PAGE = Path(__file__).resolve().parents[3] / "docs" / "admin" / "metrics.md"


def scrape(bed, part):
    """{series: value} and the names of the metrics, histograms without their suffixes."""
    text, series = bed.metrics(part), {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            series[name] = float(value)
    return series, set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))


def documented(*headings):
    text = PAGE.read_text()
    found = set()
    for heading in headings:
        section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
        found |= set(re.findall(r"^\| `(\w+)` \|", section.group(1), re.MULTILINE))
    return found


class Metrics(vms.CloneCase):
    needs = vms.PARTS

    def total(self, series, start):
        """The sum of the series whose text begins so: `name{`, or with its first labels."""
        return sum(v for k, v in series.items() if k.startswith(start))

    def moved(self, start, by=None):
        before, after = (self.total(s, start) for s in (self.before, self.after))
        if by is None:
            self.assertGreater(after, before, start)
        else:
            self.assertEqual(before + by, after, start)

    def read(self):
        found = {}
        for part in ("webhook", "worker"):
            series, names = scrape(self.bed, part)
            self.assertEqual(documented(part.capitalize(), "Both"), names, part)
            # The two share names: what one of them counts is kept apart.
            found |= {f"{part}: {k}": v for k, v in series.items()}
        return found

    def test_they_move(self):
        self.before = self.read()
        source = self.source("src")
        self.clone("good", source)
        self.wait_ended("good", timeout_s=60)
        # The first freeze is refused, the second attempt succeeds; a source that never comes is fatal.
        stubborn = self.source("stubborn", faults={"freeze-409": "1"})
        self.clone("again", stubborn)
        self.clone("bad", clone_source={"type": "vmi", "vmiName": "nobody", "deadlineSeconds": 2})
        self.wait_ended("bad", "Failed", timeout_s=60)
        self.wait_ended("again", timeout_s=90)
        # A parent is kept for as long as its child lives.
        self.clone("child", source, clone_source={"cloneType": "linked"})
        self.wait_ended("child", timeout_s=60)
        self.assert_refused(lambda: self.clone("wrong", source, clone_source={"retryLimit": 1000}), 422)
        harness.wait_for(lambda: self.parent_counted(), 20, "the parent to be counted")
        self.after = self.read()
        self.check_worker()
        self.check_webhook()

    def parent_counted(self):
        series, _ = scrape(self.bed, "worker")
        return series.get(f'wukong_snapshots_held{{namespace="{self.namespace}"}}') == 1

    def check_worker(self):
        self.moved('worker: wukong_clones_total{type="running",result="succeeded",reason="Succeeded"}', 2)
        self.moved('worker: wukong_clones_total{type="running",result="failed",reason="DeadlineExceeded"}', 1)
        self.moved('worker: wukong_clones_total{type="linked"', 1)
        self.moved('worker: wukong_clone_attempts_failed_total{type="running",reason="FreezeFailed"}', 1)
        self.moved('worker: wukong_clone_duration_seconds_count{type="running"}', 2)
        self.moved('worker: wukong_guest_frozen_seconds_count')
        for step in ("Freeze", "Cut", "Ready"):
            self.moved(f'worker: wukong_clone_step_duration_seconds_count{{step="{step}"}}')
        self.moved('worker: wukong_snapshots_held{', 1)
        self.moved('worker: wukong_snapshots_held_bytes{', 64 << 20)
        self.assertEqual(1, self.after["worker: wukong_worker_leader"])
        self.assertEqual(0, self.after["worker: wukong_clones_active"])
        self.assertEqual(0, self.after["worker: wukong_worker_queue_depth"])
        for intent in ("create", "delete", "status"):
            self.moved(f'worker: wukong_worker_writes_total{{intent="{intent}"}}')
        self.moved('worker: rest_client_requests_total{verb="POST",code="201"}')
        self.moved('worker: rest_client_request_duration_seconds_count{verb="POST"}')
        self.assertGreaterEqual(self.after['worker: wukong_cache_lists_total{resource="wukongs"}'], 1)
        self.moved('worker: wukong_cache_objects{resource="wukongs"}', 4)
        self.moved('worker: wukong_cache_bytes{resource="wukongs"}')

    def check_webhook(self):
        for endpoint in ("mutate", "validate"):
            self.moved(f'webhook: wukong_admission_reviews_total{{endpoint="{endpoint}",'
                       'operation="CREATE",verdict="allowed"')
        # The mutating endpoint refuses, so the validating one never hears of it.
        self.moved('webhook: wukong_admission_reviews_total{endpoint="mutate",operation="CREATE",'
                   'verdict="invalid",reason="Invalid"}', 1)
        self.moved('webhook: wukong_admission_review_duration_seconds_count{endpoint="mutate",'
                   'lookups="live"}')
        self.moved('webhook: wukong_admission_lookups_total{object="virtualmachineinstance",code="200"}')
        self.moved('webhook: rest_client_requests_total{verb="GET",code="200"}')
        self.assertGreater(self.after['webhook: wukong_webhook_connections{state="open"}'], 0)
        self.assertEqual(1, self.after["webhook: wukong_webhook_ready"])
        self.assertGreater(
            self.after['webhook: wukong_webhook_certificate_expiry_timestamp_seconds{certificate="leaf"}'], 1e9)
        for resource in ("storageclasses", "volumesnapshotclasses", "csidrivers"):
            self.assertLess(self.after[f'webhook: wukong_cache_age_seconds{{resource="{resource}"}}'], 300)
            self.assertGreater(self.after[f'webhook: wukong_cache_objects{{resource="{resource}"}}'], 0)
            self.assertGreater(self.after[f'webhook: wukong_cache_bytes{{resource="{resource}"}}'], 0)


if __name__ == "__main__":
    harness.main()
