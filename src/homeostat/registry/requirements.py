"""What a version must show to enter a stage: predicates over what is stored with it."""

import math
import re
from collections.abc import Mapping
from typing import Any, Literal, get_args

import msgspec

from homeostat.ground.errors import Invalid
from homeostat.registry.types import ModelVersion

Kind = Literal["at_least", "at_most", "signed", "has_signature", "has_evaluation", "was_in", "has_tag"]


class Requirement(msgspec.Struct, frozen=True, kw_only=True):
    """One predicate, as plain data: `Requirement(kind="at_least", name="roc_auc", bound=0.8)`."""

    kind: Kind
    name: str = ""
    """Of the metric, the stage or the tag that is asked for."""
    bound: float = 0.0


_BOUND = re.compile(r"\s*(?P<name>.+?)\s*(?P<sign>>=|<=)\s*(?P<bound>\S+)\s*")
_NAME = 250
_NAMED = ("was_in", "has_tag")
_SPELLINGS = "roc_auc>=0.8, log_loss<=0.3, signed, has_signature, has_evaluation, was_in=STAGE or has_tag=TAG"


def parse_requirement(text: str) -> Requirement:
    """A requirement as people write it.

    >>> parse_requirement("roc_auc >= 0.8").bound, parse_requirement("was_in=staging").name
    (0.8, 'staging')

    Raises:
        Invalid: saying how they are written.
    """
    if (match := _BOUND.fullmatch(text)) is not None:
        try:
            bound = float(match["bound"])
        except ValueError:
            raise _unreadable(text) from None
        return checked(
            Requirement(kind="at_least" if match["sign"] == ">=" else "at_most", name=match["name"], bound=bound)
        )
    kind, _, name = (part.strip() for part in text.partition("="))
    if kind not in get_args(Kind) or kind in ("at_least", "at_most") or bool(name) != (kind in _NAMED):
        raise _unreadable(text)
    return Requirement(kind=kind, name=name)  # type: ignore[arg-type]  # one of Kind, as was just seen


def spell(requirement: Requirement) -> str:
    """A requirement as `parse_requirement` reads it.

    >>> spell(Requirement(kind="at_least", name="roc_auc", bound=0.8))
    'roc_auc>=0.8'
    """
    kind, name = requirement.kind, requirement.name
    if kind in ("at_least", "at_most"):
        return f"{name}{'>=' if kind == 'at_least' else '<='}{requirement.bound:g}"
    return f"{kind}={name}" if kind in _NAMED else kind


def checked(requirement: Requirement) -> Requirement:
    """The requirement, if a version could show what it asks.

    Raises:
        Invalid: when it names nothing where it has to, or its bound is no number.
    """
    if requirement.kind in ("at_least", "at_most", *_NAMED) and not requirement.name:
        raise Invalid(f"{requirement.kind} names nothing", field="name", next_step="name the metric, stage or tag")
    if len(requirement.name) > _NAME or not requirement.name.isprintable():
        raise Invalid(f"{requirement.name!r:.80} names nothing", field="name", next_step="name it in printable words")
    if not math.isfinite(requirement.bound):
        raise Invalid(f"{requirement.bound} is no bound", field="bound", next_step="give a finite number")
    return requirement


def _unreadable(text: str) -> Invalid:
    return Invalid(f"{text!r:.120} is no requirement", field="requires", next_step=f"write it like {_SPELLINGS}")


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A requirement's verdict, with its numbers. A failed one is a value, not an error."""

    text: str
    passed: bool
    value: float | None = None
    why: str = ""


def check(requirement: Requirement, version: ModelVersion, *, was_in: frozenset[str]) -> Finding:
    """Whether a version shows what is asked; `was_in` are the stages whose alias stood on it at some time.

    Raises:
        Invalid: when the requirement names nothing where it has to.
    """
    kind, name = requirement.kind, requirement.name
    if kind in ("at_least", "at_most"):
        return _check_metric(requirement, version)
    if kind in ("was_in", "has_tag") and not name:
        raise Invalid(f"{kind} names nothing", field="name", next_step="name the stage or the tag")
    facts: Mapping[str, tuple[bool, str, str]] = {
        "signed": (version.signed is not None, "is signed", "its package was registered without a signature"),
        "has_signature": (bool(version.signature.columns), "has a signature", "what it takes is not known"),
        "has_evaluation": (bool(metrics_of(version)), "was evaluated", "no evaluation is stored with it"),
        "was_in": (name in was_in, f"was in {name}", f"it has never been in {name}"),
        "has_tag": (name in version.tags, f"has tag {name}", f"it has no tag {name}"),
    }
    passed, text, why = facts[kind]
    return Finding(text=text, passed=passed, why="" if passed else why)


def metrics_of(version: ModelVersion) -> dict[str, Any]:
    """What its evaluation measured, by name."""
    evaluation = version.evaluation.get("evaluation") or {}
    found = evaluation.get("challenger") or {}
    return dict(found) if isinstance(found, dict) else {}


def _check_metric(requirement: Requirement, version: ModelVersion) -> Finding:
    if not requirement.name:
        raise Invalid(f"{requirement.kind} names no metric", field="name", next_step="name the metric")
    low = requirement.kind == "at_least"
    text = f"{requirement.name} {'>=' if low else '<='} {requirement.bound:g}"
    value = metrics_of(version).get(requirement.name)
    if not isinstance(value, int | float):
        known = ", ".join(metrics_of(version)) or "none"
        return Finding(text=text, passed=False, why=f"no such metric is stored with it; it has: {known}")
    passed = value >= requirement.bound if low else value <= requirement.bound  # NaN is neither
    return Finding(text=text, passed=passed, value=float(value), why="" if passed else f"it is {value:g}")
