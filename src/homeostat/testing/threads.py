"""Running things at once, for checks about concurrency."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds after which something that should have happened counts as never."""


@contextmanager
def in_thread(function: Callable[[], T]) -> Iterator[Future[T]]:
    """Run `function` beside the block; its outcome is in the future, its exception is raised when asked for."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(function)


def all_at_once(function: Callable[[int], T], *, threads: int) -> list[T]:
    """What `function(0)`, `function(1)` ... return when they start at the same moment."""
    start = Barrier(threads)

    def wait_and_run(number: int) -> T:
        start.wait(PATIENCE)
        return function(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(wait_and_run, range(threads)))
