"""What a label may say, by what the model predicts."""

from typing import Any

import pytest

from homeostat.ground.errors import Invalid
from homeostat.monitoring.truth import Truth

BINARY = Truth(task="binary")
NAMED = Truth(task="binary", classes=("late", "on time"))
SIGNED = Truth(task="binary", classes=("-1", "1"))
FALSE_TRUE = Truth(task="binary", classes=("False", "True"))
ZERO_ONE = Truth(task="binary", classes=("0", "1"))
DIGITS = Truth(task="multiclass", classes=("0", "1", "2"))
ANIMALS = Truth(task="multiclass", classes=("cat", "dog", "true"))
NUMBER = Truth(task="regression")
UNKNOWN = Truth()


@pytest.mark.parametrize(
    ("truth", "value", "read"),
    [
        (BINARY, True, 1.0),
        (BINARY, 0, 0.0),
        (BINARY, "TRUE", 1.0),
        (BINARY, "0", 0.0),
        (NAMED, "late", 0.0),
        (NAMED, "on time", 1.0),
        (NAMED, False, 0.0),
        (NAMED, 1, 1.0),
        (SIGNED, -1, 0.0),
        (SIGNED, 1.0, 1.0),
        (FALSE_TRUE, True, 1.0),
        (FALSE_TRUE, "false", 0.0),
        (ZERO_ONE, True, 1.0),
        (ZERO_ONE, "false", 0.0),
        (ZERO_ONE, 1, 1.0),
        (DIGITS, 2, 2.0),
        (DIGITS, "2", 2.0),
        (DIGITS, 2.0, 2.0),
        (ANIMALS, "dog", 1.0),
        (ANIMALS, True, 2.0),
        (NUMBER, 3, 3.0),
        (NUMBER, "-2.5e3", -2500.0),
        (UNKNOWN, True, 1.0),
        (UNKNOWN, "false", 0.0),
        (UNKNOWN, 0.25, 0.25),
    ],
)
def test_a_label_is_read_by_what_the_model_predicts(truth: Truth, value: Any, read: float) -> None:
    assert truth.read(value) == read


@pytest.mark.parametrize(
    ("truth", "value"),
    [
        (BINARY, 0.5),
        (BINARY, 2),
        (BINARY, "maybe"),
        (BINARY, None),
        (BINARY, ""),
        (NAMED, "early"),
        (NAMED, 0.5),
        (SIGNED, 0),
        (DIGITS, 3),
        (DIGITS, 0.5),
        (DIGITS, "cat"),
        (ANIMALS, 1),
        (NUMBER, True),
        (NUMBER, "true"),
        (NUMBER, "far"),
        (NUMBER, float("nan")),
        (NUMBER, float("inf")),
        (NUMBER, "nan"),
        (NUMBER, "-Infinity"),
        (NUMBER, 10**400),
        (UNKNOWN, float("nan")),
        (UNKNOWN, "cat"),
        (BINARY, float("nan")),
    ],
)
def test_a_label_that_such_a_model_cannot_have_is_refused_by_name(truth: Truth, value: Any) -> None:
    with pytest.raises(Invalid) as refused:
        truth.read(value)
    assert refused.value.field == "value"
    assert refused.value.next_step


def test_the_mend_lists_the_classes() -> None:
    with pytest.raises(Invalid, match="send the name of a class: late, on time"):
        NAMED.read("early")
