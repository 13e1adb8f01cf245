#!/usr/bin/env python3
"""Proves how `kubectl wukong` logs in: credential plugins as client-go runs them, and kubectl's flags.

A server on loopback notes the headers of each request and refuses whom it is told to refuse. Plugins are
shell scripts: good ones of both versions, and some that fail, hang, print nonsense or too much.

usage: test_login.py KUBECTL_WUKONG [TEST…]
"""

import json
import os
import pty
import stat
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

WUKONG = None
V1 = "client.authentication.k8s.io/v1"
BETA = "client.authentication.k8s.io/v1beta1"
OBJECT = {"apiVersion": "vm.novasphere.dev/v1alpha1", "kind": "Wukong",
          "metadata": {"name": "copy", "namespace": "prod", "uid": "u1", "resourceVersion": "1"},
          "spec": {"cloneSource": {"type": "vmi", "vmiName": "shop"}},
          "status": {"cloneStatus": {"phase": "Succeeded", "progress": "100%"}}}


class Server:
    def __init__(self):
        self.seen, self.refused, self.stall, self.paths, self.bulk = [], set(), 0, [], ""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                outer.answer(self)

            do_POST = do_GET

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, to):
        self.seen.append(dict(to.headers))
        time.sleep(self.stall)
        token = (to.headers.get("Authorization") or "").removeprefix("Bearer ")
        code = 401 if token in self.refused else 200
        body = self.body(to.path) if code == 200 else {"kind": "Status", "apiVersion": "v1", "status": "Failure",
                                           "reason": "Unauthorized", "code": 401, "message": "Unauthorized"}
        data = json.dumps(body).encode()
        to.send_response(code)
        to.send_header("Content-Type", "application/json")
        to.send_header("Content-Length", str(len(data)))
        to.end_headers()
        try:
            to.wfile.write(data)
        except BrokenPipeError:
            pass

    def body(self, path):
        self.paths.append(path)
        if not path.split("?")[0].endswith("wukongs"):
            return OBJECT
        page = 1 if "continue=more" in path else 0
        items = [{**OBJECT, "metadata": {**OBJECT["metadata"], "name": f"copy-{page}"}},
                 {**OBJECT, "metadata": {**OBJECT["metadata"], "name": f"wait\x1b[2J-{page}"},
                  "status": {"conditions": [{"type": "Ready", "status": "False", "reason": "Queued",
                                             "message": "2 are before it"}]}}]
        if self.bulk and "limit=500" in path:
            items[0]["status"] = {"bulk": self.bulk}
        return {"kind": "WukongList", "apiVersion": "v1", "items": items,
                "metadata": {} if page else {"continue": "more"}}

    def tokens(self):
        return [(h.get("Authorization") or "").removeprefix("Bearer ") for h in self.seen]

    def close(self):
        self.http.shutdown()
        self.http.server_close()


def credential(version=V1, **status):
    return json.dumps({"kind": "ExecCredential", "apiVersion": version, "status": status})


