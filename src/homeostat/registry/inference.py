"""What a package takes and gives, found out by reading and asking it: names, types, task, classes, missing values.

It loads the model, so it belongs into the process that trained it, a serving worker, or a child of its own; never into
a server.
"""

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from homeostat.ground.errors import HomeostatError, Invalid, Refused
from homeostat.ground.records import FeatureColumn, InputColumn, Signature
from homeostat.registry.formats.answers import MULTICLASS, REGRESSION, Asked, Facts, Matrix, class_name
from homeostat.registry.scorers import Answering, scorer_from
from homeostat.registry.versions import NO_SIGNATURE

MOST_COLUMNS = 10_000
RESERVED = ("request_id", "request_time")
"""Names of columns that belong to serving."""
_MOST_PROBED = 512
"""Columns up to which each is tried with a missing value; with more, none may be missing unless all may."""


def look_at(
    flavor: str,
    files: Mapping[str, bytes],
    said: Signature = NO_SIGNATURE,
    *,
    example: Sequence[Any] = (),
    allow_pickle: bool = False,
) -> Signature:
    """The signature of a package; one with an `obstacle` when it cannot answer, whatever the reason."""
    try:
        return infer_signature(flavor, files, said, example=example, allow_pickle=allow_pickle)
    except HomeostatError as error:
        why = str(error)
    except Exception as error:  # noqa: BLE001  a model may raise anything
        why = f"the model raised {type(error).__name__}: {error!s:.300}"
    return msgspec.structs.replace(said, task="", obstacle=why)


def infer_signature(
    flavor: str,
    files: Mapping[str, bytes],
    said: Signature = NO_SIGNATURE,
    *,
    example: Sequence[Any] = (),
    allow_pickle: bool = False,
) -> Signature:
    """The signature of a package. What was said of it (names, types, task, classes) counts where the model is silent.

    `example`: a row of values that the model takes, in the order of the inputs that were named.

    Raises:
        Refused: when it cannot answer.
        Invalid: when what was said does not fit the model.
        Corrupt: when it cannot be read.
    """
    texts = _Texts()
    asked = Asked(task=said.task, classes=said.classes, outputs=said.outputs, text_of=texts.text_of)
    free = msgspec.structs.replace(asked, task=_free_task(said.task), outputs=())
    scorer = scorer_from(flavor, files, free, allow_pickle=allow_pickle)
    if said.task == REGRESSION != scorer.facts.task:
        free = asked
        scorer = scorer_from(flavor, files, asked, allow_pickle=allow_pickle)
    columns, inputs = _columns(scorer.facts, said)
    if any(column.kind == "text" for column in columns):
        scorer = scorer_from(flavor, files, msgspec.structs.replace(free, columns=columns), allow_pickle=allow_pickle)
    row, answer = _tried(scorer, texts, columns, _ordered(example, said.inputs, inputs))
    task = said.task or scorer.facts.task
    classes = () if task == REGRESSION else said.classes or scorer.facts.classes
    missing = _may_be_missing(scorer, row)
    return Signature(
        task=task,
        inputs=tuple(
            InputColumn(name=column.name, dtype=column.dtype, nullable=may)
            for column, may in zip(inputs, missing, strict=True)
        ),
        columns=columns,
        feature_hash="",
        classes=_checked_classes(task, classes, answer),
        outputs=_outputs(task, said.outputs, answer),
    )


def _free_task(task: str) -> str:
    """A regression may turn out to give several values, so it is not asked for by name."""
    return "" if task == REGRESSION else task


# Columns -------------------------------------------------------------------------------------------------------------


def _columns(facts: Facts, said: Signature) -> tuple[tuple[FeatureColumn, ...], tuple[InputColumn, ...]]:
    """The columns of the matrix, and those of a request, one for one."""
    known = facts.columns
    if known is None and not said.inputs:
        raise Refused(
            "the model does not say how many columns it takes",
            field="inputs",
            next_step="register it with their names (inputs=[...]) or an example of its rows (example=...)",
        )
    named = _in_models_order(said.inputs, known)
    if known is None:
        known = tuple(FeatureColumn(name="", kind="number") for _ in named)
    if not named:
        named = tuple(InputColumn(name="", dtype="") for _ in known)
    named = tuple(
        msgspec.structs.replace(given, name=given.name or column.name or f"x{place}")
        for place, (given, column) in enumerate(zip(named, known, strict=True))
    )
    _check_names([column.name for column in named])
    columns = tuple(_column(column, given) for column, given in zip(known, named, strict=True))
    inputs = tuple(
        InputColumn(name=given.name, dtype=_dtype(column, given)) for column, given in zip(columns, named, strict=True)
    )
    return columns, inputs


def _in_models_order(said: Sequence[InputColumn], known: Sequence[FeatureColumn] | None) -> tuple[InputColumn, ...]:
    if not said or known is None:
        return tuple(said)
    if len(said) != len(known):
        raise Invalid(
            f"the model takes {len(known)} columns, {len(said)} are named",
            field="inputs",
            next_step="name them all, in the order in which it was trained",
        )
    by_name = {column.name: column for column in said}
    names = [column.name for column in known]
    return tuple(by_name[name] for name in names) if set(names) == set(by_name) else tuple(said)


