"""How values are spread, as counts between edges."""

from typing import Any

from homeostat.ground.errors import Invalid


def histogram_of(key: str, values: Any, *, bins: int) -> dict[str, Any]:
    """Edges and counts of the finite values, and how many were not finite.

    >>> histogram_of("x", [0.0, 1.0, 1.0, float("nan")], bins=2)
    {'edges': [0.0, 0.5, 1.0], 'counts': [1, 2], 'not_finite': 1}
    """
    import numpy as np

    if hasattr(values, "detach"):
        values = values.detach().cpu()
    try:
        numbers = np.asarray(values, np.float64).ravel()
    except (TypeError, ValueError) as error:
        raise Invalid(f"histogram {key!r:.80} is not of numbers", field="values", next_step="give an array") from error
    if not 1 <= bins <= 4096:
        raise Invalid(f"{bins} bins", field="bins", next_step="use 1 to 4096")
    finite = numbers[np.isfinite(numbers)]
    counts, edges = np.histogram(finite, bins=bins)
    return {"edges": edges.tolist(), "counts": counts.tolist(), "not_finite": int(numbers.size - finite.size)}
