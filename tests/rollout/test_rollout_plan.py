import subprocess
import sys
from collections.abc import Callable

import msgspec
import pytest

from homeostat.ground.clock import DAY, HOUR
from homeostat.ground.errors import Invalid
from homeostat.rollout.plan_text import format_plan, parse_plan
from homeostat.rollout.types import Plan, ab, approval, blue_green, canary, shadow


def test_a_plan_is_read_back_from_json_as_it_was() -> None:
    plan = shadow(min_labels=500) >> canary(5, 25, 100, min_time="1h")
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan
    assert msgspec.convert(msgspec.to_builtins(plan), Plan) == plan


def test_the_defaults_are_the_documented_ones() -> None:
    (first, second) = (shadow() >> canary(5, 25, 100)).stages
    assert (first.min_labels, first.horizon, first.margin, first.undecided) == (300, 14 * DAY, 0.10, "hold")
    assert (second.min_requests, second.min_time, second.horizon) == (100, 6 * HOUR, 14 * DAY)


def names(plan: Plan) -> list[str]:
    return [step.name for step in plan.steps()]


def test_every_weight_below_a_hundred_is_a_step_and_after_the_promotion_comes_the_bake() -> None:
    assert [step.weight for step in (shadow() >> canary(1, 10, 50, 100)).steps()] == [0, 1, 10, 50, 100]
    assert names(shadow() >> canary(5, 25, 100)) == ["shadow", "canary 5 %", "canary 25 %", "bake"]
    assert names(canary(5, 100, bake="0s")) == ["canary 5 %"]
    assert names(shadow()) == ["shadow"]
    assert names(shadow() >> blue_green(approve=True)) == ["shadow", "blue-green", "approval", "bake"]
    assert names(ab(20) >> canary(50, 100)) == ["a/b 20 %", "canary 50 %", "bake"]


def test_an_approval_leaves_the_routing_of_the_step_before() -> None:
    weights = [(step.name, step.weight, step.looks_on) for step in (shadow(approve=True) >> canary(5, 100)).steps()]
    assert weights[:2] == [("shadow", 0, True), ("approval", 0, True)]
    assert [step.weight for step in canary(5, 25, 100, approve=True).steps()] == [5, 25, 25, 100]
    assert approval().steps()[0][1:] == (0, False)


def test_the_chance_of_a_false_rollback_is_shared_by_the_tests_that_are_on() -> None:
    assert canary(5, 100, bake="0s", guards=("errors",)).rollback_at("errors") == pytest.approx(1 / 0.03)
    assert canary(5, 100, bake="0s").tests == ("errors", "slow", "invalid", "arm quality")
    alone = canary(5, 100, bake="0s")
    assert 1 / sum(1 / alone.rollback_at(test) for test in alone.tests) == pytest.approx(1 / 0.03)
    assert alone.rollback_at("slow") == pytest.approx(3 * alone.rollback_at("errors"))
    # In the bake rates are tested anew, and the old version that scores along gives pairs.
    assert canary(5, 100).tests == ("errors", "slow", "invalid", "paired quality", "arm quality")
    plan = canary(5, 100)
    again = [f"{test} in the bake" for test in ("errors", "slow", "invalid")]
    assert 1 / sum(1 / plan.rollback_at(test) for test in [*plan.tests, *again]) == pytest.approx(1 / 0.03)
    assert shadow().tests == ("errors", "invalid", "paired quality")


@pytest.mark.parametrize(
    "text",
    [
        "shadow >> canary(5, 25, 100)",
        'shadow(min_labels=500, margin=0.2) >> approval(horizon="2d") >> canary(1, 100, bake="0s")',
        'blue_green(reverse_shadow="0s")',
        'blue_green(bake="30min", reverse_shadow="2d")',
        "ab(50, metric=\"log_loss\", margin=0.05, memory=\"500MB\") >> canary(75, 100, guards=('errors', 'slow'))",
        "approval",
    ],
)
def test_a_plan_is_written_as_it_is_read(text: str) -> None:
    assert format_plan(parse_plan(text)) == text
    assert parse_plan(format_plan(parse_plan(text))) == parse_plan(text)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("", "plan"),
        ("shadow >>", "plan"),
        ("__import__('os').system('true')", "plan"),
        ("canary(5, 25, 100)[0]", "plan"),
        ("canary(*range(5))", "plan"),
        ("rollback", "plan"),
        ("shadow(min_labels=open('x'))", "plan"),
        ("shadow(labels=3)", "labels"),
        ("canary('5', 100)", "canary"),
        ("canary(2.5, 100)", "canary"),
        ("canary(5, 100, bake='soon')", "bake"),
        ("canary(5, 100, memory='much')", "memory"),
        ("canary(5, 100, guards=('luck',))", "guards"),
        ("canary(5, 100, bake='0s', reverse_shadow='1d')", "reverse_shadow"),
        ("shadow(min_labels='many')", "plan"),
        ("canary >> shadow", "canary"),
        ("(" * 5000, "plan"),
        ("shadow" + " " * 5000, "plan"),
    ],
)
def test_a_line_that_is_no_plan_names_what_is_wrong(text: str, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_plan(text)
    assert caught.value.field == field and caught.value.next_step


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
        (lambda: canary(5, 100) >> blue_green(), "rollout"),
        (lambda: ab(50) >> canary(5, 100), "rollout"),
        (lambda: ab(100), "weight"),
        (lambda: ab(50, metric="luck"), "metric"),
        (lambda: ab(50, margin=-0.1), "margin"),
        (lambda: blue_green(min_requests=0), "min_requests"),
        (lambda: blue_green(bake="0s"), "bake"),
        (lambda: approval(horizon="0d"), "horizon"),
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
