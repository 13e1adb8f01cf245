"""What the cases about CDI share: a bed of their own, and classes whose StorageProfile names a strategy."""

import json
import os
import unittest

from . import beside, harness, objects, services

API = "cdi.kubevirt.io/v1beta1"
_beds = {}


def _bed_with(wanted):
    """A bed with CDI, which the shared one leaves out; one for each set of parts."""
    if wanted not in _beds:
        attached = os.environ.get("WUKONG_BED")
        parts = wanted or [*services.select(None, harness.named_options()), "cdi"]
        _beds[wanted] = harness.Bed(attached) if attached else harness.new_bed(wanted=list(parts))
    return _beds[wanted]


class OnCdi(harness.Case):
    """A case on the stand-in or on CDI's own programs. `wanted`: the parts of its bed; None: all there
    are and CDI."""

    needs = ("cdi",)
    wanted = None

    @classmethod
    def setUpClass(cls):
        if not services.SERVICES["cdi"].available({}):
            raise unittest.SkipTest("there is no CDI stand-in")
        cls.bed = _bed_with(cls.wanted)
        if "cdi" not in cls.bed.parts():
            raise unittest.SkipTest("the bed has no cdi")
        cls.kube = cls.bed.admin()
        beside.settle(cls)

    @property
    def real(self):
        return self.is_real()

    @classmethod
    def is_real(cls):
        return "cdi-api" in cls.bed.parts()

    @classmethod
    def write_faults(cls, wanted):
        """Faults of the stand-in (tests/cluster/cdi/README.md), for all that it does from now on."""
        path = cls.bed.data / "cdi" / "faults.json"
        path.with_suffix(".new").write_text(json.dumps(wanted))
        path.with_suffix(".new").rename(path)

    def faults(self, wanted):
        """Until the test ends."""
        if self.real and wanted:
            self.skipTest("faults and copies are the stand-in's")
        self.write_faults(wanted)
        self.addCleanup(self.write_faults, {})

    def profile(self, strategy, name=None, **parameters):
        """A storage class of its own with this strategy in its StorageProfile."""
        name = f"{name or strategy}-{self.namespace}"
        self.cleanup_object(objects.storage_class(name, parameters))
        self.wait_for(lambda: self.kube.find(API, "StorageProfile", None, name), 30, "the profile")
        self.kube.patch(API, "StorageProfile", None, name, {"spec": {"cloneStrategy": strategy}})
        self.wait_for(lambda: (self.kube.get(API, "StorageProfile", None, name).get("status") or {})
                      .get("cloneStrategy") == strategy, 30, "the profile's status")
        return name
