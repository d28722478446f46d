"""What a user writes: a model, declared once, from which the loop is derived."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from homeostat.evaluation.gates import Gate
from homeostat.features.types import Source
from homeostat.ground.clock import parse_duration
from homeostat.ground.errors import Invalid
from homeostat.ground.ids import check_name
from homeostat.loop.triggers import Condition, Retrain, when
from homeostat.monitoring.types import Quality, Watch, quality
from homeostat.rollout.types import Plan, canary, shadow

Function = TypeVar("Function", bound=Callable[..., Any])


class Label(msgspec.Struct, frozen=True):
    """What the model predicts: an SQL expression over an example's columns, and the column that says when it is known.

    A boolean expression makes a binary classifier, a numeric one a regression.
    """

    expression: str
    known_at: str


class ModelSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A declared model, as `hs.model` collected it; holds the user's objects, so only user-code processes have it."""

    name: str
    examples: Source
    label: Label
    features: tuple[Any, ...]
    gate: tuple[Gate, ...]
    rollout: Plan
    watch: tuple[Watch, ...]
    retrain: Retrain | None
    train_window: int
    evaluation_window: int
    train_timeout: int | None
    sticky: str | None
    function: Callable[..., Any]


_collected: list[ModelSpec] = []


def model(
    name: str,
    *,
    examples: Source,
    label: Label,
    features: Sequence[Any],
    gate: Sequence[Gate] = (),
    rollout: Plan | None = None,
    watch: Sequence[Watch] = (),
    retrain: Retrain | Condition | None = None,
    train_window: str = "70d",
    evaluation_window: str = "7d",
    train_timeout: str | None = None,
    sticky: str | None = None,
) -> Callable[[Function], Function]:
    """Declare a model; the decorated function trains it.

    The function gets `train` (`X`: float64 matrix with NaN for missing and codes for categories, `y`: float64,
    `columns`, `categorical`: indices of category columns, `frame`) and `run` (`params`, `log(...)`), and returns an
    estimator. Examples of the last `train_window` are used; of these the newest `evaluation_window` is held out and
    judges challenger and champion alike. `sticky` names the request column whose value keeps a caller on one arm.
    """
    check_name(name, what="model")

    def collect(function: Function) -> Function:
        _collected.append(
            ModelSpec(
                name=name,
                examples=examples,
                label=label,
                features=tuple(features),
                gate=tuple(gate),
                rollout=rollout if rollout is not None else shadow() >> canary(5, 25, 100),
                watch=_with_quality(watch),
                retrain=retrain if retrain is None or isinstance(retrain, Retrain) else when(retrain),
                train_window=parse_duration(train_window, field="train_window"),
                evaluation_window=parse_duration(evaluation_window, field="evaluation_window"),
                train_timeout=parse_duration(train_timeout, field="train_timeout") if train_timeout else None,
                sticky=sticky,
                function=function,
            )
        )
        return function

    return collect


def _with_quality(watch: Sequence[Watch]) -> tuple[Watch, ...]:
    """A model is watched for breaks unless it says otherwise: hs.quality(checks=())."""
    return tuple(watch) if any(isinstance(rule, Quality) for rule in watch) else (*watch, quality())


def take_collected() -> list[ModelSpec]:
    """The models declared since the last call; each name once.

    Raises:
        Invalid: when two models share a name.
    """
    taken = list(_collected)
    _collected.clear()
    names = [spec.name for spec in taken]
    for name in names:
        if names.count(name) > 1:
            raise Invalid(f"model {name!r} is declared twice", field="name", next_step="give one of them another name")
    return taken
