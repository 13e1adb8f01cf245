"""Tests side by side: most of a test's time is waiting for others' timers.

The tests of a `Concurrent` class run at the same time, each in its own namespace; the first one that
the suite asks for starts all. Classes that name the same `together` are one such crowd. They must not
break parts of the bed, and must want the same bed and the same worker.
"""

import sys
import threading
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

from . import harness

_set_up_lock = threading.Lock()
# {crowd: {(class, name of the test): future}}
_crowds = {}


def _crowd_of(cls):
    return getattr(cls, "together", None) or cls


def settle(cls):
    """Waits for all crowds but that of `cls`: what it changes on the bed must not meet their tests."""
    for crowd, tests in _crowds.items():
        if crowd != _crowd_of(cls):
            for future in tests.values():
                future.result()


def everywhere(function, *rows, at_once=None):
    """[function(*row)] for rows of arguments, all (or `at_once`) at the same time; raises what the first
    one raised."""
    with ThreadPoolExecutor(at_once or max(len(rows), 1)) as pool:
        return [future.result() for future in [pool.submit(function, *row) for row in rows]]


class _Outcome(unittest.TestResult):
    """Keeps what became of one test, to be told later in the order of the suite."""

    def __init__(self):
        super().__init__()
        self.told, self.seconds = [], 0.0

    def startTest(self, test):
        self._began = time.monotonic()
        super().startTest(test)

    def stopTest(self, test):
        self.seconds = time.monotonic() - self._began
        super().stopTest(test)

    def addError(self, test, err):
        self.told.append(("addError", test, err))

    def addFailure(self, test, err):
        self.told.append(("addFailure", test, err))

    def addSubTest(self, test, subtest, err):
        if err is not None:
            kind = "addFailure" if issubclass(err[0], test.failureException) else "addError"
            self.told.append((kind, test, err))

    def addSkip(self, test, reason):
        self.told.append(("addSkip", test, reason))


class Concurrent(harness.Case):
    """See above. `at_once`: how many tests of the crowd at the same time, at most."""

    at_once = 8
    together = None

    def setUp(self):
        # The base numbers namespaces and mends parts: one at a time.
        with _set_up_lock:
            super().setUp()

    @classmethod
    def _asked(cls):
        """The tests of this class that the command line asks for: all when it names no class."""
        names = unittest.TestLoader().getTestCaseNames(cls)
        classes = vars(sys.modules[cls.__module__])
        wanted = [a.split(".") for a in sys.argv[1:] if a.split(".")[0] in classes]
        mine = [w[1:] for w in wanted if w[0] == cls.__name__]
        if not wanted or [] in mine:
            return names
        return [name for name in names if [name] in mine]

    @classmethod
    def _members(cls):
        if not cls.together:
            return [cls]
        return [c for c in vars(sys.modules[cls.__module__]).values()
                if isinstance(c, type) and issubclass(c, Concurrent) and c.together == cls.together]

    @classmethod
    def _start(cls):
        known = _crowds.get(_crowd_of(cls))
        if known is None:
            members = cls._members()
            for other in members:
                if other is not cls and other._asked():
                    other.setUpClass()
            pool = ThreadPoolExecutor(cls.at_once, thread_name_prefix=cls.__name__)
            known = {(c, name): pool.submit(c._run_one, name) for c in members for name in c._asked()}
            pool.shutdown(wait=False)
            _crowds[_crowd_of(cls)] = known
        return known

    @classmethod
    def _run_one(cls, name):
        outcome, test = _Outcome(), cls(name)
        test._side_by_side = True
        test.run(outcome)
        cls.bed.admin().close()
        return outcome

    def run(self, result=None):
        if getattr(self, "_side_by_side", False):
            return super().run(result)
        if result is None:
            result = self.defaultTestResult()
        futures = type(self)._start()
        result.startTest(self)
        outcome = futures[type(self), self._testMethodName].result()
        if hasattr(result, "_began"):
            result._began = time.monotonic() - outcome.seconds
        if not outcome.told:
            result.addSuccess(self)
        for kind, _, what in outcome.told[:1]:
            getattr(result, kind)(self, what)
        result.stopTest(self)
        return result
