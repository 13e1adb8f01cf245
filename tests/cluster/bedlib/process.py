"""One part's process: started detached, known by its pid AND its start time.

The start time (field 22 of /proc/PID/stat) makes the pid file safe: after a reboot or a wrapped pid
counter the number may belong to a stranger, who is then never signalled.
"""

import json
import os
import signal
import subprocess
import time
from pathlib import Path


def start_time(pid):
    """The kernel's start time of a process in ticks, or None when it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    # The command may hold spaces and brackets: the fields begin after the last ")".
    fields = stat.rsplit(")", 1)[1].split()
    if fields[0] in "ZX" and not _has_threads(pid):
        return None
    return int(fields[19])


def _has_threads(pid):
    # A killed process is a zombie while its other threads still die, and with them its sockets.
    try:
        return len(os.listdir(f"/proc/{pid}/task")) > 1
    except (FileNotFoundError, ProcessLookupError):
        return False


def state_letter(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None


class Process:
    """A named process of one bed. Everything about it is on disk, so any later command can act."""

    def __init__(self, name, run_folder, log_folder):
        self.name = name
        self.record = Path(run_folder) / f"{name}.json"
        self.log = Path(log_folder) / f"{name}.log"

    def start(self, argv, env=None, cwd=None):
        """Starts it, appending to its log; argv[0] is the path, its last component the role."""
        if self.pid() is not None:
            raise RuntimeError(f"{self.name} is running already")
        with open(self.log, "ab", buffering=0) as log:
            stamp = time.strftime("%H:%M:%S")
            log.write(f"==== {stamp} start {' '.join(map(str, argv))}\n".encode())
            child = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=log,
                                     stderr=log, env=env, cwd=cwd, start_new_session=True)
        # Popen would warn when it is collected before the child has ended; we track it by pid.
        child.returncode = 0
        began = start_time(child.pid)
        record = {"pid": child.pid, "start": began, "argv": [str(a) for a in argv]}
        temporary = self.record.with_suffix(".new")
        temporary.write_text(json.dumps(record) + "\n")
        os.replace(temporary, self.record)
        return child.pid

    def _read(self):
        try:
            return json.loads(self.record.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None

    def pid(self):
        """The pid while the very process that was started is alive, else None."""
        record = self._read()
        if not record or record["start"] is None:
            return None
        _reap(record["pid"])
        return record["pid"] if start_time(record["pid"]) == record["start"] else None

    def was_started(self):
        return self._read() is not None

    def state(self):
        pid = self.pid()
        if pid is None:
            return "dead" if self.was_started() else "absent"
        return "paused" if state_letter(pid) == "T" else "running"

    def signal(self, number):
        """Sends a signal to our process; False when it is not there."""
        pid = self.pid()
        if pid is None:
            return False
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return False
        return True

    def wait_gone(self, timeout_s):
        end = time.monotonic() + timeout_s
        while self.pid() is not None:
            if time.monotonic() > end:
                return False
            time.sleep(0.005)
        return True

    def kill(self):
        """SIGKILL, and returns once it is gone: what a crash or an OOM kill does."""
        if self.signal(signal.SIGKILL) and not self.wait_gone(10):
            raise RuntimeError(f"{self.name} survived SIGKILL for 10 s")

    def terminate(self, grace_s=5.0):
        """SIGTERM, then SIGKILL when it takes longer than the grace."""
        if self.signal(signal.SIGTERM):
            self.signal(signal.SIGCONT)
            if not self.wait_gone(grace_s):
                self.kill()

    def pause(self):
        if not self.signal(signal.SIGSTOP):
            raise RuntimeError(f"{self.name} is not running")

    def resume(self):
        if not self.signal(signal.SIGCONT):
            raise RuntimeError(f"{self.name} is not running")

    def forget(self):
        self.record.unlink(missing_ok=True)

    def log_tail(self, lines=20):
        try:
            with open(self.log, "rb") as log:
                log.seek(0, os.SEEK_END)
                log.seek(max(0, log.tell() - 256 * 1024))
                text = log.read().decode(errors="replace")
        except FileNotFoundError:
            return []
        return text.splitlines()[-lines:]

    def memory_kib(self):
        """Resident memory now, or None."""
        pid = self.pid()
        if pid is None:
            return None
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        return None


def _reap(pid):
    """Collects it when it is our child and has ended; anybody else's child is init's business."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass
