"""Evidence that may be looked at any time: e-processes, whose chance of ever reaching 1/alpha is at most alpha.

Each (`rates.py`, `paired.py`) is a small frozen struct of plain numbers; `seen(...)` gives the next one. Persisted as
JSON and read back, it goes on bit for bit. All of them bet: a component multiplies its wealth by a factor whose
expectation is at most 1 while its null hypothesis holds, and the e-value is the mean wealth over a fixed grid of
components (a mixture of supermartingales is one), computed from log wealths.
"""

import math
from collections.abc import Sequence

ROLLBACK_AT = 60.0
"""e-value: false rollbacks at 0.05, shared by three guards."""
BLIND_ROLLBACK_AT = 1e4
"""e-value that rolls back before the dispersion of a rate is known: a fuse for what is plainly broken."""
PROMOTE_AT = 20.0
"""e-value: each guard must show its point at 0.05; all have to, so nothing is shared."""


def log_mean_exp(logs: Sequence[float]) -> float:
    """The logarithm of the mean of exp(logs).

    >>> round(log_mean_exp([0.0, math.log(3)]), 6) == round(math.log(2), 6)
    True
    """
    top = max(logs)
    return top + math.log(sum(math.exp(log - top) for log in logs) / len(logs))
