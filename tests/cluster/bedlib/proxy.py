"""A proxy between one part and the API server that a test makes misbehave.

It ends TLS with the API server's own certificate and opens TLS of its own behind it, so the part
needs no other kubeconfig than one with another port; its token passes through. It reads requests
(HTTP/1.1, not pipelined, as libcurl and Go send them) and copies answers as they come, watches
included. One thread runs it; a test calls its methods from any other.

    proxy = bed.insert_proxy("worker")
    with proxy.fault(path=r"/volumesnapshots$", method="POST", status=503, times=2) as fault:
        …
    proxy.stall(); proxy.flow(); proxy.cut(); proxy.refuse(); proxy.accept()
    fault.hits, proxy.requests
"""

import asyncio
import contextlib
import json
import re
import ssl
import threading
import time
from email.utils import formatdate, parsedate_to_datetime

HEAD_MAX = 64 * 1024
CHUNK = 64 * 1024


class Fault:
    """One rule: which requests it hits, what happens to them, how often (None: until removed).

    status=N        answered with N and a Status object, never forwarded; `reason`, `retry_after`
    drop=True       the connection is closed instead
    lose_reply=True forwarded, carried out, but the connection is closed when the answer comes
    delay_s=X       forwarded after X seconds
    hang=True       neither forwarded nor answered for as long as the fault is there
    """

    def __init__(self, method=None, path=".", times=None, status=None, reason="", retry_after=None,
                 drop=False, lose_reply=False, delay_s=0.0, hang=False):
        self.method = method
        self.path = re.compile(path)
        self.left = times
        self.status = status
        self.reason = reason
        self.retry_after = retry_after
        self.drop = drop
        self.lose_reply = lose_reply
        self.delay_s = delay_s
        self.hang = hang
        self.hits = 0
        self.removed = False

    def takes(self, method, path):
        if self.removed or self.left == 0 or (self.method and self.method != method):
            return False
        if not self.path.search(path):
            return False
        self.hits += 1
        if self.left is not None:
            self.left -= 1
        return True

    def answer(self):
        status = {"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
                  "message": f"injected {self.status}", "code": self.status}
        if self.reason:
            status["reason"] = self.reason
        lines = [f"HTTP/1.1 {self.status} Injected", "Content-Type: application/json"]
        if self.retry_after is not None:
            status["details"] = {"retryAfterSeconds": self.retry_after}
            lines.append(f"Retry-After: {self.retry_after}")
        body = json.dumps(status).encode()
        lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Proxy:
    """Listens on `port` of loopback and leads to the API server of a bed."""

    def __init__(self, bed, port):
        self.port = port
        self.upstream = bed.port("apiserver")
        self.server_tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.server_tls.load_cert_chain(bed.pki / "apiserver.crt", bed.pki / "apiserver.key")
        self.client_tls = ssl.create_default_context(cafile=str(bed.pki / "ca.crt"))
        # (seconds since the epoch, method, path with query) of every request, in order.
        self.requests = []
        # The API server's clock, as the Date of its answers tells it, is off by so much.
        self.dates_off_s = 0
        self._faults = []
        self._lock = threading.Lock()
        self._accepting = True
        self._pairs = set()
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._failure = None
        self._thread = threading.Thread(target=self._run, name=f"proxy-{port}", daemon=True)
        self._thread.start()
        self._started.wait(10)
        if self._failure:
            raise self._failure

    # ---- what a test calls ----------------------------------------------------------------------

    @contextlib.contextmanager
    def fault(self, **rule):
        """A Fault for the length of a with block."""
        fault = self.add(**rule)
        try:
            yield fault
        finally:
            self.remove(fault)

    def add(self, **rule):
        fault = Fault(**rule)
        with self._lock:
            self._faults.append(fault)
        return fault

    def remove(self, fault):
        fault.removed = True
        with self._lock:
            if fault in self._faults:
                self._faults.remove(fault)

    def stall(self):
        """No byte passes in either direction and nothing is closed: a half-open network."""
        self._call(self._flowing.clear)

    def flow(self):
        self._call(self._flowing.set)

    def cut(self):
        """Closes every connection there is; new ones are taken."""
        self._call(self._cut)

    def refuse(self):
        """Closes every connection and every new one at once."""
        self._accepting = False
        self.cut()

    def accept(self):
        self._accepting = True

    def heal(self):
        """Takes every fault away."""
        with self._lock:
            faults, self._faults = self._faults, []
        for fault in faults:
            fault.removed = True
        self._accepting = True
        self.flow()

    def close(self):
        self._call(self._cut)
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    # ---- the loop's side ------------------------------------------------------------------------

    def _call(self, function):
        done = threading.Event()

        def call():
            function()
            done.set()

        self._loop.call_soon_threadsafe(call)
        if not done.wait(10):
            raise TimeoutError("the proxy's loop does not answer")

    def _run(self):
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        except OSError as failure:
            self._failure = failure
            self._started.set()
        finally:
            self._loop.close()

    async def _serve(self):
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._client, "127.0.0.1", self.port, ssl=self.server_tls,
                                            limit=HEAD_MAX)
        self._started.set()
        await self._stop.wait()
        server.close()
        tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _cut(self):
        for writer in list(self._pairs):
            writer.transport.abort()

    async def _client(self, reader, writer):
        self._pairs.add(writer)
        behind = None
        try:
            if not self._accepting:
                return
            upstream_reader, behind = await asyncio.open_connection(
                "127.0.0.1", self.upstream, ssl=self.client_tls, server_hostname="localhost")
            self._pairs.add(behind)
            lose = asyncio.Event()
            copy = asyncio.ensure_future(self._answers(upstream_reader, writer, lose))
            try:
                await self._requests(reader, writer, behind, lose, copy)
            finally:
                copy.cancel()
                await asyncio.gather(copy, return_exceptions=True)
        except (OSError, ssl.SSLError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            for end in (writer, behind):
                if end is not None:
                    self._pairs.discard(end)
                    end.transport.abort()

    async def _requests(self, reader, writer, behind, lose, copy):
        while True:
            head_task = asyncio.ensure_future(reader.readuntil(b"\r\n\r\n"))
            done, _ = await asyncio.wait({head_task, copy}, return_when=asyncio.FIRST_COMPLETED)
            if head_task not in done:
                head_task.cancel()
                await asyncio.gather(head_task, return_exceptions=True)
                return
            head = head_task.result()
            body = await self._body(head, reader)
            method, path = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")[:2]
            self.requests.append((time.time(), method, path))
            with self._lock:
                fault = next((f for f in self._faults if f.takes(method, path)), None)
            if fault:
                if fault.drop:
                    return
                if fault.status:
                    writer.write(fault.answer())
                    await writer.drain()
                    continue
                if fault.delay_s:
                    await asyncio.sleep(fault.delay_s)
                while fault.hang and not fault.removed:
                    await asyncio.sleep(0.02)
                if fault.lose_reply:
                    lose.set()
            await self._flowing.wait()
            behind.write(head + body)
            await behind.drain()

    async def _body(self, head, reader):
        lower = head.lower()
        length = re.search(rb"\r\ncontent-length: *(\d+)", lower)
        if length:
            return await reader.readexactly(int(length.group(1)))
        if b"\r\ntransfer-encoding: chunked" not in lower:
            return b""
        body = b""
        while True:
            line = await reader.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
            body += line + await reader.readexactly(size + 2)
            if size == 0:
                return body

    def _off(self, date):
        when = parsedate_to_datetime(date.group().decode()).timestamp() + self.dates_off_s
        return formatdate(when, usegmt=True).encode()

    async def _answers(self, reader, writer, lose):
        while True:
            data = await reader.read(CHUNK)
            if not data or lose.is_set():
                return
            await self._flowing.wait()
            if self.dates_off_s:
                data = re.sub(rb"(?<=\r\nDate: )[^\r]+", self._off, data, count=1)
            writer.write(data)
            await writer.drain()
