"""Reading posted rows: each becomes what a worker of ours would have logged, or is refused by its place and field."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from homeostat.features.encoding import category_text
from homeostat.ground.clock import DAY, SECOND, Clock, DrivenClock, SystemClock, parse_moment, to_iso
from homeostat.ground.errors import Invalid
from homeostat.ground.records import PredictionBatch
from homeostat.loop.intake_files import Chunk, RowError, place_of
from homeostat.loop.intake_target import FIELDS, Target, TargetVersion
from homeostat.loop.intake_values import MAX_TEXT, Bad, vector_of

ARMS = ("stable", "canary", "shadow")
STATUSES = ("ok", "rejected", "error", "invalid")
PROTOCOL = "posted"
UNKNOWN_LATENCY = -1
MAX_ID = 128
SKEW = 5 * SECOND
"""Two machines' clocks never agree: a time from this far ahead is of now."""
REPLAYED = 31 * DAY
"""The same for a driven clock: a replay tells what happened before it moves the clock there."""
_MOST_LATENCY = 1e12
_encode = msgspec.json.Encoder().encode


class ReadRows(msgspec.Struct):
    """What came of a chunk."""

    batches: list[PredictionBatch]
    errors: list[RowError]


class RowReader:
    """Reads the rows of one request."""

    def __init__(self, target: Target, *, now: int, latest: int, received: int) -> None:
        self._target = target
        self._now = now
        self._received = received
        self._latest = latest
        self.ignored: dict[str, None] = {}
        """Columns that nothing reads."""
        self.missing: dict[str, None] = {}
        """Features that no row of a chunk had."""

    def read(self, chunk: Chunk) -> ReadRows:
        """The rows of a chunk as batches of one row, since each was a request of its own.

        Raises:
            Invalid: when none of the model's features is there.
        """
        count = len(chunk.places)
        bad: Bad = {}
        fields = self._fields(chunk)
        versions = self._versions(fields["version"], count, bad)
        statuses = _statuses(fields["status"], count, bad)
        times = self._times(fields["time"], count, bad, is_sent="time" in self._sent(chunk))
        scores = self._scores(fields, statuses, bad, is_text=chunk.is_text)
        latencies = _latencies(fields, count, bad)
        arms = _words(fields["arm"], count, "arm", ARMS, bad)
        details = [str(value)[:MAX_TEXT] if value is not None else "" for value in _list(fields["error"], count)]
        keys = self._keys(chunk, count, bad)
        vectors, kept = self._vectors(chunk, versions, statuses, bad)
        ids = self._ids(fields, keys, versions, times, bad)
        told = list((keys | kept).items())
        batches = [
            PredictionBatch(
                endpoint=self._target.model,
                model=self._target.model,
                version=versions[row].number,  # type: ignore[union-attr]  # None is in `bad`
                arm=arms[row],
                status=statuses[row],
                request_ids=[ids[row]],
                times=[times[row]],
                received=self._received,
                latency_us=latencies[row],
                protocol=PROTOCOL,
                inputs={name: [values[row]] for name, values in told},
                vectors=vectors[row],
                scores=[scores[row]] if statuses[row] == "ok" else [],
                detail=details[row],
            )
            for row in range(count)
            if row not in bad
        ]
        errors = [
            RowError(place_of(chunk.called, chunk.places[row]), field, text)
            for row, (field, text) in sorted(bad.items())
        ]
        return ReadRows(batches, [*chunk.bad, *errors])

    # Columns.

    def _name(self, field: str) -> str:
        return self._target.mapping.get(field, field)

    def _sent(self, chunk: Chunk) -> set[str]:
        return {field for field in FIELDS if self._name(field) in chunk.columns}

    def _fields(self, chunk: Chunk) -> dict[str, Sequence[Any] | None]:
        return {field: chunk.columns.get(self._name(field)) for field in FIELDS}

    def _keys(self, chunk: Chunk, count: int, bad: Bad) -> dict[str, Sequence[Any]]:
        found: dict[str, Sequence[Any]] = {}
        for column in self._target.keys:
            values = chunk.columns.get(column.name)
            if values is None:
                continue
            read = [_key(column.dtype, value) for value in values]
            for row in range(count):
                if read[row] is None and values[row] is not None:
                    bad.setdefault(row, (column.name, f"{values[row]!r:.60} is not a {column.dtype}"))
            found[column.name] = read
        return found

    # One field after the other.

    def _versions(self, said: Sequence[Any] | None, count: int, bad: Bad) -> list[TargetVersion | None]:
        if said is None:
            return [self._target.version(None)] * count
        known: dict[Any, TargetVersion | Invalid] = {}
        found: list[TargetVersion | None] = []
        for row, value in enumerate(said):
            key = value if isinstance(value, str | int) or value is None else repr(value)
            if key not in known:
                try:
                    known[key] = self._target.version(key)
                except Invalid as error:
                    known[key] = error
            version = known[key]
            if isinstance(version, Invalid):
                bad.setdefault(row, ("version", str(version)))
                found.append(None)
            else:
                found.append(version)
        return found

    def _times(self, said: Sequence[Any] | None, count: int, bad: Bad, *, is_sent: bool) -> list[int]:
        if said is None or not is_sent:
            return [self._now] * count
        found = []
        for row, value in enumerate(said):
            try:
                at = self._moment(value)
            except Invalid as error:
                bad.setdefault(row, ("time", error.message))
                at = self._now
            found.append(at)
        return found

    def _moment(self, value: Any) -> int:
        if value is None or isinstance(value, bool) or not isinstance(value, str | int):
            raise Invalid(f"{value!r:.60} is no time", field="time")
        at = parse_moment(value)
        if at > self._latest:
            raise Invalid(f"{to_iso(at)} lies in the future of the server's clock ({to_iso(self._now)})", field="time")
        return at

    def _scores(
        self, fields: dict[str, Sequence[Any] | None], statuses: list[str], bad: Bad, *, is_text: bool
    ) -> list[float]:
        count = len(statuses)
        scores, predictions = _list(fields["score"], count), _list(fields["prediction"], count)
        found = [float("nan")] * count
        for row, (score, prediction) in enumerate(zip(scores, predictions, strict=True)):
            if score is None and prediction is None:
                if statuses[row] == "ok":
                    text = "there is neither a score nor a prediction; say status=invalid when it answered none"
                    bad.setdefault(row, ("score", text))
                continue
            try:
                found[row] = self._score(score, prediction, is_text=is_text)
            except Invalid as error:
                bad.setdefault(row, (error.field, error.message))
                continue
            if not np.isfinite(found[row]) and statuses[row] == "ok":
                statuses[row] = "invalid"
        return found

    def _score(self, score: Any, prediction: Any, *, is_text: bool) -> float:
        if score is not None:
            if isinstance(score, bool) or not isinstance(score, int | float):
                if is_text and isinstance(score, str) and (number := _parsed(score)) is not None:
                    return number
                raise Invalid(f"{score!r:.60} is not a number", field="score")
            return float(score)
        if isinstance(prediction, float) and not np.isfinite(prediction):
            return prediction
        try:
            return self._target.truth.read(prediction)
        except Invalid as error:
            raise Invalid(error.message.replace("the value", "it", 1), field="prediction") from error

    def _vectors(
        self, chunk: Chunk, versions: list[TargetVersion | None], statuses: list[str], bad: Bad
    ) -> tuple[list[bytes], dict[str, Sequence[Any]]]:
        """The vector of each row, and the columns that a vector does not tell: categories as they were sent."""
        count = len(versions)
        vectors = [b""] * count
        kept: dict[str, Sequence[Any]] = {}
        for version in {one.number: one for one in versions if one is not None}.values():
            rows = [row for row in range(count) if versions[row] is version]
            matrix = self._matrix(chunk, version, rows, bad)
            if matrix is None:
                if any(statuses[row] in {"ok", "invalid"} for row in rows):
                    raise Invalid(
                        "no feature of the model is there",
                        field="features",
                        next_step=f"features are {', '.join(version.names)}"[:500],
                    )
                continue
            for place, row in enumerate(rows):
                vectors[row] = matrix[place].tobytes()
            named = [one.name for one in version.columns if one.kind == "category" and one.name in chunk.columns]
            kept |= {name: chunk.columns[name] for name in named}
        return vectors, kept

    def _matrix(self, chunk: Chunk, version: TargetVersion, rows: list[int], bad: Bad) -> NDArray[np.float64] | None:
        known = {*version.names, *(self._name(field) for field in FIELDS), *(key.name for key in self._target.keys)}
        self.ignored |= dict.fromkeys([name for name in chunk.columns if name not in known])
        self.ignored |= dict.fromkeys(chunk.skipped)
        there = [name for name in version.names if name in chunk.columns]
        if not there and version.columns:
            return None
        self.missing |= dict.fromkeys(name for name in version.names if name not in chunk.columns)
        matrix = np.full((len(rows), len(version.columns)), np.nan)
        for place, column in enumerate(version.columns):
            if column.name in chunk.columns:
                values = chunk.columns[column.name]
                some: Bad = {}
                matrix[:, place] = vector_of(
                    column,
                    values if len(rows) == len(values) else [values[row] for row in rows],
                    is_text=chunk.is_text,
                    is_time=column.name in version.times,
                    bad=some,
                )
                for at, why in some.items():
                    bad.setdefault(rows[at], why)
        return matrix

    def _ids(
        self,
        fields: dict[str, Sequence[Any] | None],
        keys: dict[str, Sequence[Any]],
        versions: list[TargetVersion | None],
        times: list[int],
        bad: Bad,
    ) -> list[str]:
        """The id that a row has, or one made from its key and time, which is the same when the row comes again."""
        given = _list(fields["request_id"], len(times))
        may_make = bool(keys) and fields["time"] is not None
        found = []
        for row, value in enumerate(given):
            if value is None and may_make and versions[row] is not None:
                entity = [values[row] for values in keys.values()]
                said = [self._target.model, versions[row].number, times[row], entity]  # type: ignore[union-attr]
                found.append(blake3(_encode(said)).hexdigest(16))
                continue
            text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
            if not 0 < len(text) <= MAX_ID or "\0" in text:
                why = f"{value!r:.60} is no id: text of 1 to {MAX_ID} characters"
                if value is None:
                    why = "it is missing, and without a key column and a time none can be made that stays the same"
                bad.setdefault(row, ("request_id", why))
            found.append(text)
        return found


