"""What MLmodel says of a model's columns, in every form that MLflow writes."""

from typing import Any

import pytest

from homeostat.compat.mlflow.mlmodel import signature_in
from homeostat.registry.versions import NO_SIGNATURE

FRAME = """signature:
  inputs: '[{"type": "double", "name": "sepal length (cm)", "required": true}, {"type":
    "string", "name": "it''s", "required": true}, {"type": "datetime", "name": "t", "required":
    true}, {"type": "boolean", "name": "o", "required": true}, {"type": "long", "name":
    "n", "required": false}]'
  outputs: '[{"type": "double", "name": "q", "required": true}, {"type": "double",
    "name": "r", "required": true}]'
  params: null
"""


def array(*tensors: str) -> str:
    return f"signature:\n  inputs: '[{', '.join(tensors)}]'\n  params: null\n"


def tensor(shape: list[Any], name: str = "") -> str:
    named = f'"name": "{name}", ' if name else ""
    return f'{{{named}"type": "tensor", "tensor-spec": {{"dtype": "float64", "shape": {shape}}}}}'


def test_columns_of_a_frame_keep_names_and_types() -> None:
    found = signature_in(FRAME)
    assert [(column.name, column.dtype) for column in found.inputs] == [
        ("sepal length (cm)", "number"),
        ("it's", "string"),
        ("t", "time"),
        ("o", "boolean"),
        ("n", "number"),
    ]
    assert [column.kind for column in found.columns] == ["number", "text", "number", "number", "number"]
    assert (found.outputs, found.task) == (("q", "r"), "")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (array(tensor([-1, 3])), ["x0", "x1", "x2"]),
        (array(tensor([-1])), ["x0"]),
        (array(tensor([-1, 2], "a"), tensor([-1], "b"), tensor([-1, 1], "c")), ["a0", "a1", "b", "c"]),
        (array(tensor([-1, -1])), []),
        (array(tensor([-1, 3, 224, 224])), []),
        (array(tensor([-1, 10**9])), []),
        ('signature:\n  inputs: \'[{"type": "long"}, {"type": "long"}]\'\n', ["x0", "x1"]),
    ],
)
def test_tensors_are_columns_side_by_side(text: str, names: list[str]) -> None:
    assert [column.name for column in signature_in(text).inputs] == names


@pytest.mark.parametrize(
    "text", ["", "signature:\n  inputs: '[{'\n", "  inputs: '{}'\n", "\x00\xff", "  inputs: null\n"]
)
def test_what_cannot_be_read_says_nothing(text: str) -> None:
    assert signature_in(text) == NO_SIGNATURE
