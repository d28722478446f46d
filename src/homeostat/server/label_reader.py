"""From a row that somebody sent to a label that can be kept: values, keys and times read, or a refusal by name."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from homeostat.ground.clock import DAY, SECOND, parse_moment, to_iso
from homeostat.ground.errors import Invalid
from homeostat.ground.records import InputColumn, Label
from homeostat.loop.labelling import Labelled
from homeostat.monitoring.keyed import KeyLabel
from homeostat.monitoring.keys import KeySet
from homeostat.server.label_bodies import LabelRow

SKEW = 5 * SECOND
"""Two machines' clocks never agree: a label from this far ahead is of now."""
REPLAYED = 31 * DAY
"""The same for a driven clock: a replay tells what happened before it moves the clock there."""
MAX_ID = 128
MAX_TEXT = 1_000
MAX_KEYS = 8

_WORDS = {"true": True, "false": False}


class ReadLabel(msgspec.Struct, frozen=True):
    """A label that may be kept."""

    label: Label | KeyLabel
    key_set: KeySet | None
    """The columns of a label by key."""
    is_dated: bool
    """Whether its sender said when it became known."""


class LabelReader:
    """Reads the labels of one request for one model."""

    def __init__(self, labelled: Labelled, *, now: int, window: int, is_driven: bool = False) -> None:
        self._labelled = labelled
        self._now = now
        self._window = window
        self._latest = now + (REPLAYED if is_driven else SKEW)
        self._key_sets: dict[tuple[str, ...], KeySet] = {}

    def read(self, row: LabelRow) -> ReadLabel:
        """The label of a row.

        Raises:
            Invalid: naming the field and the mend.
        """
        value = self._labelled.truth.read(row.value)
        at = self._now if row.at is None else self._moment(row.at, "at")
        if (row.request_id is None) == (row.keys is None):
            raise Invalid(
                "a label has either a request_id or keys",
                field="request_id",
                next_step="name what was true by the request's id, or by request columns: "
                '{"keys": {"column": value}, "time": ...}',
            )
        if row.request_id is not None:
            if row.time is not None:
                raise Invalid(
                    "a time goes with keys, and this label has a request_id",
                    field="time",
                    next_step="leave it out; `at` says when the label became known",
                )
            label = Label(request_id=_checked_id(row.request_id), value=value, at=at)
            return ReadLabel(label, None, row.at is not None)
        assert row.keys is not None  # one of the two is there
        key_set = self._key_set(row.keys)
        return ReadLabel(self._key_label(key_set, row, value, at), key_set, row.at is not None)

    def _key_label(self, key_set: KeySet, row: LabelRow, value: float, at: int) -> KeyLabel:
        assert row.keys is not None  # that is why it is read here
        read = {column.name: _key_value(column, row.keys[column.name]) for column in key_set.columns}
        key = key_set.key(list(read.values()))
        assert key is not None  # `_key_value` refuses what is missing
        if row.time is None:
            return KeyLabel(key=key, keys=read, value=value, at=at)
        time = self._moment(row.time, "time")
        return KeyLabel(key=key, keys=read, value=value, at=at, time=time, earliest=time - self._window)

    def _key_set(self, given: Mapping[str, Any]) -> KeySet:
        names = tuple(sorted(given))
        if names not in self._key_sets:
            self._key_sets[names] = KeySet(model=self._labelled.model, columns=self._columns(names))
        return self._key_sets[names]

    def _columns(self, names: Sequence[str]) -> tuple[InputColumn, ...]:
        known = self._labelled.columns
        if not 0 < len(names) <= MAX_KEYS:
            raise Invalid(
                f"{len(names)} keys are named", field="keys", next_step=f"name 1 to {MAX_KEYS} request columns"
            )
        for name in names:
            if name not in known:
                raise Invalid(
                    f"{self._labelled.model!r} is asked with no column {name!r:.80}",
                    field=f"keys.{name}"[:100],
                    next_step=f"request columns: {', '.join(known) or 'none are known; use request ids'}"[:500],
                )
        return tuple(known[name] for name in names)

    def _moment(self, given: str | int, field: str) -> int:
        moment = parse_moment(given, field=field)
        if moment > self._latest:
            raise Invalid(
                f"{field} {to_iso(moment)} lies in the future of the server's clock ({to_iso(self._now)})",
                field=field,
                next_step="send a label when it is known, with the time at which it was, in UTC",
            )
        return moment


def _checked_id(request_id: str) -> str:
    if not 0 < len(request_id) <= MAX_ID or "\0" in request_id:
        raise Invalid(
            f"{request_id!r:.60} is no request id",
            field="request_id",
            next_step=f"send the id that came with the prediction: text of 1 to {MAX_ID} characters",
        )
    return request_id


def _key_value(column: InputColumn, value: Any) -> Any:
    """A key's value, read by its column's type: what a request brings, and what a CSV file says of it."""
    read = {"number": _number, "string": _text, "boolean": _boolean, "time": _time}[column.dtype](value)
    if read is None:
        raise Invalid(
            f"key {column.name!r} is {value!r:.60}, which is not a {column.dtype}",
            field=f"keys.{column.name}",
            next_step="send the value that the request had",
        )
    return read


def _number(value: Any) -> int | float | None:
    if isinstance(value, str):
        try:
            value = int(value) if value.removeprefix("-").isdecimal() and len(value) < 25 else float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) and abs(value) < 1 << 63 else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= MAX_TEXT and "\0" not in value else None


def _boolean(value: Any) -> bool | None:
    if isinstance(value, str):
        return _WORDS.get(value.lower())
    return value if isinstance(value, bool) else None


def _time(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    try:
        return parse_moment(value)
    except Invalid:
        return None
