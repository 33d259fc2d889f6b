"""How often a host is asked, and again after what failure: one rate for each, whoever asks.

A host that says how long to wait (`Retry-After`) is left alone for that time by all threads. One
that asks for longer than anybody wants to wait is not asked any more in this run.
"""

import collections
import dataclasses
import email.utils
import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

from lb_jax.core import errors

T = TypeVar("T")
MINUTE_S = 60.0
LATER = "run the command again later"
LIMIT = 429  # status: too many requests
# Answers that another try may change: RFC 9110 and RFC 6585.
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


class Failed(errors.DataError):
    """It did not work this time; a later run may try again."""


class Closed(Failed):
    """The host wants to be left alone for longer than this run waits."""


class Refused(errors.DataError):
    """It will not work in another run either.

    Attributes:
      status: of the answer; 0 without one.
    """

    def __init__(self, path: object, reason: str, status: int = 0):
        self.status = status
        super().__init__(path, reason)

    def __reduce__(self):
        return type(self), (self.path, self.reason, self.status)


class Passing(Exception):
    """One try failed in a way that another may not.

    Attributes:
      reason: in words.
      after_s: how long the host asked to be left alone; None where it did not say.
      gained: whether something was got that the next try need not get again.
      is_limit: whether the host was asked too often, whatever it was asked for.
    """

    def __init__(
        self,
        reason: str,
        after_s: float | None = None,
        *,
        gained: bool = False,
        is_limit: bool = False,
    ):
        self.reason, self.after_s, self.gained, self.is_limit = reason, after_s, gained, is_limit
        super().__init__(reason)


class Clock(Protocol):
    """What tells the time and waits."""

    def now(self) -> float:
        """Seconds from some moment on; never backwards."""
        ...

    def sleep(self, seconds: float) -> None:
        """Waits."""
        ...


class RealClock:
    """The clock of the machine."""

    def now(self) -> float:
        """Seconds from some moment on."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Waits."""
        time.sleep(seconds)


@dataclasses.dataclass(frozen=True)
class Manners:
    """How hosts are treated.

    Attributes:
      per_minute: requests a minute of one host.
      rates: host -> another number; hosts below it count as it.
      tries: of one thing, in a row without any gain.
      first_wait_s: before the second try; twice that before the third, and so on.
      longest_wait_s: between two tries; a host that asks for longer is not asked any more.
    """

    per_minute: float = 60.0
    rates: Mapping[str, float] = dataclasses.field(default_factory=dict)
    tries: int = 6
    first_wait_s: float = 1.0
    longest_wait_s: float = 300.0

    def apart_s(self, host: str) -> float:
        """Seconds from one request to the next."""
        fitting = [one for one in self.rates if f".{host}".endswith(f".{one}")]
        per_minute = self.rates[max(fitting, key=len)] if fitting else self.per_minute
        return MINUTE_S / per_minute

    def wait_s(self, tried: int) -> float:
        """Seconds before another try, after so many."""
        return min(self.longest_wait_s, self.first_wait_s * 2.0 ** min(tried - 1, 60))


class Hosts:
    """All hosts that are asked; threads may share it.

    Args:
      manners: how they are treated.
      clock: tells the time.
    """

    def __init__(self, manners: Manners, clock: Clock | None = None):
        self.manners, self._clock = manners, clock or RealClock()
        self._lock = threading.Lock()
        self._next: dict[str, float] = collections.defaultdict(float)
        self._held: dict[str, float] = collections.defaultdict(float)
        self._closed: dict[str, str] = {}  # host -> why

    def wait(self, host: str) -> None:
        """Waits until the host may be asked again; every request calls it once.

        Raises:
          Closed: the host is not asked any more.
        """
        with self._lock:
            at = self._slot(host)
        while at > (now := self._clock.now()):
            self._clock.sleep(at - now)
            with self._lock:
                self._require_open(host)
                if self._held[host] > at:  # another thread was told to leave it alone
                    at = self._slot(host)

    def hold(self, host: str, seconds: float) -> None:
        """Leaves a host alone for some seconds, as it asks.

        Raises:
          Closed: it asks for longer than `Manners.longest_wait_s`.
        """
        with self._lock:
            if seconds > self.manners.longest_wait_s:
                self._closed[host] = (
                    f"asks to be left alone for {seconds:.0f} s, more than longest_wait_s "
                    f"({self.manners.longest_wait_s:g})"
                )
            self._require_open(host)
            self._held[host] = max(self._held[host], self._clock.now() + seconds)
            self._next[host] = max(self._next[host], self._held[host])

    def ask(self, host: str, what: object, once: Callable[[], T], *, is_paced: bool = True) -> T:
        """Asks, and again after failures that may pass.

        Args:
          host: that is asked.
          what: how errors call it.
          once: one try; it raises `Passing` where another may help.
          is_paced: whether a try is one request; one of several calls `wait` for each itself.

        Raises:
          Failed: as often as `Manners.tries` allows it did not work.
          Closed: the host asks to be left alone for too long, or says so often that it is asked
            too much.
        """
        tried = 0
        while True:
            if is_paced:
                self.wait(host)
            try:
                return once()
            except Passing as fault:
                tried = 0 if fault.gained else tried + 1
                if tried >= self.manners.tries:
                    told = f"{fault.reason}, {tried} times in a row"
                    if fault.is_limit:
                        self._close(host, told)
                    raise Failed(what, f"{told}; {LATER}") from fault
                self._rest(host, fault.after_s, tried)

    def _rest(self, host: str, after_s: float | None, tried: int) -> None:
        if after_s is not None:
            self.hold(host, after_s)
        elif tried:
            self._clock.sleep(self.manners.wait_s(tried))

    def _slot(self, host: str) -> float:
        """Takes the next moment at which a host may be asked."""
        self._require_open(host)
        at = max(self._clock.now(), self._next[host])
        self._next[host] = at + self.manners.apart_s(host)
        return at

    def _require_open(self, host: str) -> None:
        if host in self._closed:
            raise Closed(host, f"{self._closed[host]}; {LATER}")

    def _close(self, host: str, told: str) -> None:
        with self._lock:
            self._closed[host] = told
            self._require_open(host)


def host_of(url: str) -> str:
    """The host of a URL, with its port where that is not the usual one.

    Raises:
      Refused: it has none.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host:
        raise Refused(url, "is no URL; expected one as https://host/path")
    return host if port is None else f"{host}:{port}"


def retry_after(value: str | None) -> float | None:
    """Seconds that a header `Retry-After` asks for, a number or a date; None where it does not."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None
