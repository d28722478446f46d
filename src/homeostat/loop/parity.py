"""Parity in production: vectors that were served, recomputed from the sources as of their time."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl

from homeostat.features.compiled import FeatureSet
from homeostat.features.parity import ParityReport, check_parity
from homeostat.loop.served import version_features
from homeostat.registry.types import ModelVersion
from homeostat.registry.versions import get_version
from homeostat.serving.scan import scan_frames
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
    database: Database,
    blobs: BlobStore,
    folder: Path,
    model: str,
    *,
    sample: int,
    start: int | None = None,
    end: int | None = None,
) -> LoggedParity:
    """Recompute up to `sample` answered predictions, evenly over the log, each with its own version's features.

    Only those with start <= event time < end, where these are given.

    It runs the declared on-demand functions, so it belongs into a command or a child process.
    """
    answered = answered_rows(database, blobs, folder, model, start=start, end=end)
    rows = answered.gather_every(max(1, -(-len(answered) // sample)))
    reports = []
    known: dict[str, FeatureSet] = {}
    for (number,), some in rows.partition_by("version", as_dict=True).items():
        with database.read() as conn:
            version = get_version(conn, model, int(number))
        wanted = version.signature.feature_hash
        if not wanted:  # registered by hand: its vectors are what was sent
            continue
        if wanted not in known:  # versions mostly differ in their data, not in their features
            known[wanted] = version_features(blobs, version)
        reports.append(_check_version(version, known[wanted], some))
    return _together(model, reports)


def answered_rows(
    database: Database,
    blobs: BlobStore,
    folder: Path,
    model: str,
    *,
    start: int | None = None,
    end: int | None = None,
) -> pl.DataFrame:
    """Every answered prediction of a model (shadows apart), in the order of the log."""
    with database.read() as conn:
        frames = [
            frame.filter(pl.col("status") == "ok", pl.col("arm") != "shadow")
            for frame in scan_frames(conn, blobs, folder, model=model, start=start, end=end)
        ]
    return pl.concat(frames) if frames else pl.DataFrame(schema={"version": pl.Int64})


def _check_version(version: ModelVersion, features: FeatureSet, rows: pl.DataFrame) -> ParityReport:
    inputs = [msgspec.json.decode(text) for text in rows["inputs"]]
    return check_parity(
        features,
        version.signature.columns,
        inputs=pl.DataFrame(inputs, infer_schema_length=None),
        times=rows["at"].to_list(),
        vectors=np.array(rows["vector"].to_list(), dtype=np.float64),
        root=Path(version.lineage["root"]),
        request_ids=rows["request_id"].to_list(),
    )


def _together(model: str, reports: list[ParityReport]) -> LoggedParity:
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
