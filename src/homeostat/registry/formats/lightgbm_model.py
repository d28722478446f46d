"""LightGBM boosters in LightGBM's own text."""

from typing import Any

import msgspec
import numpy as np

from homeostat.ground.errors import Corrupt
from homeostat.ground.extras import require
from homeostat.ground.records import FeatureColumn
from homeostat.registry.formats.answers import (
    BINARY,
    MULTICLASS,
    ONE_THREAD_BELOW,
    REGRESSION,
    Asked,
    Facts,
    Matrix,
    cannot,
    check_classes,
    class_name,
    named,
    nameless,
    values_of,
)

_TASKS = {"binary": BINARY, "cross_entropy": BINARY, "multiclass": MULTICLASS, "multiclassova": MULTICLASS}
_MENDS = {
    BINARY: "train with objective 'binary'",
    MULTICLASS: "train with objective 'multiclass'",
    REGRESSION: "train with a regression objective",
}
_HEADER = 64
"""Lines in which the header has ended, however many columns there are."""


class LightgbmScorer:
    """A booster, one thread a request."""

    def __init__(self, data: bytes, asked: Asked) -> None:
        lightgbm = require("lightgbm", extra="lightgbm")
        try:
            text = data.decode()
            self._booster = lightgbm.Booster(model_str=text)
        except (lightgbm.basic.LightGBMError, UnicodeDecodeError) as error:
            raise Corrupt(f"the LightGBM text cannot be read: {error}", next_step="package the model again") from error
        header = _header(text)
        objective = header.get("objective", "none").split(" ")[0] or "none"
        gives = _TASKS.get(objective, REGRESSION)
        if asked.task and (asked.task != gives or objective == "cross_entropy_lambda"):
            raise cannot(self._booster, f"has objective {objective!r}", _MENDS[asked.task])
        count = {BINARY: 2, MULTICLASS: int(header.get("num_class", "1"))}.get(gives, 0)
        classes = tuple(str(number) for number in range(count))
        check_classes(classes, asked)
        self.facts = Facts(task=gives, columns=_columns(header, text), classes=asked.classes or classes)
        self._asked = asked

    def score(self, matrix: Matrix) -> Matrix:
        rows, several = len(matrix), self.facts.task == MULTICLASS
        if not rows:
            return np.empty((0, len(self.facts.classes)) if several else 0)
        threads = {"num_threads": 1} if rows < ONE_THREAD_BELOW else {}
        answer = self._booster.predict(matrix, **threads)
        return np.ascontiguousarray(answer) if several else values_of(answer, rows, self._asked)


def _header(text: str) -> dict[str, str]:
    lines = text.split("\n", _HEADER)[:_HEADER]
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _columns(header: dict[str, str], text: str) -> tuple[FeatureColumn, ...]:
    names = header.get("feature_names", "").split(" ")
    if names == [f"Column_{place}" for place in range(len(names))]:  # what LightGBM calls those without names
        return nameless(len(names))
    columns = named(names)
    kinds = header.get("feature_infos", "").split(" ")
    places = [place for place, kind in enumerate(kinds) if not kind.startswith("[") and kind != "none"]
    vocabularies = _vocabularies(text)
    if len(places) != len(vocabularies) or len(kinds) != len(names):
        return columns
    coded = {
        place: FeatureColumn(name=names[place], kind="category", categories=tuple(map(class_name, values)))
        for place, values in zip(places, vocabularies, strict=True)
    }
    return tuple(coded.get(place, column) for place, column in enumerate(columns))


def _vocabularies(text: str) -> list[Any]:
    """The values of pandas' category columns, in the columns' order; the last line holds them."""
    _, found, last = text[-(1 << 20) :].rpartition("pandas_categorical:")
    try:
        return (msgspec.json.decode(last) or []) if found else []
    except msgspec.DecodeError:
        return []
