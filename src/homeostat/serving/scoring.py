"""One version's answer to some rows: read the features, score, check what came back."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from homeostat.ground.errors import HomeostatError, UserCodeFailed, http_status
from homeostat.ground.ports import Served

Floats = npt.NDArray[np.float64]


class NotANumber(UserCodeFailed):
    """A version answered, but with what is no finite number; nobody is given that."""


class Scored(NamedTuple):
    """What a version made of some rows."""

    scores: list[float]
    """One a row: the answer itself, or of several classes the likeliest one's index, of several outputs the first."""
    table: Floats | None
    """All outputs, rows x k, when there are several."""


def read_vectors(served: Served, inputs: dict[str, list[Any]], times: list[int]) -> Floats:
    """The version's vectors for rows as of their times (checked columns in, rows x feature columns out).

    Raises:
        UserCodeFailed: when the features raise, or give another shape than the signature says.
    """
    if served.direct is not None:
        names = [column.name for column in served.signature.inputs]
        columns = [inputs[names[place]] for place in served.direct]
        return np.array(columns, dtype=np.float64).T  # a missing value (None) becomes NaN
    wanted = (len(times), len(served.signature.columns))
    if served.signature.keys:  # they say whose row it is, and are no feature's
        inputs = {column.name: inputs[column.name] for column in served.signature.inputs}
    try:
        matrix = np.asarray(served.features.vectors(inputs, times), dtype=np.float64)
    except HomeostatError:
        raise
    except Exception as error:
        raise failed(served, f"the features raised {type(error).__name__}: {error}") from error
    if matrix.shape != wanted:
        raise failed(served, f"the features gave shape {matrix.shape}, wanted {wanted}")
    return matrix


def score_matrix(served: Served, matrix: Floats) -> Scored:
    """The version's scores for vectors.

    Raises:
        NotANumber: when it gives what is not finite.
        UserCodeFailed: when the scorer raises, or gives anything but the same number of answers for each row.
    """
    try:
        answer = np.asarray(served.scorer.score(matrix), dtype=np.float64)
    except Exception as error:
        raise failed(served, f"the scorer raised {type(error).__name__}: {error}") from error
    if answer.ndim not in {1, 2} or len(answer) != len(matrix):
        raise failed(served, f"the scorer gave shape {answer.shape} for {len(matrix)} rows")
    if not np.isfinite(answer).all():
        raise failed(served, "the scorer gave a score that is not finite", NotANumber)
    if answer.ndim == 1:
        return Scored(answer.tolist(), None)
    if answer.shape[1] == 1:
        return Scored(answer[:, 0].tolist(), None)
    first = answer.argmax(axis=1).astype(np.float64) if served.signature.task == "multiclass" else answer[:, 0]
    return Scored(first.tolist(), answer)


def packed(matrix: Floats | None) -> bytes:
    """A matrix as it is logged: float64, row-major, little endian; empty for None."""
    return b"" if matrix is None else matrix.astype("<f8", copy=False).tobytes()


def unpacked(vectors: bytes, columns: int) -> Floats:
    """The matrix of `packed` bytes."""
    return np.frombuffer(vectors, "<f8").reshape(-1, columns)


def logged_status(error: HomeostatError) -> str:
    """What an error is in the log: 'rejected' is the caller's, 'invalid' an answer that was none, 'error' ours."""
    if isinstance(error, NotANumber):
        return "invalid"
    return "rejected" if http_status(error) < 500 else "error"


def failed(served: Served, what: str, kind: type[UserCodeFailed] = UserCodeFailed) -> UserCodeFailed:
    """The error of a version that could not answer."""
    return kind(
        f"version {served.version} of {served.model!r} could not answer: {what}",
        field="model",
        next_step="see the prediction log; roll back if it goes on",
    )
