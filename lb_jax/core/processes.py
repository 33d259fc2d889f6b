"""Processes that work for another one."""

import os
import threading
import time


def end_with_parent(*, every_s: float = 1.0) -> None:
    """Ends this process soon after the one that started it, also when that one was killed.

    A killed process cannot end its workers, which would wait for work for ever.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(every_s)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="end-with-parent").start()
