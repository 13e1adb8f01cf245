"""Proves that certificates are rotated, and replicas come and go, without one failed call.

Two replicas stand behind a balancer that behaves as kube-proxy does: it sends new connections to
replicas that said they were ready a moment ago, and leaves established ones alone. Their CA lives for
20 s and their serving certificates for 8 s, so that a minute holds several rotations of each.
Meanwhile clients create Wukongs (dry run) through the real API server without a pause.
"""

import base64
import http.client
import select
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bedlib import harness, install, objects, pki  # noqa: E402

CA_S, LEAF_S, SETTLE_S = 20, 8, 2
LIVES = ["--ca-life", f"{CA_S}s", "--leaf-life", f"{LEAF_S}s", "--settle", f"{SETTLE_S}s",
         "--drain", "1500ms"]
PROBE_S = 0.2
FILES_S = 10  # certs/keeper.h: KEEPER_FILES_MS
# A CA gives way at two thirds of its life, once the next one has been live for SETTLE_S. The run ends
# when it has seen that often enough, which takes 45 s, and longer on a busy machine.
RUN_MAX_S = 6 * CA_S
CAS_MIN, LEAVES_MIN = 4, 8
REGISTRATION = "admissionregistration.k8s.io/v1"
REGISTRATIONS = (("MutatingWebhookConfiguration", "wukong-mutating"),
                 ("ValidatingWebhookConfiguration", "wukong-validating"))
NOT_VERIFIED = "the serving certificate does not verify against the live caBundle\n"
HOST = "wukong-webhook.wukong-system.svc"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Replica:
    """One wukong-webhook with the chart's command line on ports of its own."""

    def __init__(self, bed, folder, number, *more):
        self.port, self.plain = free_port(), free_port()
        command = [str(word) for word in install.product_command(bed, "webhook")]
        for flag, value in (("--listen-port", self.port), ("--metrics-port", self.plain)):
            command[command.index(flag) + 1] = str(value)
        self.log = open(folder / f"webhook-replica-{number}.log", "w", encoding="utf-8")
        self.process = subprocess.Popen([*command, *LIVES, *more], stdout=self.log, stderr=self.log)
        self.was_ready, self.why_not = False, ""

    def probe(self):
        """What the kubelet's readiness probe would find."""
        try:
            link = http.client.HTTPConnection("127.0.0.1", self.plain, timeout=2)
            link.request("GET", "/readyz")
            answer = link.getresponse()
            self.why_not = answer.read().decode()
            link.close()
            self.was_ready = answer.status == 200
        except TimeoutError:
            pass  # the machine is busy; a probe has to fail more than once to count
        except OSError:
            self.was_ready = False
        return self.was_ready

    def send(self, number):
        self.process.send_signal(number)

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()
        self.log.close()


class Balancer:
    """TCP pass-through to the replicas that answered their last probe."""

    def __init__(self, port):
        self.replicas, self.ready, self.turn = [], [], 0
        self.without = 0  # probes that found nobody ready
        self.stopping = False
        self.listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self.threads = [threading.Thread(target=run, daemon=True) for run in (self._probe, self._accept)]
        for thread in self.threads:
            thread.start()

    def _probe(self):
        while not self.stopping:
            self.ready = [r for r in list(self.replicas) if r.probe()]
            self.without += not self.ready
            time.sleep(PROBE_S)

    def _accept(self):
        while not self.stopping:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        ready = list(self.ready)
        if not ready:
            client.close()
            return
        self.turn += 1
        replica = ready[self.turn % len(ready)]
        try:
            server = socket.create_connection(("127.0.0.1", replica.port))
        except OSError:
            client.close()
            return
        for s in (client, server):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        other = {client: server, server: client}
        try:
            while True:
                for s in select.select([client, server], [], [])[0]:
                    data = s.recv(65536)
                    if not data:
                        return
                    other[s].sendall(data)
        except OSError:
            pass
        finally:
            client.close()
            server.close()

    def close(self):
        self.stopping = True
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self.listener.close()
        for thread in self.threads:
            thread.join()


