#!/usr/bin/env python3
"""Proves what `kubectl wukong status -w` shows and returns, against an API server that does as it is told.

The server here lists one Wukong and sends the changes that a test asks for; it cuts watches, lets them
expire (410), refuses the token (401) or everything (403). What a terminal shows is read from a screen
that obeys what was written to it (terminal.py), so a line too wide or a picture drawn askew is seen.

usage: test_follow.py KUBECTL_WUKONG [TEST…]
"""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from terminal import Terminal

WUKONG = None
PATH = "/apis/vm.novasphere.dev/v1alpha1/namespaces/prod/wukongs"


def disk(name, progress, phase="Restoring"):
    return {"name": name, "progress": f"{progress}%", "phase": phase}


def wukong(phase="Cloning", progress=10, disks=(), reason=None, message="", targets=(), uid="u1", version=1,
           step="snapshots"):
    status = {"cloneStatus": {"phase": phase, "progress": f"{progress}%", "step": step,
                              "disks": list(disks), "targets": list(targets)}}
    if reason:
        status["conditions"] = [{"type": "Ready", "status": "False", "reason": reason, "message": message}]
    return {"apiVersion": "vm.novasphere.dev/v1alpha1", "kind": "Wukong",
            "metadata": {"name": "copy", "namespace": "prod", "uid": uid, "resourceVersion": str(version)},
            "spec": {"cloneSource": {"type": "vmi", "vmiName": "shop"}}, "status": status}


def failure(code, reason, message="no"):
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code,
            "message": message}


class Server:
    """What is stored, and what the watches are told."""

    def __init__(self):
        self.version, self.object = 1, None
        self.refuse = []          # answers for the next requests, (code, reason)
        self.watches, self.lists, self.headers = 0, 0, None
        self.events = queue.Queue()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                outer.answer(self)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self.events.put(("cut", None))
        self.http.shutdown()
        self.http.server_close()

    def put(self, obj, kind="MODIFIED"):
        self.version += 1
        obj["metadata"]["resourceVersion"] = str(self.version)
        self.object = None if kind == "DELETED" else obj
        self.events.put((kind, obj))

    def cut(self):
        self.events.put(("cut", None))

    def expire(self):
        self.events.put(("ERROR", failure(410, "Expired", "too old")))

    def reply(self, to, code, body):
        data = json.dumps(body).encode()
        to.send_response(code)
        to.send_header("Content-Type", "application/json")
        to.send_header("Content-Length", str(len(data)))
        to.end_headers()
        to.wfile.write(data)

    def answer(self, to):
        url = urlsplit(to.path)
        self.headers = to.headers
        query = parse_qs(url.query)
        if self.refuse:
            code, reason = self.refuse.pop(0)
            self.reply(to, code, failure(code, reason))
        elif url.path == PATH + "/copy":
            self.reply(to, 200, self.object) if self.object else \
                self.reply(to, 404, failure(404, "NotFound", 'wukongs "copy" not found'))
        elif url.path != PATH:
            self.reply(to, 404, failure(404, "NotFound"))
        elif query.get("fieldSelector") != ["metadata.name=copy"]:
            self.reply(to, 400, failure(400, "BadRequest", "only one Wukong was asked about"))
        elif query.get("watch"):
            self.watch(to)
        else:
            self.lists += 1
            self.reply(to, 200, {"kind": "WukongList", "metadata": {"resourceVersion": str(self.version)},
                                 "items": [self.object] if self.object else []})

    def watch(self, to):
        self.watches += 1
        to.send_response(200)
        to.send_header("Content-Type", "application/json")
        to.send_header("Transfer-Encoding", "chunked")
        to.end_headers()
        while True:
            kind, obj = self.events.get()
            if kind == "cut":
                to.close_connection = True
                return
            line = json.dumps({"type": kind, "object": obj}).encode() + b"\n"
            to.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            to.wfile.flush()
            if kind == "ERROR":
                to.close_connection = True
                return


