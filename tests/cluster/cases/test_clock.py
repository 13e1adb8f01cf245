#!/usr/bin/env python3
"""The webhook dates its stamps by the API server's clock, as the answers of it tell, and says when its own
differs; a stamp of another clock is refused with the seconds that it is off by.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.dont_write_bytecode = True

from bedlib import harness, vms  # noqa: E402

OFF_S = 90


class Clock(vms.CloneCase):
    def skew(self):
        line = next(x for x in self.bed.metrics("webhook").splitlines() if x.startswith("wukong_clock_skew_seconds "))
        return float(line.split()[1])

    def test_a_stamp_of_another_clock(self):
        there = self.make_namespace(f"{self.namespace}-there")
        source = self.source("db")
        proxy = self.bed.insert_proxy("webhook")
        self.addCleanup(self.bed.remove_proxy, "webhook")
        proxy.dates_off_s = -OFF_S
        self.clone("off", source, namespace=there, clone_source={"namespace": self.namespace})
        found = self.wait_reason("off", "PolicyAllowed", "NotAdmitted", namespace=there)
        told = vms.condition(found, "PolicyAllowed")["message"]
        self.assertRegex(told, r"dated its admission stamp (89|9\d) s before the Wukong's creation")
        self.assertIn("wukong_clock_skew_seconds", told)
        self.assertAlmostEqual(OFF_S, self.skew(), delta=2)
        log = self.bed.process("webhook").log_tail(400)
        self.assertTrue(any("clock differs from the API server's" in line for line in log))
        proxy.dates_off_s = 0
        self.clone("right", source, namespace=there, clone_source={"namespace": self.namespace})
        self.wait_ended("right", namespace=there)
        self.assertEqual(0, self.skew())


if __name__ == "__main__":
    harness.main()
