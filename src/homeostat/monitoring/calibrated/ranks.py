"""Does the newest of several windows stand out? Its rank among them, column by column, family-wise."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from homeostat.monitoring.calibrated.scores import Score, scores_of
from homeostat.monitoring.calibrated.tables import Counts, Floats


class Standing(NamedTuple):
    """How much one column of the newest window stands out."""

    p: float
    """Family-wise."""
    is_known: bool
    """Whether there were enough values to say more than how many are missing."""


def standings(kinds: Sequence[str], stacks: Sequence[Counts], *, few: int) -> list[Standing | None]:
    """The standing of each column of the last window; None where nothing can be said of it.

    `kinds` are 'num' or 'cat', `stacks` windows x (cells, then missing), `few` the least number of values on which a
    window has a say about them.
    """
    scores = scores_of(kinds, stacks, few=few)
    windows = len(stacks[0]) if stacks else 0
    largest = np.max([score.standard for score in scores], axis=0, initial=0.0) if scores else np.zeros(windows)
    return [
        _standing(
            [score for score in scores if score.column == column],
            largest,
            tests=len(scores),
            is_known=bool(stack[-1, :-1].sum() >= few),
        )
        for column, stack in enumerate(stacks)
    ]


def _standing(own: Sequence[Score], largest: Floats, *, tests: int, is_known: bool) -> Standing | None:
    spoken = [score for score in own if not np.isnan(score.values[-1])]
    if not spoken:  # too few values, or always the same one
        return Standing(1.0, is_known) if is_known else None
    furthest = max(float(score.standard[-1]) for score in spoken)
    as_far = int(np.count_nonzero(largest >= furthest - 1e-9))
    p = as_far / len(largest)
    if as_far == 1:  # of all the windows none is as far: how far is it beyond them?
        p = min(p, tests * min(_tail(score) for score in spoken))
    return Standing(p, is_known)


def _tail(score: Score) -> float:
    """How likely the newest value is as one more draw of the normal distribution of the past ones (Student's t)."""
    from scipy.special import stdtr

    known = ~np.isnan(score.values[:-1])
    past, noise = score.values[:-1][known], score.noise[:-1][known]
    if len(past) < 3:
        return 1.0
    between = max(0.0, float(past.var(ddof=1)) - float(noise.mean()))
    variance = between + float(score.noise[-1]) + (between + float(noise.mean())) / len(past)
    t = float(score.values[-1] - past.mean()) / np.sqrt(variance)
    p = float(stdtr(len(past) - 1, -abs(t)))
    if score.aspect == "distance":  # nearer to the pool than usual is no drift
        return p if t > 0 else 1.0
    return 2 * p
