"""How often a server is asked: so many requests a minute, and not while it asks to be let alone."""

import threading
import time
from typing import Protocol

MINUTE_S = 60.0


class Clock(Protocol):
    """What tells the time and waits."""

    def now(self) -> float:
        """Seconds from some moment on; never backwards."""
        ...

    def sleep(self, seconds: float, stop: threading.Event) -> None:
        """Waits, and no longer once `stop` is set."""
        ...


class RealClock:
    """The clock of the machine."""

    def now(self) -> float:
        """Seconds from some moment on."""
        return time.monotonic()

    def sleep(self, seconds: float, stop: threading.Event) -> None:
        """Waits, and no longer once `stop` is set."""
        stop.wait(seconds)


class Pace:
    """Moments at which a request may begin; threads share it.

    Args:
      per_minute: requests; they are spread evenly, so no minute has more.
      clock: tells the time.
    """

    def __init__(self, per_minute: float, clock: Clock):
        self._apart_s, self._clock = MINUTE_S / per_minute, clock
        self._lock = threading.Lock()
        self._next, self._held = 0.0, 0.0

    def wait(self, stop: threading.Event) -> None:
        """Waits until a request may begin; every request calls it once."""
        with self._lock:
            at = self._slot()
        while at > (now := self._clock.now()) and not stop.is_set():
            self._clock.sleep(at - now, stop)
            with self._lock:
                if self._held > at:  # meanwhile the server asked to be let alone
                    at = self._slot()

    def hold(self, seconds: float) -> None:
        """Lets the server alone for some seconds, all threads together."""
        with self._lock:
            self._held = max(self._held, self._clock.now() + seconds)
            self._next = max(self._next, self._held)

    def _slot(self) -> float:
        at = max(self._clock.now(), self._next)
        self._next = at + self._apart_s
        return at
