"""experiments/search-datasets: which data sets the runs of some experiments read, for the page's filter."""

from typing import Any

import msgspec

from homeostat.compat.mlflow.limits import experiment_numbers
from homeostat.compat.mlflow.reach import reachable_project
from homeostat.compat.mlflow.wire import Context, Route
from homeostat.ground.errors import Invalid
from homeostat.tracking.inputs import datasets_of

_EXPERIMENTS = 20
_SUMMARIES = 1000
_CONTEXT = "mlflow.data.context"


class Search(msgspec.Struct):
    """experiments/search-datasets."""

    experiment_ids: list[str] = []


def search(context: Context, body: Search) -> dict[str, Any]:
    """Name, digest and role of each data set."""
    if not 0 < len(body.experiment_ids) <= _EXPERIMENTS:
        raise Invalid(
            f"SearchDatasets request must specify 1 to {_EXPERIMENTS} experiment_ids. "
            f"Received {len(body.experiment_ids)}",
            field="experiment_ids",
            next_step="ask for fewer at once",
        )
    numbers = experiment_numbers(body.experiment_ids)
    with context.database.read() as conn:
        for number in numbers:
            reachable_project(context, conn, number)
        found = datasets_of(conn, numbers, limit=_SUMMARIES)
    summaries = [
        {"experiment_id": str(number), "name": item.name, "digest": item.digest}
        | ({"context": item.tags[_CONTEXT]} if _CONTEXT in item.tags else {})
        for number, item in found
    ]
    return {"dataset_summaries": summaries} if summaries else {}


ROUTES = [Route(("POST",), "/mlflow/experiments/search-datasets", Search, search, "read")]
