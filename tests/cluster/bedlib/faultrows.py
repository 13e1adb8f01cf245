"""Rows of tables that say how a clone ends that meets a fault of a stand-in."""

from typing import NamedTuple


class Row(NamedTuple):
    """`way`: how a clone is made that meets it. `faults`: of the class or of the machine. `reason`,
    `text`: of lastError; without a reason the clone succeeds."""

    way: str
    faults: dict
    reason: str = None
    text: str = ""
    quiesce: str = "IfAvailable"


def driver_rows(operation, way, fails=True):
    """What the CSI driver can do wrong in one operation (tests/cluster/csi/README.md). `fails`: whether
    a clone fails of it."""
    def row(faults, text=None):
        return Row(way, {f"fault-{operation}-{kind}": value for kind, value in faults.items()},
                   "DeadlineExceeded" if text and fails else None, text or "")
    return {f"{operation}-{kind}": row for kind, row in {
        "delay-ms": row({"delay-ms": "3000"}),
        "answer-ms": row({"answer-ms": "3000"}),
        "fail-count": row({"fail-count": "2"}),
        "fail": row({"fail": "true"}, f"injected failure of {operation}"),
        # With this code it may have been done all the same: the sidecars ask until they know, and
        # nothing can be removed before. A driver that stays away is given up after ten minutes.
        "fail-code": row({"fail-count": "3", "fail-code": "Unavailable"}),
        "unsupported": row({"unsupported": "true"}, f"{operation} is not supported")}.items()}
