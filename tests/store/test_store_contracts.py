"""The published contract checks over every database and blob store we ship for."""

from collections.abc import Callable, Iterable
from pathlib import Path
from uuid import uuid4

import pytest

from homeostat.store.database import Database
from homeostat.testing import check_blobs, check_database, check_events, check_outbox


def each(checks: Iterable[tuple[str, Callable[..., None]]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("check", [pytest.param(check, id=name) for name, check in checks])


@each(check_database())
def test_database(check: Callable[[Database], None], database: Database) -> None:
    check(database)


@each(check_events())
def test_events(check: Callable[[Database], None], database: Database) -> None:
    check(database)


@each(check_outbox())
def test_outbox(check: Callable[[Database], None], database: Database) -> None:
    check(database)


@pytest.fixture(params=["folder", "file_url", "memory"])
def blobs_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty place for blobs: a folder by its path, by its URL, and an object store behind fsspec."""
    folder = tmp_path / "blobs"
    return {"folder": str(folder), "file_url": folder.as_uri(), "memory": f"memory://{uuid4().hex}"}[request.param]


@each(check_blobs())
def test_blobs(check: Callable[[str], None], blobs_url: str) -> None:
    check(blobs_url)
