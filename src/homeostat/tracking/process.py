"""What happens to open runs when their process forks or exits."""

import atexit
import functools
import importlib
import os
import sys
import traceback
import weakref
from typing import Literal, Protocol


class Watched(Protocol):
    """A run, as far as this module knows it."""

    def end(self, status: Literal["finished", "failed"] = "finished", error: str = "") -> None: ...

    def _forked(self) -> None: ...


_watched: "weakref.WeakSet[Watched]" = weakref.WeakSet()

_children: list[bool] = []


def watch(run: Watched) -> None:
    """End the run when the process exits without having ended it, and let go of it in forked children."""
    _hook()
    _watched.add(run)


def has_forked() -> bool:
    """Whether this process has children that may have joined its runs."""
    return bool(_children)


def end_with_child(run: Watched) -> None:
    """End the run with a child of `multiprocessing`, which leaves without the usual hooks of an exit."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.Finalize(None, run.end, exitpriority=1)


@functools.cache
def _hook() -> None:
    # Registers with `threading` when it is first imported, which is refused once the process is on its way out; the
    # sender of a short script may come to import it only then.
    importlib.import_module("concurrent.futures.thread")
    atexit.register(_end_all)
    os.register_at_fork(after_in_child=_let_go, after_in_parent=lambda: _children.append(True))


def _end_all() -> None:
    error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    for run in list(_watched):
        if error is None:
            run.end()
        else:
            run.end("failed", "".join(traceback.format_exception(error)))


def _let_go() -> None:
    _children.clear()
    for run in list(_watched):
        run._forked()  # noqa: SLF001  the one who calls it, as the name of the protocol says
