"""Data sets and logged models of the runs that are shown."""

from collections.abc import Sequence

import msgspec
from sqlalchemy.engine import Connection

from homeostat.tracking.inputs import inputs_of
from homeostat.tracking.lookup import run_numbers
from homeostat.tracking.model_metrics import run_models
from homeostat.tracking.types import DatasetInput, RunModel

_AT_ONCE = 5_000
"""Runs a query; SQLite takes 32,766 values."""


class Links(msgspec.Struct, frozen=True):
    """What a run read and made."""

    datasets: Sequence[DatasetInput] = ()
    read: Sequence[RunModel] = ()
    made: Sequence[RunModel] = ()


NO_LINKS = Links()


def links_of(conn: Connection, run_ids: Sequence[str]) -> dict[str, Links]:
    """What each of some runs read and made, by run id; those that did neither are left out."""
    found: dict[str, Links] = {}
    for start in range(0, len(run_ids), _AT_ONCE):
        ids = run_numbers(conn, run_ids[start : start + _AT_ONCE])
        datasets, models = inputs_of(conn, list(ids)), run_models(conn, list(ids))
        for number in datasets.keys() | models.keys():
            sides = models.get(number, {})
            found[ids[number]] = Links(datasets.get(number, ()), sides.get("input", ()), sides.get("output", ()))
    return found
