"""Free TCP ports on loopback, reserved so that two beds starting at once never get the same one.

A reservation is a file named like the port in a folder of this user, holding the bed's folder. It
ends when the bed gives it back or when that folder is gone. Ports come from below the kernel's
ephemeral range (32768 on Linux), so no outgoing connection takes one in between.
"""

import os
import random
import socket
import tempfile
from pathlib import Path

LOW, HIGH = 20000, 31000


def _registry():
    folder = Path(tempfile.gettempdir()) / f"wukong-bed-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _is_free(port):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def reserve(owner_folder):
    """One port for the bed in owner_folder."""
    registry = _registry()
    for _ in range(500):
        port = random.randrange(LOW, HIGH)
        claim = registry / str(port)
        try:
            descriptor = os.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError:
            _drop_if_stale(claim)
            continue
        with os.fdopen(descriptor, "w") as out:
            out.write(str(owner_folder))
        if _is_free(port):
            return port
        claim.unlink(missing_ok=True)
    raise RuntimeError(f"no free port between {LOW} and {HIGH}")


def release(ports, owner_folder):
    registry = _registry()
    for port in ports:
        claim = registry / str(port)
        try:
            if claim.read_text() == str(owner_folder):
                claim.unlink()
        except FileNotFoundError:
            pass


def _drop_if_stale(claim):
    try:
        owner = claim.read_text()
        if owner and not Path(owner).exists():
            claim.unlink()
    except FileNotFoundError:
        pass


def owners():
    """The folders of all beds of this user that hold a port."""
    found = set()
    for claim in _registry().iterdir():
        _drop_if_stale(claim)
        try:
            found.add(claim.read_text())
        except FileNotFoundError:
            pass
    return sorted(Path(folder) for folder in found if folder)
