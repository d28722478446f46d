"""A limit on the processor time of a block: some converters take minutes over a model, and the loop waits for them."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import NoReturn

from homeostat.serving.compiling.refused import CannotCompile

SECONDS = 20.0


@contextlib.contextmanager
def limited(seconds: float = SECONDS) -> Iterator[None]:
    """End the block with `CannotCompile` when it takes longer; Python code alone can be ended, on the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def too_long(*_: object) -> NoReturn:
        raise CannotCompile(f"it takes longer than {seconds:.0f} s")

    before = signal.signal(signal.SIGVTALRM, too_long)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
