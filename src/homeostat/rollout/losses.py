"""What one answer costs, once its label is known."""

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LARGEST = {"log_loss": math.log(100), "brier": 1.0, "wrong": 1.0}
"""The most that one row costs, where there is such a thing."""


def default_loss(task: str) -> str:
    """The loss by which versions are compared in shadow.

    Probabilities are what is served, so it is not the share of wrong answers where there are probabilities: a model
    that nearly always says "no" and one trained on shuffled labels are wrong equally often.
    """
    return {"binary": "log_loss", "regression": "squared_error"}.get(task, "wrong")


def row_losses(loss: str, y: Floats, score: Floats, *, task: str = "binary") -> Floats:
    """The loss of each row: labels and scores in, one number a row out.

    Log loss is that of probabilities kept within [0.01, 0.99], so that one row costs at most 4.6. The scale of squared
    and absolute errors cancels in relative differences. A binary answer is wrong when the likelier side is not the
    label; of several classes, when it is another class.

    >>> row_losses("wrong", np.array([1.0, 0.0]), np.array([0.8, 0.6])).tolist()
    [0.0, 1.0]
    """
    match loss:
        case "log_loss":
            p = np.clip(score, 0.01, 0.99)
            losses: Floats = np.where(y == 1, -np.log(p), -np.log1p(-p))
        case "wrong":
            answer = (score >= 0.5).astype(np.float64) if task == "binary" else score
            losses = (answer != y).astype(np.float64)
        case "absolute_error":
            losses = np.abs(score - y)
        case _:
            losses = np.square(score - y)  # the Brier score, too: scores are probabilities
    return losses
