import subprocess
import sys
from collections.abc import Callable

import msgspec
import pytest

from homeostat.ground.clock import DAY, HOUR
from homeostat.ground.errors import Invalid
from homeostat.rollout.types import Plan, canary, shadow


def test_a_plan_is_read_back_from_json_as_it_was() -> None:
    plan = shadow(min_labels=500) >> canary(5, 25, 100, min_time="1h")
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan
    assert msgspec.convert(msgspec.to_builtins(plan), Plan) == plan


def test_the_defaults_are_the_documented_ones() -> None:
    (first, second) = (shadow() >> canary(5, 25, 100)).stages
    assert (first.min_labels, first.horizon, first.margin, first.undecided) == (300, 14 * DAY, 0.10, "hold")
    assert (second.min_requests, second.min_time, second.horizon) == (100, 6 * HOUR, 14 * DAY)


def test_every_weight_below_a_hundred_is_a_step() -> None:
    assert [weight for _, weight in (shadow() >> canary(1, 10, 50, 100)).steps()] == [0, 1, 10, 50]
    assert [weight for _, weight in shadow().steps()] == [0]


@pytest.mark.parametrize(
    "weights", [(), (100,), (5, 25), (25, 5, 100), (5, 5, 100), (0, 100), (-1, 100), (5, 100, 120)]
)
def test_a_canary_must_grow_to_a_hundred(weights: tuple[int, ...]) -> None:
    with pytest.raises(Invalid, match="does not grow to 100") as caught:
        canary(*weights)
    assert caught.value.field == "canary"


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: shadow(min_labels=0), "min_labels"),
        (lambda: shadow(margin=0), "margin"),
        (lambda: shadow(horizon="soon"), "horizon"),
        (lambda: shadow(horizon="0d"), "horizon"),
        (lambda: shadow(undecided="whatever"), "undecided"),
        (lambda: canary(5, 100, min_requests=0), "min_requests"),
        (lambda: canary(5, 100, error_limit=1.0), "error_limit"),
        (lambda: canary(5, 100) >> shadow(), "rollout"),
        (lambda: shadow() >> shadow(), "rollout"),
        (lambda: Plan(()), "rollout"),
    ],
)
def test_a_wrong_plan_names_its_field(make: Callable[[], object], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        make()
    assert caught.value.field == field and caught.value.next_step


def test_a_wrong_plan_from_json_is_refused_too() -> None:
    text = msgspec.json.encode(canary(5, 25, 100)).replace(b"[5,25,100]", b"[5,25]")
    with pytest.raises(Invalid, match="does not grow to 100"):
        msgspec.json.decode(text, type=Plan)


@pytest.mark.parametrize("module", ["homeostat.rollout.types", "homeostat.monitoring.types"])
def test_the_words_of_a_declaration_import_nothing_heavy(module: str) -> None:
    heavy = "numpy", "polars", "sqlalchemy", "sklearn"
    code = f"import sys, {module}; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