def reader_for(target: Target, clock: Clock) -> RowReader:
    """A reader by the clock that decides."""
    now = clock.now()
    ahead = REPLAYED if isinstance(clock, DrivenClock) else SKEW
    return RowReader(target, now=now, latest=now + ahead, received=SystemClock().now())


def _statuses(said: Sequence[Any] | None, count: int, bad: Bad) -> list[str]:
    """Status words, or those of HTTP: 2xx is ok, 4xx the caller's fault, 5xx the model's."""
    if said is None:
        return ["ok"] * count
    found = []
    for row, value in enumerate(said):
        text = "ok" if value is None else str(value).lower()
        if text.isdecimal() and len(text) == 3:
            text = {"2": "ok", "4": "rejected", "5": "error"}.get(text[0], text)
        if text not in STATUSES:
            bad.setdefault(row, ("status", f"{value!r:.40} is none of {', '.join(STATUSES)}, or an HTTP status"))
            text = "ok"
        found.append(text)
    return found


def _latencies(fields: dict[str, Sequence[Any] | None], count: int, bad: Bad) -> list[int]:
    found = [UNKNOWN_LATENCY] * count
    for field, factor in (("latency_us", 1.0), ("latency_ms", 1_000.0)):
        for row, value in enumerate(fields[field] or ()):
            if value is None:
                continue
            number = _parsed(value) if isinstance(value, str) else value
            if isinstance(number, int | float) and not isinstance(number, bool) and 0 <= number < _MOST_LATENCY:
                found[row] = round(number * factor)
            else:
                bad.setdefault(row, (field, f"{value!r:.60} is no latency"))
    return found


def _words(said: Sequence[Any] | None, count: int, field: str, words: Sequence[str], bad: Bad) -> list[str]:
    found = [words[0] if value is None else str(value) for value in _list(said, count)]
    for row, word in enumerate(found):
        if word not in words:
            bad.setdefault(row, (field, f"{word!r:.40} is none of {', '.join(words)}"))
    return found


def _key(dtype: str, value: Any) -> Any:
    """A key's value by its column's type; None when it is none."""
    if value is None or isinstance(value, list | dict):
        return None
    if dtype == "number":
        number = _parsed(value) if isinstance(value, str) else value
        is_number = isinstance(number, int | float) and not isinstance(number, bool) and bool(np.isfinite(number))
        return number if is_number else None
    if dtype == "boolean":
        return value if isinstance(value, bool) else {"true": True, "false": False}.get(str(value).lower())
    if dtype == "time":
        try:
            return parse_moment(value) if isinstance(value, str | int) else None
        except Invalid:
            return None
    text = category_text(value)
    return text if text is not None and 0 < len(text) <= MAX_TEXT and "\0" not in text else None


def _parsed(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _list(values: Sequence[Any] | None, count: int) -> Sequence[Any]:
    return [None] * count if values is None else values
