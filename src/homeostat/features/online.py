"""Online features: the feed followed into memory, and vectors read as of each request's own time."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from homeostat.features.compiled import FeatureSet
from homeostat.features.encoding import codebooks_of, encode_values
from homeostat.features.naming import did_you_mean
from homeostat.features.ondemand import run_functions
from homeostat.features.state import LOOK_BACK, ViewState
from homeostat.features.store import check_value, decode_payload, newest_seq, read_rows
from homeostat.ground.clock import DAY, to_iso
from homeostat.ground.errors import Conflict, Invalid
from homeostat.ground.records import FeatureColumn, InputColumn
from homeostat.store.database import Database

_TRIM_EVERY = DAY
_PLAIN = ("number", "boolean")


class OnlineStore:
    """One feature set's views in memory. Refreshing and reading may happen in different threads."""

    def __init__(self, database: Database, feature_set: FeatureSet) -> None:
        self.feature_set = feature_set
        self._database = database
        self._views = [ViewState(plan) for plan in feature_set.views]
        self._reads = [(view, view.plan.request, view.plan.features) for view in self._views]
        self._by_source: dict[str, list[ViewState]] = {}
        for view in self._views:
            self._by_source.setdefault(view.plan.source.name, []).append(view)
        self._seq = 0
        self._horizon: int | None = None
        self._lock = threading.Lock()
        self._refreshing = threading.Lock()

    def refresh(self, *, now: int | None = None) -> int:
        """Take in what was pushed since the last time, by any process; says how many rows.

        With `now`, rows that no read from two days before it onward can need are let go. It counts only as far as
        there are rows: a request that claims to come from the year 2099 must not cost the others their history.
        """
        with self._refreshing:
            applied = self._follow()
            newest = max((view.newest for view in self._views if view.newest is not None), default=None)
            if now is not None and newest is not None:
                horizon = min(now, newest) - LOOK_BACK
                if self._horizon is None or horizon - self._horizon >= _TRIM_EVERY:
                    self._trim(horizon)
        return applied

    def read(self, inputs: Mapping[str, Sequence[Any]], times: Sequence[int]) -> dict[str, list[Any]]:
        """Every feature by name, one value a row, as of each row's time; None = missing.

        Inputs hold plain values, times in microseconds.

        Raises:
            Invalid: for a time before what is held. UserCodeFailed: when an on-demand function fails.
        """
        columns: dict[str, Any] = dict(inputs)
        with self._lock:
            if self._horizon is not None and times and min(times) < self._horizon:
                raise Invalid(
                    f"time {to_iso(min(times))} is before {to_iso(self._horizon)}, the oldest that is held online",
                    field="time",
                    next_step="read features that old offline",
                )
            for view, request, features in self._reads:
                keys = columns[request[0]] if len(request) == 1 else list(zip(*(columns[name] for name in request)))  # noqa: B905  lengths were checked
                found = view.read(keys, times)
                for position, feature in enumerate(features):
                    columns[feature] = [row[position] for row in found]
        if self.feature_set.functions:
            columns |= run_functions(self.feature_set.functions, columns, rows=len(times))
        return {name: columns[name] for name in self.feature_set.names}

    def _follow(self) -> int:
        applied, newest = 0, newest_seq(self._database)
        if newest <= self._seq:
            return 0
        with self._database.read() as conn:
            for chunk in read_rows(conn, self._by_source, after=self._seq, until=newest):
                rows = [(source, decode_payload(payload)) for source, payload in chunk]
                with self._lock:
                    for source, row in rows:
                        for view in self._by_source[source]:
                            view.apply(row)
                applied += len(rows)
        self._seq = newest
        return applied

    def _trim(self, horizon: int) -> None:
        with self._lock:
            self._horizon = horizon
            for view in self._views:
                view.trim(horizon)


class OnlineReader:
    """A store and a model version's columns: request columns in, the vectors the model sees out.

    Each call first follows the feed, so whatever was acknowledged before the request is in its features.
    """

    def __init__(self, store: OnlineStore, columns: Sequence[FeatureColumn]) -> None:
        names = tuple(column.name for column in columns)
        if names != store.feature_set.names:
            raise Conflict(
                f"the model takes {', '.join(names)}, the store holds {', '.join(store.feature_set.names)}",
                next_step="serve the version with the feature definitions it was trained on",
            )
        self._store = store
        self._columns = tuple(columns)
        self._codebooks = codebooks_of(columns)
        self._inputs = store.feature_set.inputs

    @property
    def direct(self) -> tuple[int, ...] | None:
        """Place of each vector column among the request's, when all are raw numbers; None when any is computed."""
        features = self._store.feature_set
        places = {column.name: place for place, column in enumerate(self._inputs) if column.dtype in _PLAIN}
        if features.views or features.functions or any(column.kind != "number" for column in self._columns):
            return None
        found = tuple(places[column.name] for column in self._columns if column.name in places)
        return found if len(found) == len(self._columns) else None

    def vectors(self, inputs: Mapping[str, Sequence[Any]], times: Sequence[int]) -> NDArray[np.float64]:
        """A float64 matrix, one row per request row, in signature order; NaN = missing.

        Raises:
            Invalid: naming a column that is unknown, missing, of another length or type.
        """
        checked = check_inputs(self._inputs, inputs, len(times))
        self._store.refresh(now=max(times, default=None))
        values = self._store.read(checked, times)
        return encode_values(self._columns, values, codebooks=self._codebooks)


def check_inputs(wanted: Sequence[InputColumn], given: Mapping[str, Sequence[Any]], rows: int) -> dict[str, list[Any]]:
    """The request columns as plain values: times in microseconds, NaN as None.

    Raises:
        Invalid: naming a column that is unknown, missing, of another length or type.
    """
    known = [column.name for column in wanted]
    for name in given:
        if name not in known:
            raise Invalid(f"there is no input {name!r}", field=name, next_step=did_you_mean(name, known))
    checked = {}
    for column in wanted:
        if column.name not in given:
            raise Invalid(
                f"input {column.name} is missing", field=column.name, next_step=f"send a {column.dtype} for every row"
            )
        values = given[column.name]
        values = values.tolist() if hasattr(values, "tolist") else values
        if isinstance(values, (str, bytes)) or len(values) != rows:
            raise Invalid(
                f"input {column.name} has {len(values)} values for {rows} rows",
                field=column.name,
                next_step="send a list with one value a row",
            )
        checked[column.name] = [
            check_value(value, column.dtype, field=column.name, where=f"row {number}")
            for number, value in enumerate(values)
        ]
    return checked
