"""Takes a bed down when its owner is gone, however it went: SIGKILL runs no handler of the owner's, and a signal
may come between the start of a process and the note of its pid.

`watch` starts this file as a process of its own session, which a Ctrl-C does not reach. It holds one end of a
pipe whose other end only the owner has: the kernel closes that when the owner ends.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

LEAVE = b"leave"


def watch(folder):
    """The pipe to the guard of this bed: closed, it takes the bed down; after LEAVE it does not."""
    end, ours = os.pipe()
    try:
        child = subprocess.Popen([sys.executable, "-B", __file__, str(folder)], stdin=end,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/",
                                 start_new_session=True)
    finally:
        os.close(end)
    child.returncode = 0  # it outlives us; Popen need not warn
    return ours, child.pid


def release(pipe):
    """The bed is down already, or is to stay."""
    os.write(pipe, LEAVE)
    os.close(pipe)


def processes_in(folder):
    """The pids of this user that work in the folder, as every process of a bed does, noted or not."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if os.readlink(entry / "cwd").removesuffix(" (deleted)") == str(folder):
                    found.append(int(entry.name))
            except OSError:
                pass  # another user's, or gone
    return found


def end_strays(folder):
    for _ in range(100):
        left = processes_in(folder)
        if not left:
            return
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.05)


def main():
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from bedlib import bed as beds
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    folder = Path(sys.argv[1])
    if os.read(0, len(LEAVE)) == LEAVE:
        return
    with beds.Lock(folder):
        if folder.exists():
            beds.Bed(folder).down(keep=bool(os.environ.get("WUKONG_BED_KEEP_LOGS")))
        end_strays(folder)


if __name__ == "__main__":
    main()
