"""Which scorer of a version serves, and why."""

from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from homeostat.ground.clock import to_iso
from homeostat.ground.ports import NATIVE
from homeostat.registry.types import ModelVersion
from homeostat.serving.compiling.catalogue import Record, compiled_of

Plain = dict[str, Any]


def scorers_of(conn: Connection, versions: Iterable[ModelVersion]) -> dict[str, Plain]:
    """For each package digest: the kind of scorer that serves, and why."""
    digests = {version.package.digest for version in versions}
    found = compiled_of(conn, digests)
    return {digest: _scorer(found.get(digest)) for digest in digests}


def _scorer(record: Record | None) -> Plain:
    if record is None:
        return {"kind": NATIVE, "why": "it was not compiled", "next_step": "homeostat model compile NAME@VERSION"}
    return {"kind": record.serves, "why": record.why}


def compiled_view(record: Record) -> Plain:
    """Everything that is known of a package's compiled scorer."""
    return {
        "kind": record.serves,
        "why": record.why,
        "package_digest": record.package,
        "artifact": record.blob,
        "bytes": record.size,
        "is_signed": record.signed is not None,
        "created": to_iso(record.created),
        "report": msgspec.to_builtins(record.report),
    }
