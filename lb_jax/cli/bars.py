"""Bars of what is embedded or asked, one after the other."""

import contextlib
from collections.abc import Callable, Iterator

from lb_jax.core import logging


@contextlib.contextmanager
def shown() -> Iterator[Callable[[str, int, int], None]]:
    """A progress function that shows one bar for each thing that is embedded, or each task."""
    bars: list[logging.Progress] = []
    with contextlib.ExitStack() as bar:

        def progress(what: str, done: int, total: int) -> None:
            if not bars or bars[-1].done >= bars[-1].total:
                bar.close()  # the next thing to embed: its bar takes the place of the last
                new = logging.Progress(what if "->" in what else f"embed {what}", total, done=done)
                bars.append(bar.enter_context(new))
            else:
                bars[-1].advance(done - bars[-1].done)

        yield progress
