"""What callers would notice when a version takes another's place, in words."""

from typing import Any

import pytest

from homeostat.ground.records import InputColumn, Signature
from homeostat.loop.compatible import differences
from homeostat.registry.versions import NO_SIGNATURE


def of(**given: Any) -> Signature:
    plain = {"task": "binary", "inputs": (), "columns": (), "feature_hash": ""} | given
    inputs = tuple(hs_input if not isinstance(hs_input, str) else column(hs_input) for hs_input in plain.pop("inputs"))
    return Signature(**plain, inputs=inputs)


def column(name: str, dtype: str = "number", *, nullable: bool = True) -> InputColumn:
    return InputColumn(name=name, dtype=dtype, nullable=nullable)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (of(inputs="ab"), of(inputs="ab"), []),
        (of(inputs="ab", classes=("0", "1")), of(inputs="ab", classes=("false", "true")), []),
        (of(inputs="ab"), of(inputs="ab", classes=("fine", "late")), ["its classes are fine, late"]),
        (of(inputs="ab"), of(inputs="abc"), ["it takes c, which callers do not send"]),
        (of(inputs="ab"), of(inputs="a"), ["it does not take b, which callers send"]),
        (of(inputs="ab"), of(inputs="ba"), ["in another order"]),
        (of(inputs="a"), of(inputs=[column("a", "string")]), ["its a is a string, callers send a number"]),
        (of(inputs="a"), of(inputs=[column("a", nullable=False)]), ["its a must not be missing"]),
        (of(inputs="a"), of(inputs="a", task="regression"), ["it answers a regression task"]),
        (of(task="regression"), of(task="regression", outputs=("x", "y")), ["it gives x, y, callers get one value"]),
        (of(), of(inputs=[f"c{n}" for n in range(20)]), ["c7 and 12 more"]),
    ],
)
def test_what_callers_would_notice_is_said(before: Signature, after: Signature, said: list[str]) -> None:
    found = differences(before, after)
    assert len(found) == len(said) and all(part in whole for part, whole in zip(said, found, strict=True))
    assert differences(NO_SIGNATURE, NO_SIGNATURE) == []
