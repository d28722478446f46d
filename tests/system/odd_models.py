"""Models of three numbers that misbehave in one way each; pickled, so that serving workers meet them as they are."""

import time
from typing import Any

import numpy as np

WEIGHTS = np.array([1.5, -1.0, 0.5])


class Good:
    """Answers with the probability that the label is true, which is what the labels are drawn from."""

    classes_ = np.array([0, 1])
    n_features_in_ = 3
    weights = WEIGHTS

    def predict_proba(self, rows: Any) -> Any:
        likely = 1 / (1 + np.exp(-np.asarray(rows, dtype=float) @ self.weights))
        return np.column_stack([1 - likely, likely])


class Twin(Good):
    """As good, and another version."""


class Slow(Good):
    """As good, and 30 ms later."""

    def predict_proba(self, rows: Any) -> Any:
        time.sleep(0.03)
        return super().predict_proba(rows)


class Crashing(Good):
    """Raises for every fifth kind of row."""

    def predict_proba(self, rows: Any) -> Any:
        if (np.asarray(rows, dtype=float)[:, 0] > 0.84).any():
            raise RuntimeError("the sea is stormy")
        return super().predict_proba(rows)


class Nowhere(Good):
    """Gives NaN for every fifth kind of row."""

    def predict_proba(self, rows: Any) -> Any:
        scores = super().predict_proba(rows)
        scores[np.asarray(rows, dtype=float)[:, 0] > 0.84] = np.nan
        return scores


class Dead(Good):
    """Raises for everything but zeros, which is what whoever looks at it asks."""

    def predict_proba(self, rows: Any) -> Any:
        if np.asarray(rows, dtype=float).any():
            raise RuntimeError("out of order")
        return super().predict_proba(rows)


class Worse(Good):
    """Subtly worse: it has the third number wrong, and is a little too sure."""

    weights = np.array([1.7, -0.6, -0.3])


class Hungry(Good):
    """As good, and keeps 200 MB once it has answered."""

    def predict_proba(self, rows: Any) -> Any:
        if not hasattr(self, "hoard"):
            self.hoard = np.ones(25_000_000)
        return super().predict_proba(rows)


class Lost(Good):
    """As good; its test takes its file away."""
