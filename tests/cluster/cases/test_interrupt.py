"""tests/demo and tests/run leave no process and no mount behind, at whatever moment they are interrupted.

Whatever they start inherits TMPDIR, which is a folder of this test's own: /proc/PID/environ tells it even where a
process has a session and a parent of its own.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.dont_write_bytecode = True

from bedlib import harness, parts, services  # noqa: E402

ROOT = services.REPOSITORY
# With ASan the programs look for leaks at their end, and a busy machine does it slowly.
GONE_S = 90


class Interrupt(unittest.TestCase):
    def setUp(self):
        # Short: Unix sockets lie below it.
        self.scratch = Path(tempfile.mkdtemp(prefix="wki-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.scratch, True)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("WUKONG_")}
        self.env.update(TMPDIR=str(self.scratch), WUKONG_CACHE=str(parts.cache_root()),
                        WUKONG_NO_INSTALL="1", PYTHONUNBUFFERED="1")

    def ours(self):
        """{pid: command} of all processes that this test has brought about."""
        mark, found = f"TMPDIR={self.scratch}".encode(), {}
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                    state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
                    if state not in "ZX":
                        command = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                        found[int(entry.name)] = command.decode(errors="replace")[:120]
            except OSError:
                pass
        return found

    def interrupted(self, command, when, number, group, cwd=ROOT):
        """Runs it until a line holds `when`, or for so many seconds; interrupts it; returns its exit code."""
        child = subprocess.Popen(list(map(str, command)), cwd=cwd, env=self.env, text=True, start_new_session=True,
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said, seen = [], threading.Event()

        def read():
            for line in child.stdout:
                said.append(line)
                if isinstance(when, str) and when in line:
                    seen.set()
            seen.set()

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        if isinstance(when, str):
            if not seen.wait(300):
                os.killpg(child.pid, signal.SIGKILL)
                self.fail(f"never said {when!r}: {''.join(said)[-3000:]}")
            time.sleep(0.05)
        else:
            time.sleep(when)
        if child.poll() is not None:
            self.fail(f"it has ended before: {child.returncode}\n{''.join(said)[-3000:]}")
        os.killpg(child.pid, number) if group else os.kill(child.pid, number)
        try:
            code = child.wait(GONE_S)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            self.fail(f"it did not end: {self.ours()}")
        left = self.ours()
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        self.assertEqual({}, left, "".join(said)[-2000:])
        reader.join(10)
        child.stdout.close()
        self.assertNotIn(str(self.scratch), Path("/proc/self/mounts").read_text())
        return code

    def demo(self, when, number=signal.SIGTERM, group=False):
        for part in ("webhook", "worker"):
            self.env[f"WUKONG_{part.upper()}"] = str(harness.program(f"wukong-{part}"))
        code = self.interrupted([ROOT / "tests/demo"], when, number, group)
        # Before the supervisor listens the signal itself ends it: it has started nothing yet.
        self.assertIn(code, (128 + number, 130, -number))
        self.assertEqual([], list(self.scratch.glob("wukong-bed-*/demo/run/*")))

    def test_the_demo_at_its_very_begin(self):
        self.demo(0.3)

    def test_the_demo_while_the_control_plane_starts(self):
        self.demo("== etcd")

    def test_the_demo_by_ctrl_c_while_the_control_plane_starts(self):
        """A terminal sends it to the whole group at once."""
        self.demo("== etcd", signal.SIGINT, group=True)

    def test_the_demo_while_a_machine_starts(self):
        self.demo("bed up in", signal.SIGHUP)

    def test_the_demo_by_ctrl_c_while_a_clone_is_made(self):
        self.demo("A right one clones", signal.SIGINT, group=True)

    def test_a_part_that_is_compiled(self):
        """Go has many children, and a folder for its work."""
        self.env.update(WUKONG_CACHE=str(self.scratch / "cache"), GOCACHE=str(self.scratch / "go"))
        build = [sys.executable, "-B", ROOT / "tests/supervise.py", sys.executable, "-B",
                 ROOT / "tests/cluster/build", "csi-file"]
        self.interrupted(build, 3.0, signal.SIGTERM, False)
        self.assertEqual([], list((self.scratch / "cache").glob(".csi-file-*")))
        self.assertEqual([], list(self.scratch.glob("go-build*")))

    def test_what_does_not_want_to_end(self):
        """In a session of its own, deaf to SIGTERM, its parent gone, and with a child that comes later."""
        deaf = "trap '' TERM HUP INT; (sleep 1; exec sleep 77) & setsid sleep 78 & echo ready; wait; sleep 79"
        script = f"setsid sh -c \"{deaf}\" & sleep 80"
        began = time.monotonic()
        code = self.interrupted([sys.executable, "-B", ROOT / "tests/supervise.py", "sh", "-c", script], "ready",
                                signal.SIGTERM, False)
        self.assertEqual(128 + signal.SIGTERM, code)
        self.assertLess(time.monotonic() - began, 180)

    def test_all_tests_while_they_are_built(self):
        """In a copy of the tree: its build is no other run's."""
        tree = self.scratch / "tree"
        done = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, stdout=subprocess.PIPE, check=False)
        if done.returncode:
            self.skipTest("this tree is no clone of git's")
        for name in done.stdout.decode().split("\0"):
            if name and (ROOT / name).is_file() and not name.startswith("tests/fuzz/corpus"):
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, tree / name)
        self.env["CCACHE_DISABLE"] = "1"
        code = self.interrupted([tree / "tests/run", "unit"], "] Building C object", signal.SIGTERM, False, cwd=tree)
        self.assertEqual(128 + signal.SIGTERM, code)

    def test_a_run_that_nobody_interrupts_keeps_its_exit_code_and_what_it_leaves(self):
        script = "sleep 33 & echo $! > left; exit 7"
        done = subprocess.run([sys.executable, "-B", ROOT / "tests/supervise.py", "sh", "-c", script],
                              cwd=self.scratch, env=self.env, check=False, timeout=60)
        self.assertEqual(7, done.returncode)
        os.kill(int((self.scratch / "left").read_text()), signal.SIGKILL)


if __name__ == "__main__":
    harness.main()