class Case(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.close)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        config = Path(folder.name) / "config"
        config.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "a",
            "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a", "namespace": "prod"}}],
            "clusters": [{"name": "a", "cluster": {
                "server": f"http://127.0.0.1:{self.server.http.server_address[1]}"}}],
            "users": [{"name": "a", "user": {"token": "t"}}]}))
        self.env = {"KUBECONFIG": str(config), "HOME": folder.name, "TERM": "xterm", "LANG": "C.UTF-8",
                    "PATH": os.environ["PATH"], "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "")}
        self.server.object = wukong()

    def pipe(self, *arguments, **env):
        started = subprocess.Popen([WUKONG, "status", "copy", *arguments], text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**self.env, **env})
        self.addCleanup(lambda: started.poll() is None and started.kill())
        return started

    def ended(self, started, code):
        out, err = started.communicate(timeout=30)
        self.assertEqual(code, started.returncode, out + err)
        self.assertNotIn("\x1b", out + err)
        return out, err

    def watched(self, times=1):
        end = time.monotonic() + 20
        while self.server.watches < times:
            self.assertLess(time.monotonic(), end, f"{self.server.watches} watches")
            time.sleep(0.01)

    def terminal(self, columns, rows, *arguments, **env):
        t = Terminal(columns, rows, [WUKONG, "status", "copy", "-w", *arguments], {**self.env, **env})
        self.addCleanup(lambda: t.code is None and os.kill(t.pid, 9))
        return t

    def assert_clean(self, t):
        self.assertEqual([], t.screen.problems)


class Pipe(Case):
    """In a pipe: a line per change, no escape, exit codes."""

    def test_a_line_for_each_change(self):
        started = self.pipe("-w")
        self.watched()
        self.server.put(wukong(progress=40, disks=[disk("root", 100), disk("data", 50)]))
        same = wukong(progress=40, disks=[disk("root", 100), disk("data", 50)])
        same["metadata"]["labels"] = {"a": "b"}     # nothing that is shown
        self.server.put(same)
        self.server.put(wukong("Succeeded", 100, disks=[disk("root", 100), disk("data", 100)]))
        out, _ = self.ended(started, 0)
        self.assertEqual(["copy Cloning 10% snapshots", "copy Cloning 40% snapshots disks 1/2",
                          "copy Succeeded 100% disks 2/2"], out.splitlines())

    def test_a_clone_that_fails(self):
        started = self.pipe("-w")
        self.watched()
        self.server.put(wukong("Failed", 40, reason="DeadlineExceeded", message="too\nlate"))
        out, _ = self.ended(started, 1)
        self.assertEqual("copy Failed 40% (DeadlineExceeded: too late)", out.splitlines()[-1])

    def test_one_that_is_deleted(self):
        started = self.pipe("-w")
        self.watched()
        self.server.put(wukong(), "DELETED")
        out, _ = self.ended(started, 4)
        self.assertEqual("copy was deleted", out.splitlines()[-1])

    def test_one_that_is_deleted_and_made_anew_while_the_watch_was_cut(self):
        started = self.pipe("-w")
        self.watched()
        self.server.version = 50
        self.server.object = wukong("Succeeded", 100, uid="u2", version=50)
        self.server.expire()
        out, _ = self.ended(started, 4)
        self.assertEqual("copy was deleted", out.splitlines()[-1])

    def test_one_that_does_not_exist(self):
        self.server.object = None
        for arguments in ((), ("-w",)):
            _, err = self.ended(self.pipe(*arguments), 1)
            self.assertIn("Error from server (NotFound)", err)

    def test_a_watch_that_is_cut_goes_on(self):
        started = self.pipe("-w")
        for n in range(1, 4):
            self.watched(n)
            self.server.put(wukong(progress=10 + n))
            self.server.cut()
        self.watched(4)
        self.server.put(wukong("Succeeded", 100))
        out, _ = self.ended(started, 0)
        self.assertEqual(["10%", "11%", "12%", "13%", "100%"], [line.split()[2] for line in out.splitlines()])
        self.assertEqual(1, self.server.lists)

    def test_a_watch_that_has_expired_lists_again(self):
        started = self.pipe("-w")
        self.watched()
        self.server.object = wukong(progress=77, version=90)
        self.server.version = 90
        self.server.expire()
        self.watched(2)
        self.server.put(wukong("Succeeded", 100))
        out, _ = self.ended(started, 0)
        self.assertIn("copy Cloning 77% snapshots", out.splitlines())
        self.assertEqual(2, self.server.lists)

    def test_a_refused_token_is_read_again(self):
        started = self.pipe("-w")
        self.watched()
        self.server.refuse = [(401, "Unauthorized")] * 2
        self.server.cut()
        self.watched(2)
        self.server.put(wukong("Succeeded", 100))
        _, err = self.ended(started, 0)
        self.assertIn("trying again", err)

    def test_a_server_that_throttles_is_asked_again(self):
        started = self.pipe("-w")
        self.watched()
        self.server.refuse = [(429, "TooManyRequests"), (503, "ServiceUnavailable")]
        self.server.cut()
        self.watched(2)
        self.server.put(wukong("Succeeded", 100))
        self.ended(started, 0)

    def test_what_is_forbidden_ends_at_once(self):
        self.server.refuse = [(403, "Forbidden")] * 9
        _, err = self.ended(self.pipe("-w"), 1)
        self.assertIn("no", err)

    def test_a_right_that_is_taken_away_ends_it(self):
        started = self.pipe("-w")
        self.watched()
        self.server.refuse = [(403, "Forbidden")] * 9
        self.server.cut()
        self.ended(started, 1)

    def test_the_timeout_ends_it(self):
        began = time.monotonic()
        _, err = self.ended(self.pipe("-w", "--timeout=1s"), 3)
        self.assertGreaterEqual(time.monotonic() - began, 1)
        self.assertIn("timed out after 1s", err)

    def test_another_user_is_impersonated(self):
        self.ended(self.pipe("--as", "kim", "--as-group=dev", "--as-group", "ops"), 3)
        self.assertEqual("kim", self.server.headers["Impersonate-User"])
        self.assertEqual(["dev", "ops"], self.server.headers.get_all("Impersonate-Group"))
        self.assertEqual("Bearer t", self.server.headers["Authorization"])

    def test_once(self):
        out, _ = self.ended(self.pipe(), 3)
        self.assertEqual("copy Cloning 10% snapshots\n", out)
        self.server.object = wukong("Succeeded", 100)
        self.ended(self.pipe(), 0)
        self.server.object = wukong("Failed", 3)
        self.ended(self.pipe(), 1)


