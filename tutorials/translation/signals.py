"""Ctrl-C, SIGTERM and SIGHUP: the first is noted where there is something to finish, any other ends at once."""

import contextlib
import signal
import threading

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Stopped(KeyboardInterrupt):
    """A signal asked to stop; status is what the process then ends with, by the shell's rule."""

    def __init__(self, number):
        super().__init__(number)
        self.status = 128 + number


class StopRequests:
    """While this is entered, a signal raises Stopped; within patience() the first one is only noted in `number`.

    A SIGHUP that is ignored stays ignored: nohup means it.
    """

    def __init__(self):
        self.number = None
        self._patient, self._previous = False, {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            hangup = getattr(signal, "SIGHUP", None)
            caught = [n for n in SIGNALS if n != hangup or signal.getsignal(n) != signal.SIG_IGN]
            self._previous = {number: signal.signal(number, self._caught) for number in caught}
        return self

    def __exit__(self, *_):
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def patience(self):
        self._patient = True
        try:
            yield
        finally:
            self._patient = False

    def _caught(self, number, _):
        if self._patient and self.number is None:
            self.number = number
        else:
            raise Stopped(number)