class Provided:
    """A replica in mode `provided`: files that somebody else writes are served, read again when they
    change, kept when what replaces them is half a pair; ready only when they verify."""

    def __init__(self, bed):
        self.bed, self.folder = bed, Path(bed.data) / "certs-provided"

    def run(self):
        self.folder.mkdir()
        first, second = self.issue(0), self.issue(1)
        for name in ("tls.crt", "tls.key"):
            (self.folder / name).write_bytes(first[name])
        replica = Replica(self.bed, self.bed.logs, "provided", "--cert-mode", "provided", "--cert-dir",
                          str(self.folder))
        try:
            harness.wait_for(lambda: self.shown(replica) == first["der"], 10, "the first certificate")
            (self.folder / "tls.key").write_bytes(second["tls.key"])
            time.sleep(FILES_S + 1)
            assert self.shown(replica) == first["der"], "a pair that does not fit was taken"
            (self.folder / "tls.crt").write_bytes(second["tls.crt"])
            harness.wait_for(lambda: self.shown(replica) == second["der"], FILES_S + 5, "the new one")
            harness.wait_for(lambda: not replica.probe() and replica.why_not == NOT_VERIFIED, 10,
                             "it to say that it does not verify against the live caBundle")
        finally:
            replica.end()

    def issue(self, number):
        key, crt = self.folder / f"{number}.key", self.folder / f"{number}.crt"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-keyout", str(key), "-out", str(crt),
                        "-days", "2", "-subj", f"/CN=provided-{number}"], check=True,
                       capture_output=True)
        return {"tls.key": key.read_bytes(), "tls.crt": crt.read_bytes(),
                "der": ssl.PEM_cert_to_DER_cert(crt.read_text())}

    @staticmethod
    def shown(replica):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            with socket.create_connection(("127.0.0.1", replica.port), timeout=5) as plain:
                with context.wrap_socket(plain) as tls:
                    return tls.getpeercert(binary_form=True)
        except OSError:
            return None


class Load:
    """Clients that create Wukongs in dry run, one after the other, until told to stop."""

    def __init__(self, kube, namespace, clients=3):
        self.kube, self.namespace = kube, namespace
        self.answered, self.failed, self.slowest_s = 0, [], 0.0
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(n,)) for n in range(clients)]
        for thread in self.threads:
            thread.start()

    def _run(self, number):
        wanted = objects.wukong(self.namespace, f"load-{number}", {"cpu": 1, "memory": "1Gi"})
        while not self.stopping.is_set():
            began = time.monotonic()
            try:
                self.kube.create(wanted, dry_run=True)
                with self.lock:
                    self.answered += 1
                    self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            except Exception as failure:  # noqa: BLE001
                with self.lock:
                    self.failed.append((time.strftime("%H:%M:%S"), str(failure)))
            time.sleep(0.01)

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


