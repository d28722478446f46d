"""What a benchmark says: one line a case, with the goal it was held against."""

import statistics
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

Line = dict[str, Any]


class Pair(NamedTuple):
    """One measurement of ours and the peer's right after it."""

    ours: float
    peer: float


class Goal(NamedTuple):
    """Goals in words and as a test of (ours, times better than the peer)."""

    words: str
    met: Callable[[float, float], bool]


def times_better(least: float) -> Goal:
    """At least so many times better than the peer."""
    return Goal(f">= {least:g}x", lambda _, times: times >= least)


def below(limit: float, unit: str) -> Goal:
    """Ours below a figure, whatever the peer does."""
    return Goal(f"< {limit:g} {unit}", lambda ours, _: ours < limit)


def above(limit: float, unit: str) -> Goal:
    """Ours at least a figure, whatever the peer does."""
    return Goal(f">= {limit:g} {unit}", lambda ours, _: ours >= limit)


def measure_pairs(ours: Callable[[], float], peer: Callable[[], float], *, count: int) -> list[Pair]:
    """Ours and the peer's in turns: what else the machine does strikes both. One round before does not count."""
    ours(), peer()
    return [Pair(ours(), peer()) for _ in range(count)]


def rate_line(name: str, pairs: Sequence[Pair], unit: str, *goals: Goal) -> Line:
    """Medians of something of which more is better."""
    return _line(name, pairs, unit, goals, more_is_better=True)


def cost_line(name: str, pairs: Sequence[Pair], unit: str, *goals: Goal) -> Line:
    """Medians of something of which less is better: time, memory."""
    return _line(name, pairs, unit, goals, more_is_better=False)


def own_line(name: str, samples: Sequence[float], unit: str, *goals: Goal) -> Line:
    """The median of ours, where the peer has nothing to put beside it."""
    ours = statistics.median(samples)
    line = {"name": name, "ours": _short(ours), "peer": None, "unit": unit, "ratio": None}
    return line | _judged(goals, ours, 0.0)


def _line(name: str, pairs: Sequence[Pair], unit: str, goals: Sequence[Goal], *, more_is_better: bool) -> Line:
    ours, peer = (statistics.median(column) for column in zip(*pairs, strict=True))
    times = ours / peer if more_is_better else peer / ours
    line = {"name": name, "ours": _short(ours), "peer": _short(peer), "unit": unit, "ratio": _short(ours / peer)}
    return line | {"times_better": _short(times)} | _judged(goals, ours, times)


def _judged(goals: Sequence[Goal], ours: float, times: float) -> Line:
    if not goals:
        return {}
    words = ", ".join(goal.words for goal in goals)
    return {"goal": words, "met": all(goal.met(ours, times) for goal in goals)}


def _short(value: float) -> float:
    """Four digits: no measurement here is better than that."""
    return float(f"{value:.4g}")
