"""Runs tests/run or tests/demo so that a Ctrl-C, SIGTERM or SIGHUP at any moment leaves no process behind.

usage: python3 tests/supervise.py COMMAND [ARGUMENT…]

It is the reaper of all descendants (prctl(2), PR_SET_CHILD_SUBREAPER): none escapes by a session of its own or by
the end of its parent. The guards of the beds (tests/cluster/bedlib/guard.py) end last: they take down what was
just being started. After a run that nobody interrupts, what it left on purpose (tests/demo --keep) stays.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

SUBREAPER = 36
# A test's own clean-up may take a while, such as the end of programs under ASan.
PATIENCE_S = 20


def stat_of(pid):
    """(state, parent) of a process, or None."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return None
    return fields[0], int(fields[1])


def descendants():
    """The living processes below this one, the nearest first."""
    children = {}
    for entry in os.listdir("/proc"):
        found = stat_of(entry) if entry.isdigit() else None
        if found and found[0] not in "ZX":
            children.setdefault(found[1], []).append(int(entry))
    found, todo = [], [os.getpid()]
    while todo:
        below = children.get(todo.pop(0), [])
        found += below
        todo += below
    return found


def is_guard(pid):
    try:
        return b"bedlib/guard.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def collect():
    """The children that have ended, ours and adopted ones."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def send(number, pids):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def end_all():
    """Everybody may clean up first; whoever does not end, and what appears meanwhile, is killed."""
    told, end = set(), time.monotonic() + PATIENCE_S
    while True:
        collect()
        left = descendants()
        if not left:
            return
        others = [pid for pid in left if not is_guard(pid)]
        if time.monotonic() > end:
            send(signal.SIGKILL, others or left)
        else:
            fresh = [pid for pid in others if pid not in told]
            send(signal.SIGTERM, fresh)
            send(signal.SIGCONT, fresh)
            told |= set(fresh)
        time.sleep(0.05)


class Interrupted(BaseException):
    pass


def main():
    ctypes.CDLL(None, use_errno=True).prctl(SUBREAPER, 1, 0, 0, 0)
    caught = []

    def interrupted(number, _):
        caught.append(number)
        if len(caught) == 1:
            raise Interrupted

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    try:
        child = subprocess.Popen(sys.argv[1:], env=dict(os.environ, WUKONG_SUPERVISED=str(os.getpid())))
        while True:
            pid, status = os.waitpid(-1, 0)
            if pid == child.pid:
                child.returncode = os.waitstatus_to_exitcode(status)
                return child.returncode if child.returncode >= 0 else 128 - child.returncode
    except Interrupted:
        print("\ninterrupted: ending what runs", file=sys.stderr, flush=True)
        end_all()
        return 128 + caught[0]


if __name__ == "__main__":
    sys.exit(main())
