"""Being asked to stop: SIGTERM of a scheduler, SIGINT of a user."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, TypeVar

import jax
from jax.experimental import multihost_utils

from lb_jax.core import errors

SIGNALS = (signal.SIGTERM, signal.SIGINT)
T = TypeVar("T")
NOTHING = "nothing to save yet; the same command starts it again"


class Stopping:
    """Whether this run was asked to stop.

    While there is nothing to lose SIGTERM ends the process, and SIGINT the run at the next `check`.
    Later both are looked at between steps, so that it can save first. Of several processes the step
    they all stop at is agreed upon, whichever got the signal.
    """

    def __init__(self):
        self._signal: int | None = None
        self._at_once, self._passed_on = True, False
        self._together = jax.process_count() > 1  # jax itself listens for SIGTERM there

    @contextlib.contextmanager
    def listening(self) -> Iterator["Stopping"]:
        """Handles the signals inside the block; only the main thread of a program can."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        handlers = dict.fromkeys(SIGNALS, self._take)
        if self._together:
            handlers = {signal.SIGINT: self._pass_on}
        before = {number: signal.signal(number, one) for number, one in handlers.items()}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def run(self, function: Callable[[], T]) -> T:
        """Calls a function that does not come back to Python for minutes, as a compiler.

        Python handles signals in the main thread only, and only between its own instructions: the
        function runs in another one.
        """
        done: dict[str, Any] = {}

        def call() -> None:
            try:
                done["result"] = function()
            except BaseException as error:  # raised again below, in the caller's thread
                done["error"] = error

        thread = threading.Thread(target=call, daemon=True, name="compile")
        thread.start()
        while thread.is_alive():
            thread.join(0.1)  # without a limit no signal would be seen
        self.check()
        if "error" in done:
            raise done["error"]
        return done["result"]

    def check(self) -> None:
        """Ends the run if it was asked to stop while there is nothing to lose.

        Raises:
          Stopped: then.
        """
        if self._signal is not None:
            raise self.stop(NOTHING)

    def saves_first(self) -> None:
        """From here on there is something to lose."""
        self._at_once = False

    def requested(self, step: int) -> bool:
        """Whether to save and stop before this step; every process asks before every step."""
        if self._together:
            return multihost_utils.reached_preemption_sync_point(step)
        return self._signal is not None

    @property
    def pending(self) -> bool:
        """Whether a signal came to this process: long work between two steps can be cut short."""
        return self._signal is not None

    def stop(self, what: str) -> errors.Stopped:
        """What the run ends with."""
        return errors.Stopped(self._signal or signal.SIGTERM, what)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        """Ctrl-C at one of several hosts: jax agrees with the others about SIGTERM only."""
        del frame
        if self._passed_on:
            raise KeyboardInterrupt
        self._passed_on = True
        os.kill(os.getpid(), signal.SIGTERM)

    def _take(self, number: int, frame: FrameType | None) -> None:
        del frame
        again, self._signal = self._signal, number
        if again == number == signal.SIGINT:
            raise KeyboardInterrupt
        if self._at_once and number == signal.SIGTERM:
            # A scheduler waits for seconds, and libraries that start up or compile neither come
            # back to Python in time nor let an exception through.
            print(f"lb-jax: {self.stop(NOTHING)}", file=sys.stderr, flush=True)
            os._exit(128 + number)
