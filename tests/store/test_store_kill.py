"""SIGKILL at any moment: what was acknowledged is there, and nothing half written bears a name."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from homeostat.store.blobs import BlobStore, digest_of
from homeostat.store.database import open_database
from homeostat.store.events import list_events

WRITER = Path(__file__).with_name("killed_writer.py")
LIVES = 6


def acknowledged_before_kill(database_url: str, blobs: Path, *, after: float) -> list[str]:
    """What a writer acknowledged from its first word until it was killed `after` seconds later."""
    with subprocess.Popen(
        [sys.executable, str(WRITER), database_url, str(blobs)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        first = writer.stdout.readline()
        time.sleep(after)
        writer.kill()
        lines = (first + writer.stdout.read()).splitlines(keepends=True)
    return [line.strip() for line in lines if line.endswith("\n")]


@pytest.mark.slow
@pytest.mark.usefixtures("database")
def test_nothing_acknowledged_is_lost_and_no_half_blob_is_named(database_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "blobs"
    acknowledged = [
        digest
        for life in range(LIVES)
        for digest in acknowledged_before_kill(database_url, folder, after=0.05 + 0.07 * life)
    ]
    reopened = open_database(database_url)
    with reopened.read() as conn:
        recorded = {event.subject for event in list_events(conn, kinds=("blob.stored",), limit=1_000_000)}
    reopened.close()
    assert len(acknowledged) >= LIVES
    assert set(acknowledged) <= recorded
    store = BlobStore(str(folder))
    for digest in recorded:
        store.get(digest)  # raises when it is missing or changed
    for path in folder.rglob("*"):
        if path.is_file() and re.fullmatch(r"[0-9a-f]{62}", path.name):
            assert digest_of(path.read_bytes()) == path.parent.name + path.name
