"""What the year was worth: the loop's answers beside those of a model that was never retrained."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from homeostat.evaluation.metrics import compute
from homeostat.ground.records import FeatureColumn
from homeostat.ground.settings import Settings
from homeostat.loop.engine import log_folder
from homeostat.loop.parity import answered_rows
from homeostat.monitoring.accuracy import joined
from homeostat.registry.keys import trusted
from homeostat.registry.loading import load_version
from homeostat.registry.versions import get_version
from homeostat.store.blobs import BlobStore
from homeostat.store.database import open_database

Matrix = npt.NDArray[np.float64]
METRICS = ("log_loss", "roc_auc")


def summarise(settings: Settings, model: str) -> dict[str, Any]:
    """`{"static": {...}, "loop": {...}}` over every answered prediction whose label arrived.

    The static model is version 1, scored on the very vectors that were served, with category codes translated from
    the vocabulary of the version that answered to its own.
    """
    database, blobs = open_database(settings.database_url), BlobStore(settings.blobs_url)
    rows = answered_rows(database, blobs, log_folder(settings), model)
    with database.read() as conn:
        known = joined(conn, model, start=0, end=1 << 62, now=1 << 62)
        truth = pl.DataFrame({"request_id": known.request_ids, "y": known.y})
        rows = rows.select("request_id", "version", "score", "vector").join(truth, on="request_id").sort("version")
        parts = rows.partition_by("version", as_dict=True, maintain_order=True)
        columns = {version: get_version(conn, model, int(version)).signature.columns for (version,) in parts}
        first = get_version(conn, model, 1)
    database.close()
    task, wanted = first.signature.task, first.signature.columns
    matrices = [recode(_matrix(part), columns[version], wanted) for (version,), part in parts.items()]
    scorer = load_version(blobs, first, trusted(settings))
    y = rows["y"].to_numpy()
    return {
        "static": compute(task, y, scorer.score(np.concatenate(matrices)), METRICS),
        "loop": compute(task, y, rows["score"].to_numpy(), METRICS),
    }


def _matrix(part: pl.DataFrame) -> Matrix:
    width = part["vector"].list.len()[0]
    flat: Matrix = part["vector"].explode().to_numpy()
    return flat.reshape(-1, width)


def recode(matrix: Matrix, given: Sequence[FeatureColumn], wanted: Sequence[FeatureColumn]) -> Matrix:
    """The same rows with category codes of another vocabulary; a category it does not know is NaN."""
    out = matrix.copy()
    for index, (old, new) in enumerate(zip(given, wanted, strict=True)):
        if old.kind == "category" and old.categories != new.categories:
            code_of = {category: float(code) for code, category in enumerate(new.categories)}
            table = np.array([*(code_of.get(category, np.nan) for category in old.categories), np.nan])
            codes = np.where(np.isnan(matrix[:, index]), len(old.categories), matrix[:, index])
            out[:, index] = table[codes.astype(int)]
    return out
