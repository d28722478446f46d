"""Carrying runs into a home of this test's own, and looking at what arrived."""

from collections.abc import Callable, Iterable

from homeostat.compat.importers.carry import carry_over
from homeostat.compat.importers.intake import Intake
from homeostat.compat.importers.records import ImportedRun, Losses
from homeostat.compat.importers.report import Report
from homeostat.ground.clock import SystemClock
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database
from homeostat.tracking.runs import get_run
from homeostat.tracking.series import read_series
from homeostat.tracking.types import RunDetail

Read = Callable[[Losses], Iterable[ImportedRun]]


class Home:
    """A catalogue that imports go into."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self.database = database
        self.blobs = blobs
        self.sink = Intake(database, blobs, SystemClock())

    def take(self, read: Read) -> Report:
        losses = Losses()
        return carry_over(read(losses), self.sink, source="test", losses=losses)

    def detail(self, run_id: str) -> RunDetail:
        with self.database.read() as conn:
            return get_run(conn, run_id)

    def series(self, run_id: str, key: str) -> list[tuple[int, int, float]]:
        with self.database.read() as conn:
            points = read_series(conn, run_id, key)
        return list(zip(points.steps.tolist(), points.at.tolist(), points.values.tolist(), strict=True))

    def file(self, run_id: str, path: str) -> bytes:
        found = {item.path: item.digest for item in self.detail(run_id).artifacts}
        return self.blobs.get(found[path])
