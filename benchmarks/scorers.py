"""What compiling buys: one row and 64 rows by the original scorer and by the compiled one, in this process.

The peer is the original: the package read back by the library that trained it, as an uncompiled version is served. Rows
change with every call, as requests do; both answer in turns, so that what else the machine does strikes both.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import lightgbm
import numpy as np
import xgboost
from sklearn.compose import make_column_transformer
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from benchmarks.lines import Goal, Line, below, cost_line, measure_pairs
from homeostat.ground.ports import Scorer
from homeostat.registry.fitted import fitted_model
from homeostat.registry.packaging import package_model
from homeostat.registry.scorers import scorer_from
from homeostat.serving.compiling.artifact import decode_artifact
from homeostat.serving.compiling.compiler import Compiled, compile_scorer
from homeostat.serving.compiling.questions import Reference
from homeostat.serving.compiling.running import scorer_of
from homeostat.serving.compiling.ways import Subject

FEATURES, ROWS, TREES = 20, 4_000, 100
ROUNDS, CALLS = 15, 200
LINEAR_GOAL, GRAPH_GOAL = below(10, "us"), below(15, "us")


class Model(NamedTuple):
    """A way to fit one of the models, and what one row of it may cost."""

    fit: Callable[[], Any]
    goal: Goal | None = None


def run(*chosen: str) -> Iterator[Line]:
    """Microseconds a call; `ratio` is compiled over original."""
    for name in chosen or CASES:
        model = CASES[name]
        native, done = _prepared(model.fit())
        if done.data is None:
            raise RuntimeError(f"{name} is not compiled: {done.report.why}")
        compiled = scorer_of(decode_artifact(done.data))
        for rows in (1, 64):
            goals = [model.goal] if model.goal and rows == 1 else []
            yield _line(name, rows, compiled, native, goals) | {"kind": done.report.kind}


def _prepared(fitted: Any) -> tuple[Scorer, Compiled]:
    package = package_model(fitted, task="binary")
    native = scorer_from(package.flavor, package.files, "binary")
    found = fitted_model(package.flavor, package.files)
    subject = Subject(library=found.library, model=found.model, task="binary")
    return native, compile_scorer(subject, native, Reference(matrix=_rows(), source="training rows"))


def _line(name: str, rows: int, compiled: Scorer, native: Scorer, goals: list[Goal]) -> Line:
    matrix = _rows()
    batches = [np.ascontiguousarray(matrix[start : start + rows]) for start in range(0, rows * 200, rows)][:60]
    pairs = measure_pairs(
        lambda: _microseconds(compiled, batches), lambda: _microseconds(native, batches, calls=20), count=ROUNDS
    )
    return cost_line(f"{name}, {'1 row' if rows == 1 else f'{rows} rows'}", pairs, "us", *goals)


def _microseconds(scorer: Scorer, batches: list[Any], *, calls: int = CALLS) -> float:
    score = scorer.score
    for batch in batches[:20]:  # the other one has just had the caches
        score(batch)
    begun = time.perf_counter()
    for call in range(calls):
        score(batches[call % len(batches)])
    return (time.perf_counter() - begun) / calls * 1e6


def _rows() -> Any:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(ROWS, FEATURES))
    rows[:, -1] = rng.integers(0, 8, ROWS)
    return rows


def _label() -> Any:
    rows = _rows()
    noise = np.random.default_rng(1).normal(size=ROWS)
    return rows[:, 0] + rows[:, 1] * rows[:, 2] + 2 * (rows[:, -1] == 3) + noise > 0.2


def _fitted(model: Any) -> Any:
    return model.fit(_rows(), _label())


def _one_hot() -> Any:
    parts = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), [FEATURES - 1]), remainder=StandardScaler()
    )
    return make_pipeline(parts, LogisticRegression())


CASES = {
    "scaled logistic regression": Model(
        lambda: _fitted(make_pipeline(StandardScaler(), LogisticRegression())), LINEAR_GOAL
    ),
    "imputed logistic regression": Model(
        lambda: _fitted(make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression())), LINEAR_GOAL
    ),
    "one-hot logistic regression": Model(lambda: _fitted(_one_hot())),
    "HistGradientBoosting": Model(
        lambda: _fitted(HistGradientBoostingClassifier(max_iter=TREES, early_stopping=False)), GRAPH_GOAL
    ),
    "GradientBoosting": Model(lambda: _fitted(GradientBoostingClassifier(n_estimators=TREES)), GRAPH_GOAL),
    "RandomForest": Model(lambda: _fitted(RandomForestClassifier(TREES, random_state=0))),
    "LightGBM": Model(
        lambda: lightgbm.train({"objective": "binary", "verbose": -1}, lightgbm.Dataset(_rows(), _label()), TREES),
        GRAPH_GOAL,
    ),
    "XGBoost": Model(
        lambda: xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(_rows(), _label()), TREES), GRAPH_GOAL
    ),
}
