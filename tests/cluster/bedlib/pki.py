"""Certificates of a bed, made with the openssl command.

Two authorities, as kube-apiserver wants them: `ca` signs servers and clients, `front-proxy-ca` signs
only the aggregator's client certificate, so that no ordinary client can claim to be another user.
Keys are P-256: making one takes a millisecond.
"""

import os
import subprocess
from pathlib import Path

DAYS = "30"


def _openssl(*args):
    done = subprocess.run(["openssl", *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {args[0]}: {done.stderr.strip()}")
    return done.stdout


class Authority:
    """A CA in a folder of its own certificates: <folder>/<name>.crt and .key."""

    def __init__(self, folder, name):
        self.folder = Path(folder)
        self.name = name

    @property
    def certificate(self):
        return self.folder / f"{self.name}.crt"

    @property
    def key(self):
        return self.folder / f"{self.name}.key"

    def create(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        with _private():
            _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                     "-days", DAYS, "-subj", f"/CN=wukong-bed-{self.name}",
                     "-addext", "basicConstraints=critical,CA:TRUE",
                     "-addext", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature",
                     "-keyout", str(self.key), "-out", str(self.certificate))
        return self

    def issue(self, name, common_name, organizations=(), hosts=()):
        """A certificate for a server (when hosts are given) and a client. Returns (crt, key)."""
        crt, key, csr = (self.folder / f"{name}.{end}" for end in ("crt", "key", "csr"))
        subject = "".join(f"/O={_escape(o)}" for o in organizations) + f"/CN={_escape(common_name)}"
        extensions = ["basicConstraints=CA:FALSE", "keyUsage=critical,digitalSignature",
                      "extendedKeyUsage=clientAuth" + (",serverAuth" if hosts else "")]
        if hosts:
            names = [f"IP:{h}" if h.replace(".", "").isdigit() else f"DNS:{h}" for h in hosts]
            extensions.append("subjectAltName=" + ",".join(names))
        ext = self.folder / f"{name}.ext"
        ext.write_text("\n".join(extensions) + "\n")
        with _private():
            _openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                     "-subj", subject, "-keyout", str(key), "-out", str(csr))
        _openssl("x509", "-req", "-in", str(csr), "-CA", str(self.certificate), "-CAkey", str(self.key),
                 "-set_serial", "0x" + os.urandom(8).hex(), "-days", DAYS, "-extfile", str(ext),
                 "-out", str(crt))
        csr.unlink()
        ext.unlink()
        return crt, key


def key_pair(folder, name):
    """A key pair without a certificate: the signer of ServiceAccount tokens."""
    key, public = Path(folder) / f"{name}.key", Path(folder) / f"{name}.pub"
    with _private():
        _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
                 "-out", str(key))
    _openssl("pkey", "-in", str(key), "-pubout", "-out", str(public))
    return key, public


class _private:
    """Files made inside are readable by their owner alone."""

    def __enter__(self):
        self.old = os.umask(0o077)

    def __exit__(self, *_):
        os.umask(self.old)


def _escape(text):
    return text.replace("\\", "\\\\").replace("/", "\\/")
