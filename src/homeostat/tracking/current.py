"""Which run `hs.log` means: the innermost that was begun here, else the one of the main thread."""

import threading
from contextvars import ContextVar
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Nesting(Generic[Item]):
    """Open runs, innermost last: by context for whoever began them, for the whole process for new threads."""

    def __init__(self, name: str) -> None:
        self._here: ContextVar[tuple[Item, ...]] = ContextVar(name, default=())
        self._everywhere: list[tuple[int, Item]] = []
        self._lock = threading.Lock()

    def enter(self, item: Item) -> None:
        self._here.set((*self._here.get(), item))
        with self._lock:
            self._everywhere.append((threading.get_ident(), item))

    def leave(self, item: Item) -> None:
        self._here.set(tuple(other for other in self._here.get() if other is not item))
        with self._lock:
            self._everywhere = [entry for entry in self._everywhere if entry[1] is not item]

    def innermost(self) -> Item | None:
        here = [item for item in self._here.get() if self._is_open(item)]
        if here:
            return here[-1]
        main = threading.main_thread().ident
        ofmain = [item for thread, item in self._everywhere if thread == main]
        rest = ofmain or [item for _, item in self._everywhere]
        return rest[-1] if rest else None

    def all(self) -> list[Item]:
        return [item for _, item in self._everywhere]

    def _is_open(self, item: Item) -> bool:
        return any(other is item for _, other in self._everywhere)
