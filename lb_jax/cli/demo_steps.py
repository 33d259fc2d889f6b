"""What the demos have in common: commands shown as they are run, and seconds of each step."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any


class Steps:
    """The steps of a demo, one after the other."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Notes how long a step takes."""
        start = time.perf_counter()
        yield
        self._seconds[name] = round(time.perf_counter() - start, 1)

    def run(
        self,
        name: str,
        shown: str,
        main: Callable[[Sequence[str]], None],
        arguments: Sequence[str],
    ) -> None:
        """Runs a command of `lb-jax` as a step.

        Args:
          name: of the step.
          shown: the command, as somebody would type it.
          main: that it is.
          arguments: of it.
        """
        print(f"$ lb-jax {shown} {' '.join(arguments)}", flush=True)
        with self.timed(name):
            main(arguments)

    @property
    def seconds(self) -> dict[str, Any]:
        """Step -> seconds, and all of them under "total"."""
        return {**self._seconds, "total": round(sum(self._seconds.values()), 1)}
