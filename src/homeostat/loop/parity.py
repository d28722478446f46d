"""Parity in production: vectors that were served, recomputed from the sources as of their time."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from homeostat.features.parity import ParityReport, check_parity
from homeostat.loop.served import version_features
from homeostat.registry.models import get_version
from homeostat.serving.scan import scan_log
from homeostat.serving.segments import LoggedRow
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database

MOST_EXAMPLES = 10


class LoggedParity(msgspec.Struct, frozen=True, kw_only=True):
    """How many served vectors were recomputed, and which differ."""

    model: str
    checked: int
    mismatched: int
    features: dict[str, int]
    """Mismatches by feature, where there are any."""
    examples: list[dict[str, Any]]


def check_logged_vectors(
    database: Database, blobs: BlobStore, folder: Path, model: str, *, sample: int
) -> LoggedParity:
    """Recompute up to `sample` answered predictions, evenly over the whole log, each with its own version's features.

    It runs the declared on-demand functions, so it belongs into a command or a child process.
    """
    with database.read() as conn:
        rows = [row for row in scan_log(conn, blobs, folder, model=model) if row.status == "ok" and row.arm != "shadow"]
    step = max(1, -(-len(rows) // sample))
    by_version: dict[int, list[LoggedRow]] = defaultdict(list)
    for row in rows[::step]:
        by_version[row.version].append(row)
    reports = [_check_version(database, blobs, model, version, some) for version, some in by_version.items()]
    features: dict[str, int] = defaultdict(int)
    for report in reports:
        for name, counts in report.features.items():
            features[name] += counts.mismatched
    return LoggedParity(
        model=model,
        checked=sum(report.checked for report in reports),
        mismatched=sum(report.mismatched for report in reports),
        features={name: count for name, count in features.items() if count},
        examples=[msgspec.to_builtins(item) for report in reports for item in report.examples][:MOST_EXAMPLES],
    )


def _check_version(
    database: Database, blobs: BlobStore, model: str, version: int, rows: list[LoggedRow]
) -> ParityReport:
    import polars as pl

    with database.read() as conn:
        registered = get_version(conn, model, version)
    features = version_features(blobs, registered)
    return check_parity(
        features,
        registered.signature.columns,
        inputs=pl.DataFrame([row.inputs for row in rows], infer_schema_length=None),
        times=[row.at for row in rows],
        vectors=np.array([row.vector for row in rows], dtype=np.float64),
        root=Path(registered.lineage["root"]),
        request_ids=[row.request_id for row in rows],
    )
