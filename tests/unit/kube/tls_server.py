"""Two HTTPS servers on loopback for test_tls.c: one whose certificate is valid for 127.0.0.1 and
kube.test, one valid for kube.test alone. Each answers with the common name of the client's
certificate, "-" without one. Keys and certificates are made with openssl in the folder given as
argument; the two ports are printed when both listen. Ends when standard input closes."""

import http.server
import os
import ssl
import subprocess
import sys
import threading


def openssl(*args):
    subprocess.run(["openssl", *args], check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_ca(name):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", f"{name}.key", "-out", f"{name}.crt", "-subj", f"/CN={name}",
            "-days", "2", "-addext", "keyUsage=critical,keyCertSign")


def make_leaf(name, common_name, extensions):
    with open(f"{name}.ext", "w", encoding="ascii") as f:
        f.write(extensions)
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={common_name}")
    openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key",
            "-CAcreateserial", "-out", f"{name}.crt", "-days", "2", "-extfile", f"{name}.ext")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        peer = self.connection.getpeercert() or {}
        names = [v for rdn in peer.get("subject", ()) for k, v in rdn if k == "commonName"]
        body = (names[0] if names else "-").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # refused handshakes are what is tested


def serve(name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{name}.crt", f"{name}.key")
    context.load_verify_locations("ca.crt")
    context.verify_mode = ssl.CERT_OPTIONAL
    server = Server(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True,
                                        do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def main():
    os.chdir(sys.argv[1])
    make_ca("ca")
    make_ca("other")
    make_leaf("both", "both", "subjectAltName=DNS:kube.test,IP:127.0.0.1\n")
    make_leaf("name", "name", "subjectAltName=DNS:kube.test\n")
    make_leaf("client", "alice", "extendedKeyUsage=clientAuth\n")
    print(serve("both"), serve("name"), flush=True)
    sys.stdin.read()


main()