def _ordered(example: Sequence[Any], said: Sequence[InputColumn], inputs: Sequence[InputColumn]) -> Sequence[Any]:
    """The example in the order of the model's columns."""
    by_name = {column.name: value for column, value in zip(said, example, strict=False)}
    return [by_name[column.name] for column in inputs] if len(by_name) == len(inputs) else example


def _check_names(names: Sequence[str]) -> None:
    if len(names) > MOST_COLUMNS:
        raise Refused(
            f"the model takes {len(names)} columns",
            field="inputs",
            next_step=f"serve models of up to {MOST_COLUMNS} columns",
        )
    for name, times in Counter(names).items():
        wrong = (
            "stands twice" if times > 1 else "belongs to serving" if name in RESERVED else "" if name else "is empty"
        )
        if wrong:
            raise Invalid(
                f"the name {name!r} of a column {wrong}",
                field="inputs",
                next_step="register it with other names: inputs=[...]",
            )


def _column(known: FeatureColumn, given: InputColumn) -> FeatureColumn:
    kind = "text" if known.kind == "number" and given.dtype == "string" else known.kind
    return FeatureColumn(name=given.name, kind=kind, categories=known.categories)


def _dtype(column: FeatureColumn, given: InputColumn) -> str:
    if column.kind == "number":
        return given.dtype or "number"
    if column.kind == "category" and given.dtype != "string" and all(map(_is_number, column.categories)):
        return "number"
    return "string"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


# Asking --------------------------------------------------------------------------------------------------------------


class _Texts:
    """Codes for the few texts that a probe sends."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def text_of(self, code: float) -> str:
        return self._texts[int(code)]

    def row(self, columns: Sequence[FeatureColumn], values: Sequence[Any]) -> Matrix:
        """A row of the matrix."""
        numbers = [self._value(column, value) for column, value in zip(columns, values, strict=True)]
        return np.array(numbers, dtype=np.float64)

    def _value(self, column: FeatureColumn, value: Any) -> float:
        if value is None or value != value:  # noqa: PLR0124  NaN
            return np.nan
        if column.kind == "text":
            self._texts.append(str(value))
            return len(self._texts) - 1
        if column.kind == "category":
            return column.categories.index(class_name(value)) if class_name(value) in column.categories else np.nan
        return float(value)


def _tried(
    scorer: Answering, texts: _Texts, columns: Sequence[FeatureColumn], example: Sequence[Any]
) -> tuple[Matrix, Matrix]:
    """A row that the model takes, and its answer to two of them: the example, or zeros, or ones (for a logarithm).

    Raises:
        Refused: when it takes none of them.
    """
    rows = [_simple(columns, number) for number in (0.0, 1.0)]
    failed: Exception | None = None
    for values in [list(example), *rows] if example else rows:
        try:
            row = texts.row(columns, values)
            return row, _answer(scorer, np.stack([row, row]))
        except HomeostatError:
            raise
        except Exception as error:  # noqa: BLE001  a model may raise anything
            failed = failed or error
    raise Refused(
        f"the model raised {type(failed).__name__}: {failed!s:.300}",
        field="model",
        next_step="register it with rows that it takes: example=...",
    ) from failed


def _simple(columns: Sequence[FeatureColumn], number: float) -> list[Any]:
    """A number everywhere, with a text that the model has seen where it takes one."""
    return [(column.categories or ("",))[0] if column.kind != "number" else number for column in columns]


def _answer(scorer: Answering, rows: Matrix) -> Matrix:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        answer: Matrix = np.asarray(scorer.score(rows), dtype=np.float64)
    if answer.ndim not in {1, 2} or len(answer) != len(rows):
        raise Refused(
            f"the model gives shape {answer.shape} for {len(rows)} rows", field="model", next_step="give numbers a row"
        )
    return answer


def _may_be_missing(scorer: Answering, row: Matrix) -> list[bool]:
    """For each column, whether the model answers when its value is missing."""
    places = np.arange(len(row))
    taken = np.zeros(len(row), dtype=bool)
    waiting = [places]
    while waiting:
        some = waiting.pop()
        tried = row.copy()
        tried[some] = np.nan
        if _is_answered(scorer, tried):
            taken[some] = True
        elif 1 < len(some) <= _MOST_PROBED:
            waiting += np.array_split(some, 2)
    return taken.tolist()


def _is_answered(scorer: Answering, row: Matrix) -> bool:
    try:
        return bool(np.isfinite(_answer(scorer, row.reshape(1, -1))).all())
    except Exception:  # noqa: BLE001  however it says no
        return False


def _checked_classes(task: str, classes: tuple[str, ...], answer: Matrix) -> tuple[str, ...]:
    if task == MULTICLASS and (answer.ndim != 2 or answer.shape[1] != len(classes)):
        given = 1 if answer.ndim == 1 else answer.shape[1]
        raise Invalid(
            f"the model gives {given} probabilities a row, {len(classes)} classes are named",
            field="classes",
            next_step="name one for each, in the model's own order: classes=[...]",
        )
    if len(set(classes)) != len(classes):
        raise Invalid("two classes have one name", field="classes", next_step="name them differently: classes=[...]")
    return classes


def _outputs(task: str, said: tuple[str, ...], answer: Matrix) -> tuple[str, ...]:
    if task != REGRESSION or answer.ndim == 1:
        return ()
    count = answer.shape[1]
    return said if len(said) == count else tuple(f"y{place}" for place in range(count))
