"""Tells how far a build is: a line every ten seconds, or in a terminal one line that moves."""

import sys
import threading
import time

EVERY_S, LIVE_S = 8.0, 0.5


def clock(seconds):
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


class Progress:
    """Of `total` jobs one after the other. `detail()` of the running one is asked for at each line."""

    def __init__(self, total, out=sys.stderr):
        self.total, self.out = total, out
        self.began = time.monotonic()
        self.done, self.job, self.detail = 0, "", lambda: ""
        self.live = out.isatty()
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.ticker = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self):
        self.ticker.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.ticker.join()
        self._clear()

    def begin(self, job, detail=lambda: ""):
        with self.lock:
            self.job, self.detail = job, detail
        if not self.live:
            self._print()

    def end(self):
        with self.lock:
            self.done += 1
            self.job = ""

    def line(self):
        with self.lock:
            job, detail, done = self.job, self.detail, self.done
        more = detail() if job else ""
        left = self.total - done - bool(job)
        return (f"   [{done + bool(job)}/{self.total}] {job}{': ' if more else ''}{more}, "
                f"{left} more to build, {clock(time.monotonic() - self.began)} so far")

    def say(self, text):
        self._clear()
        print(text, file=self.out, flush=True)

    def _print(self):
        print(self.line(), file=self.out, flush=True)

    def _clear(self):
        if self.live:
            print("\r\033[K", end="", file=self.out, flush=True)

    def _tick(self):
        while not self.over.wait(LIVE_S if self.live else EVERY_S):
            if not self.job:
                continue
            if self.live:
                width = 20
                filled = width * self.done // max(1, self.total)
                print(f"\r\033[K[{'#' * filled}{'.' * (width - filled)}]{self.line()[2:]}"[:118], end="",
                      file=self.out, flush=True)
            else:
                self._print()
