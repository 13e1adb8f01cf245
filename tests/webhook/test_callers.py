#!/usr/bin/env python3
"""Proves who is served and until when: with --client-ca only callers with a certificate of that CA and,
where --client-names is given, of one of those names, on every connection anew; which versions, suites and
signatures of TLS are spoken, by openssl's own client; on which addresses; and after SIGTERM
everybody who is connected or still comes, each answer saying `Connection: close`, until the drain is
over and the program ends by itself.

    test_callers.py PROGRAM [Certificates | Suites | Newest | Addresses | Leaving]
"""

import signal
import socket
import ssl
import subprocess
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
                     "server's": cls.for_servers(trusted),
                     "itself": (stranger.certificate, stranger.key)}
        cls.first = cls.pairs["named"]
        return ["--client-ca", str(trusted.certificate), "--client-names",
                "api-server,api-server.example.com"]

    @staticmethod
    def for_servers(authority):
        """Of the same CA and of a listed name, but not to call with."""
        crt, key = authority.issue("server", "api-server")
        request, extensions = crt.with_suffix(".csr"), crt.with_suffix(".ext")
        extensions.write_text("extendedKeyUsage=serverAuth\n")
        subprocess.run(["openssl", "req", "-new", "-key", key, "-subj", "/CN=api-server", "-out", request],
                       check=True, capture_output=True)
        subprocess.run(["openssl", "x509", "-req", "-in", request, "-CA", authority.certificate, "-CAkey",
                        authority.key, "-set_serial", "77", "-days", "2", "-extfile", extensions, "-out", crt],
                       check=True, capture_output=True)
        return crt, key

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


class Spoken(test_hostile.Program):
    """The program with an RSA certificate, which is what weak suites need."""

    @classmethod
    def arguments(cls, folder):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                        "/CN=test", "-addext", "subjectAltName=DNS:localhost", "-keyout",
                        str(folder / "tls.key"), "-out", str(folder / "tls.crt")], check=True,
                       capture_output=True)
        return []

    def speaks(self, *arguments):
        """Whether openssl's client, of whatever it is told to offer, gets a connection."""
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", *arguments],
                              input="", text=True, capture_output=True, timeout=30, check=False)
        return "Cipher is (NONE)" not in done.stdout and "New, " in done.stdout


class Suites(Spoken):
    def test_forward_secrecy_and_aead_only(self):
        for cipher in ("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384",
                       "ECDHE-RSA-CHACHA20-POLY1305"):
            self.assertTrue(self.speaks("-tls1_2", "-cipher", cipher), cipher)
        for cipher in ("AES128-SHA", "AES256-SHA", "AES128-GCM-SHA256", "AES128-SHA256", "CAMELLIA128-SHA",
                       "ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES256-SHA", "ECDHE-RSA-AES128-SHA256",
                       "DHE-RSA-AES128-GCM-SHA256", "DHE-RSA-AES128-SHA"):
            self.assertFalse(self.speaks("-tls1_2", "-cipher", cipher + ":@SECLEVEL=0"), cipher)

    def test_versions_and_signatures(self):
        for version, spoken in (("-tls1_3", True), ("-tls1_2", True), ("-tls1_1", False), ("-tls1", False)):
            self.assertEqual(spoken, self.speaks(version, "-cipher", "DEFAULT:@SECLEVEL=0"), version)
        for signature, spoken in (("RSA+SHA256", True), ("RSA-PSS+SHA256", True), ("RSA+SHA1", False)):
            self.assertEqual(spoken, self.speaks("-tls1_2", "-sigalgs", signature, "-cipher",
                                                 "DEFAULT:@SECLEVEL=0"), signature)


class Newest(Spoken):
    @classmethod
    def arguments(cls, folder):
        return [*super().arguments(folder), "--tls-min", "1.3"]

    def test_only_1_3(self):
        self.assertTrue(self.speaks("-tls1_3"))
        self.assertFalse(self.speaks("-tls1_2"))


class Addresses(test_hostile.Program):
    """Without an address, or with the one that means all: IPv6 and IPv4."""

    @classmethod
    def arguments(cls, folder):
        return ["--listen-address", "*"]

    def test_both(self):
        for port in (self.port, self.plain):
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            try:
                probe = socket.socket(socket.AF_INET6)
                probe.bind(("::1", 0))
                probe.close()
            except OSError:
                self.skipTest("no IPv6 here")
            socket.create_connection(("::1", port), timeout=5).close()


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
