"""What a worker serves, and how it learns that this has changed: from the catalogue's endpoints, or from references."""

import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from homeostat.ground.errors import HomeostatError
from homeostat.ground.refs import parse_model_ref
from homeostat.registry.versions import get_version
from homeostat.serving.dataplane import DataPlane
from homeostat.serving.endpoints import current_generation, list_endpoints
from homeostat.serving.types import FULL, Arm, Endpoint
from homeostat.store.database import Database

POLL_SECONDS = 0.1
RETRY_SECONDS = 5.0
"""Pause before a version that could not be loaded is tried again."""

Routing = tuple[int, list[Endpoint]]
"""A generation, which grows with every change, and what is to be served."""


class Source(Protocol):
    """Says what is to be served."""

    def generation(self) -> int: ...

    def endpoints(self) -> list[Endpoint]: ...


class CatalogueSource:
    """The endpoints of the catalogue, or one model's."""

    def __init__(self, database: Database, model: str = "") -> None:
        self._database = database
        self._model = model or None

    def generation(self) -> int:
        with self._database.read() as conn:
            return current_generation(conn)

    def endpoints(self) -> list[Endpoint]:
        with self._database.read() as conn:
            return list_endpoints(conn, model=self._model)


class FixedSource:
    """One version of one model, which needs no catalogue."""

    def __init__(self, model: str, version: int) -> None:
        self._endpoint = Endpoint(name=model, model=model, arms=(Arm(version=version, weight=FULL),), generation=1)

    def generation(self) -> int:
        return 1

    def endpoints(self) -> list[Endpoint]:
        return [self._endpoint]


class RefSource:
    """References such as models:/late-arrival@champion, each an endpoint by its model's name, followed as they move."""

    def __init__(self, database: Database, refs: Sequence[str]) -> None:
        self._database = database
        self._refs = [parse_model_ref(ref) for ref in refs]
        self._versions: dict[str, int] = {}
        self._generation = 0
        self._look_at = 0.0

    def generation(self) -> int:
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + 0.5
            with self._database.read() as conn:
                versions = {name: get_version(conn, name, what).version for name, what in self._refs}
            if versions != self._versions:
                self._versions = versions
                self._generation += 1
        return self._generation

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(name=name, model=name, arms=(Arm(version=version, weight=FULL),), generation=self._generation)
            for name, version in self._versions.items()
        ]


class Watcher(threading.Thread):
    """Looks ten times a second for changed endpoints and swaps them in; loads happen on this thread.

    `changed(generation)` is called when a routing is served whole.
    """

    def __init__(self, source: Source, plane: DataPlane, changed: Callable[[int], None]) -> None:
        super().__init__(name="endpoints", daemon=True)
        self._source = source
        self._plane = plane
        self._changed = changed
        self._ended = threading.Event()
        self._seen = -1
        self._retry_at = 0.0

    def look(self) -> bool:
        """Swap in the newest endpoints when they changed, or when it is time to try a failed one again.

        Returns whether it had to.
        """
        generation = self._source.generation()
        if generation == self._seen and not self._must_retry():
            return False
        failures = self._plane.swap(self._source.endpoints(), generation).failures
        if failures and generation != self._seen:
            _say(f"cannot be loaded: {failures}")
        self._seen, self._retry_at = generation, time.monotonic() + RETRY_SECONDS
        return True

    def run(self) -> None:
        while not self._ended.wait(POLL_SECONDS):
            self._plane.log.rotate_if_due()
            try:
                if self.look():
                    self._changed(self._plane.table.generation)
            except Exception as error:  # noqa: BLE001  the catalogue may be away; what is loaded is served on
                text = str(error) if isinstance(error, HomeostatError) else f"{type(error).__name__}: {error}"
                _say(f"what to serve cannot be read: {text}")
                self._ended.wait(RETRY_SECONDS)

    def end(self) -> None:
        """Stop looking."""
        self._ended.set()
        if self.is_alive():
            self.join(timeout=2.0)

    def _must_retry(self) -> bool:
        return bool(self._plane.table.failures) and time.monotonic() >= self._retry_at


def _say(text: str) -> None:
    sys.stderr.write(f"homeostat worker: {text}\n")
    sys.stderr.flush()
