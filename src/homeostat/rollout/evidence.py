"""Evidence that may be looked at any time: e-processes, whose chance of ever reaching 1/alpha is at most alpha.

Each (`rates.py`, `paired.py`, `arms.py`) is a small frozen struct of plain numbers; `seen(...)` gives the next one.
Persisted as JSON and read back, it goes on bit for bit. All of them bet: a component multiplies its wealth by a factor
whose expectation is at most 1 while its null hypothesis holds (Ville's inequality then bounds the chance of ever
reaching 1/alpha by alpha), and the e-value is the mean wealth over a fixed grid of components, for a mixture of
supermartingales is one (Ramdas, Gruenwald, Vovk & Shafer, Game-theoretic statistics and safe anytime-valid inference,
Statistical Science 2023). It is computed from log wealths.

The e-value at which a test rolls back is the plan's (`Plan.rollback_at`): 0.03, shared by the tests that
are on.
"""

import math
from collections.abc import Sequence

BLIND_ROLLBACK_AT = 1e4
"""e-value that rolls back before the dispersion of a rate is known, and whatever else is on: a fuse."""
PROMOTE_AT = 20.0
"""e-value: each guard must show its point at 0.05; all have to, so nothing is shared."""
LEANING_AT = 20.0
"""e-value of a test against the candidate from which on a person has to say `force` to promote it."""


def log_mean_exp(logs: Sequence[float]) -> float:
    """The logarithm of the mean of exp(logs).

    >>> round(log_mean_exp([0.0, math.log(3)]), 6) == round(math.log(2), 6)
    True
    """
    top = max(logs)
    return top + math.log(sum(math.exp(log - top) for log in logs) / len(logs))


def shown(log_e: float) -> float:
    """An e-value for people: four digits, capped at 1e9.

    >>> shown(math.log(20)), shown(1e6)
    (20.0, 1000000000.0)
    """
    return float(f"{math.exp(min(log_e, math.log(1e9))):.4g}")