class Login(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.server = Server()
        self.addCleanup(self.server.close)
        self.address = f"http://127.0.0.1:{self.server.http.server_port}"

    def plugin(self, script, name="plugin"):
        path = self.folder / name
        path.write_text("#!/bin/sh\n" + script)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    def prints(self, text):
        return self.plugin(f"echo run >> {self.folder}/runs\ncat <<'EOF'\n{text}\nEOF\n")

    def runs(self):
        path = self.folder / "runs"
        return path.read_text().count("run") if path.exists() else 0

    def config(self, user, **cluster):
        path = self.folder / "config"
        path.write_text(json.dumps({
            "current-context": "a",
            "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a", "namespace": "prod"}}],
            "clusters": [{"name": "a", "cluster": {"server": self.address, **cluster}},
                         {"name": "dead", "cluster": {"server": "http://127.0.0.1:1"}}],
            "users": [{"name": "a", "user": user}, {"name": "b", "user": {"token": "of-b"}}]}))
        return str(path)

    def execs(self, command, version=V1, mode="IfAvailable", **more):
        return self.config({"exec": {"apiVersion": version, "command": command,
                                     **({"interactiveMode": mode} if mode else {}), **more}})

    def run_wukong(self, config, *arguments, code=0, **how):
        done = subprocess.run([WUKONG, *(arguments or ("status", "copy"))], text=True, timeout=150,
                              capture_output=True, **{"stdin": subprocess.DEVNULL, **how},
                              env={**os.environ, "KUBECONFIG": config or "/nonexistent",
                                   "HOME": str(self.folder)})
        self.assertEqual(code, done.returncode, done.stdout + done.stderr)
        self.assertNotIn("Sanitizer", done.stderr)
        return done

    def refused(self, config, *texts, **more):
        err = self.run_wukong(config, code=1, **more).stderr
        for text in texts:
            self.assertIn(text, err)
        self.assertEqual([], self.server.seen)
        return err

    # plugins

    def test_both_versions_give_a_token(self):
        for version, mode in ((V1, "Never"), (BETA, None)):
            self.run_wukong(self.execs(self.prints(credential(version, token="t1")), version, mode))
        self.assertEqual(["t1", "t1"], self.server.tokens())

    def test_it_is_told_what_client_go_tells(self):
        script = self.plugin(f"echo \"$KUBERNETES_EXEC_INFO\" > {self.folder}/info\n"
                             f"echo \"$1 $GIVEN $HOME\" > {self.folder}/told\n"
                             f"cat > {self.folder}/stdin\n"
                             f"echo '{credential(token='x')}'\n")
        config = self.execs(script, mode="Never", args=["an argument"], provideClusterInfo=True,
                            env=[{"name": "GIVEN", "value": "value"}, {"name": "HOME", "value": "/else"}])
        self.run_wukong(config, stdin=None, input="secret")
        info = json.loads((self.folder / "info").read_text())
        self.assertEqual(("ExecCredential", V1), (info["kind"], info["apiVersion"]))
        self.assertEqual({"interactive": False, "cluster": {"server": self.address}}, info["spec"])
        self.assertEqual("an argument value /else\n", (self.folder / "told").read_text())
        self.assertEqual("", (self.folder / "stdin").read_text())

    def test_it_may_ask_in_a_terminal(self):
        script = self.plugin("read answer\n"
                             "printf '{\"kind\":\"ExecCredential\",\"apiVersion\":\"%s\",\"status\":{\"token\":"
                             f"\"%s\"}}}}' {V1} \"$answer\"\n")
        ours, theirs = pty.openpty()
        os.write(ours, b"from-the-user\n")
        for mode in ("IfAvailable", "Always"):
            os.write(ours, b"from-the-user\n")
            self.run_wukong(self.execs(script, mode=mode), stdin=theirs)
        self.assertEqual(["from-the-user"] * 2, self.server.tokens())
        self.server.seen.clear()
        self.refused(self.execs(script, mode="Always"), "must ask the user", "no terminal")

    def test_one_run_serves_all_requests(self):
        wukong = {**OBJECT, "metadata": {"name": "new"}, "status": {}}
        self.run_wukong(self.execs(self.prints(credential(token="t"))), "plan", "-", code=1, stdin=None,
                        input=json.dumps(wukong))
        self.assertGreater(len(self.server.seen), 3)
        self.assertEqual({"t"}, set(self.server.tokens()))
        self.assertEqual(1, self.runs())

    def test_a_relative_command_is_beside_the_kubeconfig(self):
        self.plugin(f"echo '{credential(token='beside')}'\n", "login")
        self.run_wukong(self.execs("./login"), cwd="/")
        self.assertEqual(["beside"], self.server.tokens())

    def test_a_plugin_that_is_not_there(self):
        self.refused(self.execs("no-such-plugin", installHint="Get it from your admin."),
                     "credential plugin no-such-plugin", "is it installed?", "Get it from your admin.")
        self.refused(self.execs(str(self.folder / "none")), "No such file")

    def test_a_plugin_that_fails_says_so_itself(self):
        self.refused(self.execs(self.plugin("echo 'your session is over' >&2; exit 7\n")),
                     "your session is over", "failed with exit code 7")
        self.refused(self.execs(self.plugin("kill -9 $$\n")), "signal 9")

    def test_a_plugin_that_answers_nonsense(self):
        for text, why in (("", "no ExecCredential"), ("hello", "no ExecCredential"), ("[]", "kind"),
                          ('{"kind":"Secret","apiVersion":"v1"}', "kind is \"Secret\""),
                          (credential(BETA, token="t"), BETA),
                          (json.dumps({"kind": "ExecCredential", "apiVersion": V1}), "no status"),
                          (credential(), "neither a token nor a client certificate"),
                          (credential(token="a b"), "blanks"), (credential(token="a\r\nX: y"), "blanks"),
                          (credential(clientKeyData="k"), "come together"),
                          (credential(token="t", expirationTimestamp="tomorrow"), "RFC 3339"),
                          (credential(token="t") * 2, "no ExecCredential")):
            self.refused(self.execs(self.prints(text)), "credential plugin", why)

    def test_an_answer_without_end(self):
        self.refused(self.execs(self.plugin("head -c 3000000 /dev/zero | tr '\\0' x\n")), "longer than")

    def test_what_is_wrong_in_the_kubeconfig(self):
        good = self.prints(credential(token="t"))
        for exec_, why in (({"command": good}, "apiVersion is missing"),
                           ({"command": good, "apiVersion": "client.authentication.k8s.io/v1alpha1"},
                            "is not supported"),
                           ({"apiVersion": V1, "interactiveMode": "Never"}, "command is missing"),
                           ({"command": good, "apiVersion": V1}, "interactiveMode is missing"),
                           ({"command": good, "apiVersion": V1, "interactiveMode": "never"}, "\"never\""),
                           ({"command": good, "apiVersion": BETA, "args": [7]}, "args[0]"),
                           ({"command": good, "apiVersion": BETA, "env": [{"value": "x"}]}, "env[0]")):
            self.refused(self.config({"exec": exec_}), why)
        self.assertEqual(0, self.runs())

    def test_a_token_that_is_refused_at_once_is_not_asked_for_again(self):
        script = self.plugin(f"echo run >> {self.folder}/runs\n"
                             f"n=$(wc -l < {self.folder}/runs)\n"
                             "printf '{\"kind\":\"ExecCredential\",\"apiVersion\":\"%s\",\"status\":{\"token\":"
                             f"\"t%s\"}}}}' {V1} \"$n\"\n")
        self.server.refused.add("t1")
        self.run_wukong(self.execs(script), code=1)
        self.assertEqual(1, self.runs())

    def test_a_hanging_plugin_is_ended(self):
        started = time.monotonic()
        self.refused(self.execs(self.plugin("exec sleep 600\n")), "did not answer within 60 s")
        self.assertLess(time.monotonic() - started, 90)

    def test_a_token_beside_it_wins(self):
        config = self.config({"token": "fixed", "exec": {"apiVersion": V1, "command": "no-such-plugin",
                                                         "interactiveMode": "Never"}})
        self.run_wukong(config)
        self.run_wukong(config, "status", "copy", "--token", "of-the-flag")
        self.assertEqual(["fixed", "of-the-flag"], self.server.tokens())

    # kubectl's flags

    def test_who_and_where_is_chosen_as_kubectl_does(self):
        config = self.config({"token": "of-a"})
        for arguments, token in ((("--user", "b"), "of-b"), (("--token=x",), "x"), ((), "of-a"),
                                 (("--cluster", "dead", "-s", self.address), "of-a"),
                                 (("--cluster=a", "--user=b", "--context=a"), "of-b")):
            self.server.seen.clear()
            self.run_wukong(config, "status", "copy", *arguments)
            self.assertEqual([token], self.server.tokens(), arguments)
        self.run_wukong(None, "status", "copy", "-n", "prod", "--server", self.address, "--token", "alone")
        self.assertEqual("alone", self.server.tokens()[-1])
        self.run_wukong(config, "status", "copy", "--as", "kim", "--as-uid", "7", "--as-group", "g")
        headers = self.server.seen[-1]
        self.assertEqual(("kim", "7", "g"), tuple(headers[f"Impersonate-{h}"] for h in ("User", "Uid", "Group")))

    # list

    def test_all_pages_are_listed(self):
        config = self.config({"token": "t"})
        text = self.run_wukong(config, "list").stdout
        rows = [line.split() for line in text.splitlines()]
        self.assertEqual("NAME SOURCE PHASE PROGRESS CONSISTENCY AGE WAITS FOR".split(), rows[0])
        self.assertEqual(["copy-0", "copy-1"], [row[0] for row in rows if row[0].startswith("copy")])
        self.assertIn("Queued: 2 are before it", text)
        self.assertNotIn("\x1b", text)
        self.assertTrue(all("/namespaces/prod/wukongs?limit=500" in p for p in self.server.paths))
        self.server.paths.clear()
        listed = json.loads(self.run_wukong(config, "list", "-A", "-o", "json").stdout)
        self.assertEqual(("List", 4), (listed["kind"], len(listed["items"])))
        self.assertTrue(all(p.startswith("/apis/vm.novasphere.dev/v1alpha1/wukongs?")
                            for p in self.server.paths))
        names = self.run_wukong(config, "-n", "x", "__complete", "status", "co").stdout
        self.assertIn("copy-1\n", names)
        self.assertEqual(":4", names.splitlines()[-1])

    def test_pages_that_are_too_large_are_asked_for_in_smaller_ones(self):
        self.server.bulk = "x" * (5 << 20)
        listed = json.loads(self.run_wukong(self.config({"token": "t"}), "list", "-o", "json").stdout)
        self.assertEqual(4, len(listed["items"]))
        self.assertEqual(["500", "100", "100"], [p.split("limit=")[1].split("&")[0] for p in self.server.paths])

    def test_one_object_for_scripts(self):
        config = self.config({"token": "t"})
        for verb, key, value in (("status", "phase", "Succeeded"), ("why", "state", "done")):
            self.assertEqual(value, json.loads(self.run_wukong(config, verb, "copy", "-o", "json").stdout)[key])
            self.assertIn(f"{key}: {value}\n", self.run_wukong(config, verb, "copy", "-o", "yaml").stdout)
        self.assertIn("verdict: ended", self.run_wukong(config, "plan", "copy", "-o", "yaml").stdout)

    def test_wrong_choices_are_named(self):
        config = self.config({"token": "of-a"})
        for arguments, why in ((("--user", "c"), "there is no user \"c\""),
                               (("--cluster", "c"), "there is no cluster \"c\""),
                               (("--server", "ftp://x"), "--server"), (("--as-uid", "7"), "needs --as"),
                               (("--token", "a b"), "--token holds"),
                               (("--client-key", "x"), "come together"),
                               (("--insecure-skip-tls-verify", "--certificate-authority", "x"), "contradicts")):
            self.assertIn(why, self.run_wukong(config, "status", "copy", *arguments, code=1).stderr)

    def test_requests_are_told_and_bounded(self):
        config = self.config({"token": "secret-token"})
        told = self.run_wukong(config, "status", "copy", "-v", "6").stderr
        self.assertRegex(told, rf"GET {self.address}/apis/vm.novasphere.dev/v1alpha1/namespaces/prod/"
                               r"wukongs/copy 200 in \d+ ms")
        self.assertNotIn("secret-token", told)
        self.server.stall = 5
        started = time.monotonic()
        self.run_wukong(config, "status", "copy", "--request-timeout", "1s", code=1)
        self.assertLess(time.monotonic() - started, 4.5)


if __name__ == "__main__":
    WUKONG = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
