"""The two models that all servers answer with: 20 features, a linear pipeline and a hundred boosted trees."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

FEATURES = 20
ROWS = 4_000
NAMES = ("logreg", "hgb")
WORDS = {"logreg": "logistic regression", "hgb": "gradient boosting"}


def counted(rows: int) -> str:
    """`1 row`, `64 rows`."""
    return "1 row" if rows == 1 else f"{rows} rows"


@cache
def training_rows() -> tuple[Any, Any]:
    """Synthetic rows and labels, the same on every machine."""
    rng = np.random.default_rng(20)
    rows = rng.normal(size=(ROWS, FEATURES))
    pull = rows @ rng.normal(size=FEATURES) + rows[:, 0] * rows[:, 1] + np.sin(3 * rows[:, 2])
    return rows, (pull + rng.normal(size=ROWS) > 0).astype(int)


@cache
def fitted(name: str, *, seed: int = 0) -> Any:
    """A model trained on those rows; another seed leaves other rows out, for versions that differ."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows, labels = training_rows()
    kept = np.random.default_rng(seed).permutation(ROWS)[: ROWS if seed == 0 else ROWS * 9 // 10]
    model: Any = (
        make_pipeline(StandardScaler(), LogisticRegression())
        if name == "logreg"
        else HistGradientBoostingClassifier(max_iter=100, early_stopping=False, random_state=0)
    )
    return model.fit(rows[kept], labels[kept])


def asked_rows(count: int) -> Any:
    """Rows that requests bring: none of those the models were trained on."""
    return np.random.default_rng(21).normal(size=(count, FEATURES))


def expected(name: str, count: int) -> Any:
    """What the model itself says: the probability of class 1."""
    return fitted(name).predict_proba(asked_rows(count))[:, 1]


def pickled(name: str, folder: Path) -> Path:
    """The model as the peers load it."""
    import joblib

    path = folder / f"{name}.joblib"
    joblib.dump(fitted(name), path)
    return path
