"""Servers with a home of their own, started in this process."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from running_server import Running, serve

from homeostat.ground.settings import Settings


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts servers on SQLite with the settings given."""
    with ExitStack() as stack:
        yield lambda **given: stack.enter_context(serve(Settings(home=str(tmp_path / "home"), **given)))


@pytest.fixture
def guarded(start: Callable[..., Running]) -> Running:
    """A server that wants tokens."""
    return start(auth="required")


@pytest.fixture
def guarded_on_both(database_url: str, start: Callable[..., Running]) -> Running:
    """The same, once on each kind of database."""
    return start(auth="required", database=database_url)
