"""A terminal as far as the command line uses one: a pty, and a screen that obeys what is written to it.

`Terminal(columns, rows, command, env)` starts the command. Whatever it writes goes through `Screen`, which
knows cursor up, carriage return, erase to the end of line and of screen, and colours; anything else is
an error, and so is a character behind the last column. No reflow on resize, as with xterm.
"""

import codecs
import fcntl
import os
import pty
import re
import select
import struct
import termios
import time

ESCAPE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])")


class Screen:
    def __init__(self, columns, rows):
        self.columns, self.rows = columns, rows
        self.lines, self.row, self.column = [""], 0, 0
        self.scrolled = []        # what went off the top
        self.problems = []
        self.colours = set()
        self.most = 0             # rows of the highest picture
        self._rest = ""

    def resize(self, columns, rows):
        self.columns, self.rows = columns, rows
        self._scroll()

    def feed(self, text):
        text = self._rest + text
        self._rest = ""
        while text:
            if text[0] == "\x1b":
                found = ESCAPE.match(text)
                if not found:
                    if len(text) < 16:
                        self._rest = text
                        return
                    self.problems.append(f"unknown escape {text[:16]!r}")
                    text = text[1:]
                    continue
                self._obey(found.group(1), found.group(2))
                text = text[found.end():]
                continue
            self._put(text[0])
            text = text[1:]

    def _obey(self, argument, letter):
        if letter == "A":
            self.row = max(0, self.row - int(argument or 1))
        elif letter == "K" and argument in ("", "0"):
            self.lines[self.row] = self.lines[self.row][:self.column]
        elif letter == "J" and argument in ("", "0"):
            self.lines[self.row] = self.lines[self.row][:self.column]
            del self.lines[self.row + 1:]
        elif letter == "m":
            self.colours.add(argument)
        else:
            self.problems.append(f"unknown escape {argument}{letter}")

    def _put(self, char):
        if char == "\r":
            self.column = 0
        elif char == "\n":
            self.row, self.column = self.row + 1, 0
            if self.row == len(self.lines):
                self.lines.append("")
            self._scroll()
        elif ord(char) < 0x20:
            self.problems.append(f"control character {ord(char):#x}")
        else:
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[:self.column] + char + line[self.column + 1:]
            self.column += 1
            if self.column > self.columns:
                self.problems.append(f"behind column {self.columns}: {line!r}")

    def _scroll(self):
        self.most = max(self.most, len(self.lines))
        while len(self.lines) > self.rows:
            self.scrolled.append(self.lines.pop(0))
            self.row = max(0, self.row - 1)

    def text(self):
        return "\n".join(line.rstrip() for line in self.lines).rstrip("\n")


class Terminal:
    def __init__(self, columns, rows, command, env):
        self.screen = Screen(columns, rows)
        self.raw = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            self._size(0, columns, rows)
            os.execvpe(command[0], command, env)
        self._size(self.fd, columns, rows)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.code = None

    @staticmethod
    def _size(fd, columns, rows):
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, columns, rows):
        self.screen.resize(columns, rows)
        self._size(self.fd, columns, rows)   # the kernel sends SIGWINCH

    def read(self, timeout_s=0.05):
        """False at the end."""
        if not select.select([self.fd], [], [], timeout_s)[0]:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:   # EIO: the other side is gone
            data = b""
        self.raw += data
        self.screen.feed(self._decoder.decode(data).replace("\r\n", "\n"))
        return bool(data)

    def wait_for(self, text, lines=1, timeout_s=20):
        """A picture may come in several reads: who looks at what is below the text says how many lines there are."""
        end = time.monotonic() + timeout_s
        while text not in self.screen.text() or len(self.screen.text().splitlines()) < lines:
            if time.monotonic() > end or not self.read():
                raise AssertionError(f"no {text!r} and {lines} lines on the screen:\n{self.screen.text()}")

    def wait_ended(self, timeout_s=30):
        end = time.monotonic() + timeout_s
        while self.read():
            if time.monotonic() > end:
                os.kill(self.pid, 9)
                raise AssertionError(f"still running:\n{self.screen.text()}")
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        self.code = os.waitstatus_to_exitcode(status)
        return self.code
