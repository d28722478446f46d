"""One version's answer to some rows: read the features, score, check what came back."""

from typing import Any, NamedTuple

import numpy as np

from homeostat.ground.errors import HomeostatError, UserCodeFailed
from homeostat.ground.ports import Served


class Scored(NamedTuple):
    """Vectors as logged (float64, row-major, little endian) and one score a row."""

    vectors: bytes
    scores: list[float]


def score_rows(served: Served, inputs: dict[str, list[Any]], times: list[int]) -> Scored:
    """The version's vectors and scores for rows as of their times.

    Raises:
        UserCodeFailed: when features or scorer raise, or give anything but one finite number a row.
    """
    matrix = _vectors(served, inputs, times)
    return Scored(matrix.astype("<f8", copy=False).tobytes(), _scores(served, matrix))


def score_vectors(served: Served, vectors: bytes) -> Scored:
    """The version's scores for vectors that were read already, in the form of `Scored.vectors`.

    Raises:
        UserCodeFailed: when the scorer raises, or gives anything but one finite number a row.
    """
    matrix = np.frombuffer(vectors, "<f8").reshape(-1, len(served.signature.columns))
    return Scored(vectors, _scores(served, matrix))


def warm_up(served: Served) -> None:
    """Score one row of zeros, so that lazy imports and caches are not paid by the first caller."""
    try:
        served.scorer.score(np.zeros((1, len(served.signature.columns))))
    except Exception:  # noqa: BLE001  zeros may be outside what it takes; then its first real row warms it
        return


def _scores(served: Served, matrix: Any) -> list[float]:
    try:
        scores = np.asarray(served.scorer.score(matrix), dtype=np.float64)
    except Exception as error:
        raise _failed(served, f"the scorer raised {type(error).__name__}: {error}") from error
    if scores.shape != (len(matrix),):
        raise _failed(served, f"the scorer gave shape {scores.shape} for {len(matrix)} rows")
    if not np.isfinite(scores).all():
        raise _failed(served, "the scorer gave a score that is not finite")
    values: list[float] = scores.tolist()
    return values


def _vectors(served: Served, inputs: dict[str, list[Any]], times: list[int]) -> Any:
    wanted = (len(times), len(served.signature.columns))
    try:
        matrix = np.asarray(served.features.vectors(inputs, times), dtype=np.float64)
    except HomeostatError:
        raise
    except Exception as error:
        raise _failed(served, f"the features raised {type(error).__name__}: {error}") from error
    if matrix.shape != wanted:
        raise _failed(served, f"the features gave shape {matrix.shape}, wanted {wanted}")
    return matrix


def _failed(served: Served, what: str) -> UserCodeFailed:
    return UserCodeFailed(
        f"version {served.version} of {served.model!r} could not answer: {what}",
        field="model",
        next_step="see the prediction log; roll back if it goes on",
    )
