"""Compiled scorers in the catalogue: one for each package, with the report of how it compares to the original."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.serving.compiling.report import Report
from homeostat.serving.store import serving_compiled
from homeostat.store.dialect import upsert

_AT_ONCE = 5_000


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What the catalogue knows of a package's compiled scorer."""

    package: str
    """Digest of the package."""
    task: str
    kind: str
    """'native' when the original serves."""
    blob: str | None
    """Digest of the artifact."""
    size: int
    signed: dict[str, Any] | None
    """The bundle that binds the artifact to the package."""
    report: Report
    trouble: str
    created: int

    @property
    def serves(self) -> str:
        """The kind of scorer that answers now."""
        return "native" if self.trouble else self.kind

    @property
    def why(self) -> str:
        """Why that one."""
        return f"the compiled scorer ({self.kind}) was not loaded: {self.trouble}" if self.trouble else self.report.why


def record_compiled(
    conn: Connection,
    package: str,
    report: Report,
    *,
    blob: str | None = None,
    size: int = 0,
    signed: Mapping[str, Any] | None = None,
    at: int,
) -> None:
    """Keep what came of compiling a package; a former result is replaced."""
    row = {
        "package": package,
        "task": report.task,
        "kind": report.kind,
        "blob": blob,
        "size": size,
        "signed": None if signed is None else dict(signed),
        "report": msgspec.to_builtins(report),
        "trouble": "",
        "created": at,
    }
    upsert(conn, serving_compiled, [row], key=["package"], update=[name for name in row if name != "package"])


def find_compiled(conn: Connection, package: str) -> Record | None:
    """The record of a package; None when nobody compiled it."""
    return compiled_of(conn, [package]).get(package)


def compiled_of(conn: Connection, packages: Iterable[str]) -> dict[str, Record]:
    """The records of many packages at once."""
    wanted = sorted(set(packages))
    found: dict[str, Record] = {}
    for start in range(0, len(wanted), _AT_ONCE):
        query = serving_compiled.select().where(serving_compiled.c.package.in_(wanted[start : start + _AT_ONCE]))
        for row in conn.execute(query).mappings():
            found[row["package"]] = Record(**{**row, "report": msgspec.convert(row["report"], Report)})
    return found


def note_trouble(conn: Connection, package: str, trouble: str) -> None:
    """Say why the original serves although there is a compiled scorer; empty when it loads again."""
    same = sa.and_(serving_compiled.c.package == package, serving_compiled.c.trouble != trouble)
    conn.execute(serving_compiled.update().where(same).values(trouble=trouble))