class Screens(Case):
    """In a terminal: what stands on it."""

    def test_bars_are_drawn_over_one_another(self):
        t = self.terminal(80, 24)
        t.wait_for("Cloning  10%")
        self.watched()
        for progress in range(20, 100, 10):
            self.server.put(wukong(progress=progress, disks=[disk("root", progress), disk("data", 100, "Bound")]))
            t.wait_for(f"Cloning  {progress}%")
        self.server.put(wukong("Succeeded", 100, disks=[disk("root", 100, "Bound"), disk("data", 100, "Bound")]))
        self.assertEqual(0, t.wait_ended())
        self.assert_clean(t)
        bar = "█" * 30
        self.assertEqual(f"copy  Succeeded  100%\nroot {bar} 100% Bound\ndata {bar} 100% Bound",
                         t.screen.text())
        self.assertIn("32", t.screen.colours)

    def test_no_color_and_no_utf8(self):
        t = self.terminal(80, 24, NO_COLOR="1", LANG="C")
        self.watched()
        self.server.put(wukong("Succeeded", 100, disks=[disk("root", 50)]))
        self.assertEqual(0, t.wait_ended())
        self.assert_clean(t)
        self.assertEqual({"root " + "#" * 15 + "." * 15 + "  50% Restoring"}, set(t.screen.text().splitlines()[1:]))
        self.assertEqual(set(), t.screen.colours)
        self.assertTrue(t.raw.isascii())

    def test_a_dumb_terminal_gets_lines(self):
        t = self.terminal(80, 24, TERM="dumb")
        self.watched()
        self.server.put(wukong("Succeeded", 100))
        self.assertEqual(0, t.wait_ended())
        self.assertNotIn(b"\x1b", t.raw)
        self.assertEqual("copy Cloning 10% snapshots\ncopy Succeeded 100%", t.screen.text())

    def test_forty_columns(self):
        t = self.terminal(40, 24)
        self.watched()
        long = "the VirtualMachineInstance prod/shop is Pending, a clone of type running needs it Running"
        self.server.put(wukong(reason="SourceNotRunning", message=long,
                               disks=[disk("a-disk-with-a-name-that-is-long", 60), disk("data", 0, "Pending")]))
        t.wait_for("SourceNotRunning", lines=5)
        self.assert_clean(t)
        lines = t.screen.text().splitlines()
        self.assertEqual(5, len(lines), lines)
        self.assertLessEqual(max(map(len, lines)), 39)
        self.assertIn(" 60%", lines[1])
        self.server.put(wukong("Failed", 10, reason="DeadlineExceeded", message=long))
        self.assertEqual(1, t.wait_ended())
        self.assert_clean(t)
        self.assertIn("needs it Running", " ".join(t.screen.text().split()))

    def test_thirty_disks_in_twenty_four_lines(self):
        t = self.terminal(80, 24)
        self.watched()
        for done in range(0, 31, 5):
            disks = [disk(f"disk-{i:02}", 100 if i < done else 50 if i < done + 3 else 0) for i in range(30)]
            self.server.put(wukong(progress=done * 3, disks=disks, reason="Cloning", message="copying"))
            t.wait_for(f"  {done * 3}%  ")
            t.wait_for("and 10 more: ")
            t.wait_for("Cloning: copying")
            shown = t.screen.text()
            self.assertEqual(20, shown.count("\ndisk-"), shown)
            for i in range(done, min(done + 3, 30)):
                self.assertIn(f"disk-{i:02}", shown, "one that is under way is not shown")
        self.server.put(wukong("Succeeded", 100, disks=[disk(f"disk-{i:02}", 100) for i in range(30)]))
        self.assertEqual(0, t.wait_ended())
        self.assert_clean(t)
        self.assertEqual([], t.screen.scrolled, "the picture was higher than the terminal")

    def test_resize(self):
        t = self.terminal(100, 30)
        self.watched()
        disks = [disk(f"disk-{i:02}", 50) for i in range(20)]
        self.server.put(wukong(progress=20, disks=disks))
        t.wait_for("disk-19")
        t.screen.problems.clear()
        t.resize(40, 10)
        t.wait_for("more: ")
        self.server.put(wukong(progress=30, disks=disks))
        t.wait_for("30%")
        lines = t.screen.text().splitlines()
        self.assertLessEqual(len(lines), 9)
        self.assertEqual(1, t.screen.text().count("copy  Cloning"), t.screen.text())
        t.resize(120, 40)
        t.wait_for("disk-19")
        self.assertEqual(1, t.screen.text().count("copy  Cloning"), t.screen.text())
        self.server.put(wukong("Succeeded", 100))
        self.assertEqual(0, t.wait_ended())
        self.assert_clean(t)

    def test_a_batch(self):
        t = self.terminal(80, 24)
        self.watched()
        self.server.put(wukong(disks=[disk("root", 60)], targets=[
            {"vmName": f"copy-vm-{i}", "phase": "Ready" if i < 2 else "Starting"} for i in range(8)]))
        t.wait_for("2 of 8 ready")
        self.server.put(wukong(), "DELETED")
        self.assertEqual(4, t.wait_ended())
        self.assert_clean(t)
        self.assertEqual("copy was deleted", t.screen.text().splitlines()[-1])

    def test_a_lost_connection_is_shown_until_it_is_back(self):
        t = self.terminal(80, 24)
        t.wait_for("10%")
        self.watched()
        self.server.refuse = [(503, "ServiceUnavailable")] * 2
        self.server.cut()
        t.wait_for("(connection lost)")
        self.watched(2)
        self.server.put(wukong(progress=50))
        t.wait_for("50%")
        end = time.monotonic() + 5
        while "lost" in t.screen.text():
            self.assertLess(time.monotonic(), end, t.screen.text())
            t.read()
        self.server.put(wukong("Succeeded", 100))
        self.assertEqual(0, t.wait_ended())
        self.assert_clean(t)


if __name__ == "__main__":
    WUKONG = os.path.abspath(sys.argv.pop(1))
    unittest.main()
