"""Maximum mean discrepancy: the distance between two samples' means in the space of a Gaussian kernel.

Gretton et al., Journal of Machine Learning Research 13 (2012): the unbiased estimate, p-values by permutation.
"""

import numpy as np
import numpy.typing as npt

from homeostat.monitoring.reports.univariate.pair import Floats, Pair

SAMPLE = 1_000
"""Every row is compared with every other: of more rows than this on a side a seeded sample is taken."""
DRAWS = 199
THEIR_DRAWS = 100


def mean_discrepancy(pair: Pair) -> float | None:
    """p-value by seeded permutations, the observed one among them; None with fewer than two values on a side."""
    rng = np.random.default_rng(0)
    first, second = (side if len(side) <= SAMPLE else rng.choice(side, SAMPLE, replace=False) for side in pair.numbers)
    if min(len(first), len(second)) < 2:
        return None
    rows = len(first) + len(second)
    values = np.concatenate([first, second])
    apart = (values[:, None] - values[None, :]) ** 2
    spread = float(np.median(apart[np.triu_indices(rows, 1)])) or 1.0
    found = _discrepancies(apart, spread, len(first), [rng.permutation(rows) for _ in range(DRAWS)])
    return (1 + int((found[1:] >= found[0] - 1e-12).sum())) / (1 + DRAWS)


def mean_discrepancy_in_order(pair: Pair) -> float | None:
    """As Evidently 0.7.23 has it, at the seed 0 (it sets none): width of the kernel from the reference alone."""
    first, second = pair.numbers_in_order()
    if min(len(first), len(second)) < 2:
        return None
    first, second = first[:SAMPLE], second[:SAMPLE]
    values = np.concatenate([first, second])
    apart = values[None, :] ** 2 - 2 * np.outer(values, values) + values[:, None] ** 2
    own = apart[: len(first), : len(first)]
    spread = 2 * (0.5 * float(np.percentile(own, 50, method="nearest"))) or 1.0
    random = np.random.RandomState(0)
    found = _discrepancies(apart, spread, len(first), [random.permutation(len(values)) for _ in range(THEIR_DRAWS)])
    return float(np.mean(found[0] <= found[1:]))


def _discrepancies(
    apart: npt.NDArray[np.float64], spread: float, size: int, orders: list[npt.NDArray[np.int64]]
) -> Floats:
    """MMD of the sample as it is, and then of each order of its rows, of which the first `size` are one side."""
    kernel = np.exp(-apart / spread)
    np.fill_diagonal(kernel, 0.0)
    inside = np.zeros((1 + len(orders), len(kernel)))
    inside[0, :size] = 1.0
    for row, order in zip(inside[1:], orders, strict=True):
        row[order[:size]] = 1.0
    n, m = size, len(kernel) - size
    own = np.einsum("ij,ij->i", inside @ kernel, inside)
    other = np.einsum("ij,ij->i", (1 - inside) @ kernel, 1 - inside)
    across = (kernel.sum() - own - other) / 2
    found: Floats = own / (n * (n - 1)) + other / (m * (m - 1)) - 2 * across / (n * m)
    return found