class Certificates(harness.Case):
    needs = ("webhook",)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Needs no Secret and no traffic, and is mostly waiting: beside the others.
        cls.beside = ThreadPoolExecutor(1)
        cls.provided = cls.beside.submit(Provided(cls.bed).run)
        cls.addClassCleanup(cls.beside.shutdown)

    def setUp(self):
        super().setUp()
        self.bed.kill("webhook")  # it would drain for 5 s, and nobody calls it now
        self.balancer = Balancer(self.bed.port("webhook"))
        self.made = 0
        self.addCleanup(self._restore)

    def _restore(self):
        self.balancer.close()
        for replica in self.balancer.replicas:
            replica.end()
        self.kube.delete("v1", "Secret", "wukong-system", "wukong-webhook-ca")
        self.bed.start("webhook")

    def replica(self, *more):
        self.made += 1
        replica = Replica(self.bed, self.bed.logs, f"{self.namespace}-{self.made}", *more)
        self.balancer.replicas.append(replica)
        self.wait_for(replica.probe, 20, "the replica to be ready")
        self.wait_for(lambda: replica in self.balancer.ready, 5, "the balancer to know it")
        return replica

    def retire(self, replica):
        """As a rollout does: SIGTERM, and nothing else."""
        replica.send(signal.SIGTERM)
        self.assertEqual(0, replica.process.wait(timeout=20))
        self.balancer.replicas.remove(replica)
        replica.end()

    def entry(self, key):
        data = self.kube.get("v1", "Secret", "wukong-system", "wukong-webhook-ca")["data"]
        return base64.b64decode(data[key]).decode() if key in data else None

    def live_bundles(self):
        found = []
        for kind, name in REGISTRATIONS:
            for hook in self.kube.get(REGISTRATION, kind, None, name)["webhooks"]:
                found.append(base64.b64decode(hook["clientConfig"].get("caBundle", "")).decode())
        return found

    def shake_hands(self, replica):
        """A handshake as the API server makes it, against the live caBundle. The certificate's DER."""
        context = ssl.create_default_context(cadata=self.live_bundles()[0])
        with socket.create_connection(("127.0.0.1", replica.port), timeout=5) as plain:
            with context.wrap_socket(plain, server_hostname=HOST) as tls:
                return tls.getpeercert(binary_form=True)

    def test_rotation_rollout_and_sleep_under_load(self):
        # The Secret of the bed's own webhook has a CA that lives for a year.
        self.kube.delete("v1", "Secret", "wukong-system", "wukong-webhook-ca")
        one, two = self.replica(), self.replica()
        load = Load(self.kube, self.namespace)
        self.addCleanup(load.stop)
        authorities, leaves = set(), set()
        began = time.monotonic()
        rolled = slept = 0
        while len(authorities) < CAS_MIN or len(leaves) < LEAVES_MIN or rolled < 2 or not slept:
            self.assertLess(time.monotonic() - began, RUN_MAX_S,
                            f"{len(authorities)} CAs and {len(leaves)} serving certificates seen")
            authorities.add(self.entry("ca.crt"))
            leaves.add(self.shake_hands(one))
            self.assertEqual([], load.failed)
            now = time.monotonic() - began
            if rolled < 2 and now > LEAF_S * (rolled + 1):
                rolled += 1
                fresh = self.replica()
                old, one, two = one, two, fresh
                self.retire(old)
            if not slept and rolled == 2:
                slept = 1
                self.sleep_longer_than_a_leaf_lives(two)
            time.sleep(0.5)
        load.stop()
        self.assertEqual([], load.failed)
        self.assertGreater(load.answered, 300)
        print(f"# {load.answered} calls, 0 failed, slowest {load.slowest_s * 1000:.0f} ms; "
              f"{len(authorities)} CAs, {len(leaves)} certificates seen, {rolled} replicas replaced")

    def sleep_longer_than_a_leaf_lives(self, replica):
        """The machine under it is suspended for longer than its certificate lives. Nothing can answer
        a call on a connection to a machine that sleeps, so it takes no part in the load meanwhile:
        what is judged is that from the first handshake after waking on it is right again."""
        self.balancer.replicas.remove(replica)
        self.wait_for(lambda: replica not in self.balancer.ready, 5, "the balancer to leave it")
        # A new caBundle makes the API server a new client, and the old one's connections go idle;
        # a call that is under way on one of them is over long before.
        replica.send(signal.SIGTERM)
        self.assertEqual(0, replica.process.wait(timeout=20))
        sleeper = Replica(self.bed, self.bed.logs, f"{self.namespace}-sleeper")
        self.wait_for(sleeper.probe, 20, "the sleeper to be ready")
        before = self.shake_hands(sleeper)
        sleeper.send(signal.SIGSTOP)
        time.sleep(LEAF_S + 2)
        sleeper.send(signal.SIGCONT)
        after = self.shake_hands(sleeper)
        self.assertNotEqual(before, after)
        self.wait_for(sleeper.probe, 10, "it to be ready again")
        self.balancer.replicas.append(sleeper)

    def test_a_wiped_bundle_and_a_deleted_secret_are_made_good(self):
        replica = self.replica()
        for kind, name in REGISTRATIONS:
            self.kube.patch(REGISTRATION, kind, None, name,
                            [{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle",
                              "value": base64.b64encode(b"").decode()}])
        self.wait_for(lambda: all("BEGIN CERT" in b for b in self.live_bundles()), 10, "the bundle")
        self.wait_for(replica.probe, 10, "readiness")
        self.shake_hands(replica)
        before = self.entry("ca.crt")
        self.kube.delete("v1", "Secret", "wukong-system", "wukong-webhook-ca")
        self.wait_for(lambda: self.entry("ca.crt") not in (None, before), 10, "a new CA")
        self.wait_for(lambda: all(self.entry("ca.crt") in b for b in self.live_bundles()), 10,
                      "it to be published")
        self.wait_for(replica.probe, 10, "readiness")
        self.shake_hands(replica)

    def test_only_the_bundle_is_written_under_a_manager_of_its_own(self):
        self.replica()
        found = self.kube.get(REGISTRATION, "MutatingWebhookConfiguration", None, "wukong-mutating")
        ours = [m for m in found["metadata"]["managedFields"] if m["manager"] == "wukong-webhook"]
        self.assertEqual(["Apply"], [m["operation"] for m in ours])
        hook = 'k:{"name":"mwukong.vm.novasphere.dev"}'
        self.assertEqual({"f:webhooks": {hook: {".": {}, "f:clientConfig": {"f:caBundle": {}},
                                                "f:name": {}}}}, ours[0]["fieldsV1"])

    def test_two_replicas_that_start_at_once_agree(self):
        self.kube.delete("v1", "Secret", "wukong-system", "wukong-webhook-ca")
        pair = [Replica(self.bed, self.bed.logs, f"{self.namespace}-pair-{n}") for n in range(2)]
        self.balancer.replicas += pair
        for replica in pair:
            self.wait_for(replica.probe, 20, "both to be ready")
            self.shake_hands(replica)

    def test_a_certificate_of_cert_manager_is_ready_once_its_bundle_is_live(self):
        """Its files lie there before its injector has written the caBundle, which is nobody else's then."""
        folder = Path(self.bed.data) / "certs-manager"
        authority = pki.Authority(folder, "ca").create()
        for made, name in zip(authority.issue("pair", "webhook", hosts=[HOST]), ("tls.crt", "tls.key")):
            made.rename(folder / name)
        replica = Replica(self.bed, self.bed.logs, f"{self.namespace}-cert-manager", "--cert-mode",
                          "certManager", "--cert-dir", str(folder))
        self.balancer.replicas.append(replica)
        self.wait_for(lambda: not replica.probe() and replica.why_not == NOT_VERIFIED, 20,
                      "it to wait for its bundle alone")
        bundle = base64.b64encode(authority.certificate.read_bytes()).decode()
        hooks = 0
        for kind, name in REGISTRATIONS:
            webhooks = self.kube.get(REGISTRATION, kind, None, name)["webhooks"]
            hooks += len(webhooks)
            self.kube.patch(REGISTRATION, kind, None, name, [
                {"op": "replace", "path": f"/webhooks/{i}/clientConfig/caBundle", "value": bundle}
                for i in range(len(webhooks))])
        self.wait_for(lambda: replica in self.balancer.ready, 10, "it to be ready")
        wanted = objects.wukong(self.namespace, "w", {"cpu": 1, "memory": "1Gi"})
        self.wait_for(lambda: self.kube.create(wanted, dry_run=True), 10, "a call to reach it")
        self.assertEqual(hooks * [authority.certificate.read_text()], self.live_bundles())

    def test_what_others_make_is_read_again_and_a_broken_pair_is_not(self):
        self.provided.result()


if __name__ == "__main__":
    harness.main()
