"""What the year was worth: the loop's answers beside those of a model that was never retrained."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from homeostat.evaluation.metrics import compute
from homeostat.ground.records import FeatureColumn
from homeostat.ground.settings import Settings
from homeostat.loop.engine import log_folder
from homeostat.monitoring.accuracy import joined
from homeostat.registry.models import get_version
from homeostat.registry.scorers import load_scorer
from homeostat.serving.scan import scan_log
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
    with database.read() as conn:
        answered = joined(conn, model, start=0, end=1 << 62, now=1 << 62)
        truth = dict(zip(answered.request_ids, answered.y, strict=True))
        first = get_version(conn, model, 1)
        rows = [
            row
            for row in scan_log(conn, blobs, log_folder(settings), model=model)
            if row.status == "ok" and row.arm != "shadow" and row.request_id in truth
        ]
        columns = {
            version: get_version(conn, model, version).signature.columns for version in {row.version for row in rows}
        }
    rows.sort(key=lambda row: row.version)
    y = np.array([truth[row.request_id] for row in rows])
    served = np.array([row.score for row in rows])
    parts = [
        recode(np.array([row.vector for row in some]), columns[version], first.signature.columns)
        for version, some in groupby(rows, key=lambda row: row.version)
    ]
    scorer = load_scorer(blobs, first.package.flavor, first.package.manifest, first.signature.task)
    static = scorer.score(np.concatenate(parts))
    database.close()
    return {
        "static": compute(first.signature.task, y, static, METRICS),
        "loop": compute(first.signature.task, y, served, METRICS),
    }


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
