#!/usr/bin/env python3
"""Proves who is served and until when: with --client-ca only callers with a certificate of that CA and,
where --client-names is given, of one of those names, on every connection anew; and after SIGTERM
everybody who is connected or still comes, each answer saying `Connection: close`, until the drain is
over and the program ends by itself.

    test_callers.py PROGRAM [Certificates | Leaving]
"""

import signal
import ssl
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cluster"))
import test_hostile  # noqa: E402
from bedlib import pki  # noqa: E402


def posted(link):
    link.request("POST", test_hostile.VALIDATE, test_hostile.review("u"))
    answer = link.getresponse()
    answer.read()
    return answer


class Certificates(test_hostile.Program):
    @classmethod
    def arguments(cls, folder):
        trusted = pki.Authority(folder, "trusted").create()
        stranger = pki.Authority(folder, "stranger").create()
        cls.pairs = {"named": trusted.issue("named", "api-server"),
                     "alternative": trusted.issue("alternative", "x", hosts=["api-server.example.com"]),
                     "unnamed": trusted.issue("unnamed", "somebody"),
                     "prefix": trusted.issue("prefix", "api-serve"),
                     "stranger": stranger.issue("other", "api-server"),
                     "itself": (stranger.certificate, stranger.key)}
        cls.first = cls.pairs["named"]
        return ["--client-ca", str(trusted.certificate), "--client-names",
                "api-server,api-server.example.com"]

    @classmethod
    def connection(cls, timeout=20, pair=None):
        link = super().connection(timeout)
        context = ssl.create_default_context(cafile=str(Path(cls.folder.name) / "tls.crt"))
        pair = pair or cls.first
        if pair != "none":
            context.load_cert_chain(*map(str, pair))
        link._context = context
        return link

    def status(self, pair):
        """Of a review; None when the handshake is refused or the connection ended."""
        try:
            return posted(self.connection(pair=pair)).status
        except (OSError, test_hostile.http.client.HTTPException):
            return None

    def test_only_those_named_by_the_authority_are_served(self):
        self.assertEqual(401, self.status("none"))
        for name, pair in self.pairs.items():
            with self.subTest(caller=name):
                if name in ("named", "alternative"):
                    self.assertEqual(200, self.status(pair))
                else:
                    self.assertIn(self.status(pair), (401, None))

    def test_a_session_is_not_resumed_without_the_certificate(self):
        """A resumed session would carry a check of the past over."""
        context = self.connection()._context
        session = None
        for _ in range(2):
            plain = test_hostile.socket.create_connection(("127.0.0.1", self.port), timeout=10)
            with context.wrap_socket(plain, server_hostname="localhost", session=session) as tls:
                self.assertFalse(tls.session_reused)
                body = test_hostile.review("u")
                tls.sendall(b"POST " + test_hostile.VALIDATE.encode() + b" HTTP/1.1\r\nHost: x\r\n"
                            b"Content-Length: %d\r\n\r\n" % len(body) + body)
                self.assertIn(b" 200 ", tls.recv(100))
                session = tls.session

    def test_the_plain_port_needs_none(self):
        link = test_hostile.http.client.HTTPConnection("127.0.0.1", self.plain, timeout=5)
        link.request("GET", "/healthz")
        self.assertEqual(200, link.getresponse().status)


class Leaving(test_hostile.Program):
    @classmethod
    def arguments(cls, folder):
        return ["--drain", "2s"]

    def test_everybody_is_served_until_the_end(self):
        kept = [self.connection() for _ in range(3)]
        for link in kept:
            self.assertIsNone(posted(link).headers["Connection"])
        self.process.send_signal(signal.SIGTERM)
        began, served = time.monotonic(), 0
        while time.monotonic() - began < 1.5:
            # The kept ones first: their next answer ends them.
            answer = posted(kept.pop() if kept else self.connection())
            self.assertEqual(200, answer.status)
            if time.monotonic() - began > 0.2:
                self.assertEqual("close", answer.headers["Connection"])
            served += 1
            time.sleep(0.1)
        self.assertGreater(served, 5)
        self.assertEqual(0, self.process.wait(timeout=10))
        self.assertGreater(time.monotonic() - began, 1.9)


if __name__ == "__main__":
    unittest.main(warnings="ignore", argv=[sys.argv[0], *sys.argv[2:]], verbosity=1)
