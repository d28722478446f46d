"""Fitted models of every kind that compiling knows, with the original scorer of each."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import lightgbm
import numpy as np
import xgboost
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Lasso, LogisticRegression, PoissonRegressor, Ridge, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, PolynomialFeatures, RobustScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

from homeostat.serving.compiling.questions import Reference
from homeostat.serving.compiling.ways import Subject

COLUMNS = 6
CODES = 5
"""The last column holds codes from 0 on."""


class Case(NamedTuple):
    """A model, its original scorer, and the rows it was trained on."""

    subject: Subject
    native: Any
    rows: Any

    @property
    def reference(self) -> Reference:
        return Reference(matrix=self.rows, source="training rows")


class Native:
    """What the registry's scorers do, in a line."""

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        self._answer = answer

    def score(self, matrix: Any) -> Any:
        with threadpool_limits(1, user_api="openmp"):
            return np.asarray(self._answer(matrix), np.float64)


@cache
def data() -> dict[str, Any]:
    rng = np.random.default_rng(3)
    full = rng.normal(size=(1200, COLUMNS))
    full[:, 4] = np.round(full[:, 4], 1)
    full[:, 5] = rng.integers(0, CODES, 1200)
    noise = rng.normal(size=1200)
    value = full[:, 0] + full[:, 1] * full[:, 2] + 2 * (full[:, 5] == 3) + noise
    gaps = full.copy()
    gaps[rng.random(full.shape) < 0.1] = np.nan
    return {
        "full": full,
        "gaps": gaps,
        "binary": value > 0.3,
        "multiclass": np.digitize(value, [-0.5, 1.0]),
        "regression": value,
        "counts": np.exp(value / 3),
    }


def _sklearn(model: Any, task: str, rows: str, label: str = "") -> Case:
    taken = data()[rows]
    fitted = model.fit(taken, data()[label or task])
    return Case(Subject(library="sklearn", model=fitted, task=task), sklearn_native(fitted, task), taken)


def sklearn_native(fitted: Any, task: str) -> Native:
    if task == "regression":
        return Native(fitted.predict)
    if task == "binary":
        return Native(lambda matrix: fitted.predict_proba(matrix)[:, 1])
    return Native(fitted.predict_proba)


def _lightgbm(task: str, rows: str, label: str = "", *, codes: bool = False, **options: Any) -> Case:
    taken = data()[rows]
    given = lightgbm.Dataset(taken, data()[label or task], categorical_feature=[5] if codes else "auto")
    booster = lightgbm.train({"verbose": -1, "num_threads": 1, "seed": 0, **options}, given, 15)
    answer = Native(lambda matrix: booster.predict(matrix, num_threads=1))
    return Case(Subject(library="lightgbm", model=booster, task=task), answer, taken)


def _xgboost(task: str, rows: str, label: str = "", **options: Any) -> Case:
    taken = data()[rows]
    given = xgboost.DMatrix(taken, data()[label or task])
    booster = xgboost.train({"nthread": 1, "seed": 0, "max_depth": 4, **options}, given, 15)
    answer = Native(lambda matrix: booster.inplace_predict(matrix, validate_features=False))
    return Case(Subject(library="xgboost", model=booster, task=task), answer, taken)


def _imputed() -> Any:
    parts = make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()), [0, 1]),
        (RobustScaler(), [2, 3]),
        remainder="drop",
    )
    return make_pipeline(parts, SimpleImputer(), LogisticRegression())


def _one_hot(last: Any) -> Any:
    codes = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return make_pipeline(make_column_transformer((codes, [5]), remainder="passthrough"), last)


def _codes_in(model: type, **options: Any) -> Any:
    return model(categorical_features=[False] * 5 + [True], max_iter=15, **options)


LINEAR: dict[str, Callable[[], Case]] = {
    "logistic regression": lambda: _sklearn(LogisticRegression(), "binary", "full"),
    "scaled": lambda: _sklearn(make_pipeline(StandardScaler(), LogisticRegression()), "binary", "full"),
    "imputed": lambda: _sklearn(_imputed(), "binary", "gaps"),
    "three classes": lambda: _sklearn(make_pipeline(MinMaxScaler(), LogisticRegression()), "multiclass", "full"),
    "stochastic": lambda: _sklearn(
        make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss", random_state=0)), "multiclass", "full"
    ),
    "ridge": lambda: _sklearn(make_pipeline(StandardScaler(), Ridge()), "regression", "full"),
    "lasso with zeros": lambda: _sklearn(Lasso(alpha=0.3), "regression", "full"),
    "poisson": lambda: _sklearn(make_pipeline(StandardScaler(), PoissonRegressor()), "regression", "full", "counts"),
}
GRAPHS: dict[str, Callable[[], Case]] = {
    "one tree": lambda: _sklearn(DecisionTreeClassifier(max_depth=5, random_state=0), "binary", "full"),
    "random forest": lambda: _sklearn(RandomForestClassifier(12, random_state=0), "binary", "full"),
    "random forest with gaps": lambda: _sklearn(RandomForestClassifier(12, random_state=0), "binary", "gaps"),
    "forest of classes": lambda: _sklearn(RandomForestClassifier(9, max_depth=6, random_state=0), "multiclass", "full"),
    "forest of values": lambda: _sklearn(RandomForestRegressor(9, random_state=0), "regression", "full"),
    "extra trees": lambda: _sklearn(ExtraTreesClassifier(9, random_state=0), "binary", "full"),
    "boosting": lambda: _sklearn(GradientBoostingClassifier(n_estimators=15, random_state=0), "binary", "full"),
    "boosting of classes": lambda: _sklearn(
        GradientBoostingClassifier(n_estimators=9, random_state=0), "multiclass", "full"
    ),
    "boosting of values": lambda: _sklearn(
        GradientBoostingRegressor(n_estimators=15, loss="huber", random_state=0), "regression", "full"
    ),
    "exponential boosting": lambda: _sklearn(
        GradientBoostingClassifier(n_estimators=9, loss="exponential", random_state=0), "binary", "full"
    ),
    "histograms": lambda: _sklearn(HistGradientBoostingClassifier(max_iter=15), "binary", "gaps"),
    "histograms of codes": lambda: _sklearn(_codes_in(HistGradientBoostingClassifier), "binary", "gaps"),
    "histograms of classes": lambda: _sklearn(HistGradientBoostingClassifier(max_iter=9), "multiclass", "gaps"),
    "histograms of counts": lambda: _sklearn(
        _codes_in(HistGradientBoostingRegressor, loss="poisson"), "regression", "gaps", "counts"
    ),
    "lightgbm": lambda: _lightgbm("binary", "gaps", objective="binary"),
    "lightgbm without gaps": lambda: _lightgbm("binary", "full", objective="binary"),
    "lightgbm of codes": lambda: _lightgbm(
        "binary", "gaps", objective="binary", codes=True, max_cat_to_onehot=1, min_data_per_group=5, cat_smooth=1
    ),
    "lightgbm of classes": lambda: _lightgbm("multiclass", "gaps", objective="multiclass", num_class=3),
    "lightgbm of counts": lambda: _lightgbm("regression", "gaps", "counts", objective="poisson"),
    "lightgbm forest": lambda: _lightgbm(
        "binary", "gaps", objective="binary", boosting="rf", bagging_freq=1, bagging_fraction=0.7
    ),
    "xgboost": lambda: _xgboost("binary", "gaps", objective="binary:logistic"),
    "xgboost of values": lambda: _xgboost("regression", "gaps", objective="reg:squarederror"),
    "xgboost of classes": lambda: _xgboost("multiclass", "gaps", objective="multi:softprob", num_class=3),
    "xgboost of counts": lambda: _xgboost("regression", "gaps", "counts", objective="count:poisson"),
    "xgboost with drop-outs": lambda: _xgboost(
        "binary", "gaps", objective="binary:logistic", booster="dart", rate_drop=0.3
    ),
    "imputed forest": lambda: _sklearn(
        make_pipeline(SimpleImputer(), RandomForestClassifier(9, random_state=0)), "binary", "gaps"
    ),
    "one-hot boosting": lambda: _sklearn(
        _one_hot(GradientBoostingClassifier(n_estimators=9, random_state=0)), "binary", "full"
    ),
    "polynomial": lambda: _sklearn(
        make_pipeline(PolynomialFeatures(3), StandardScaler(), LogisticRegression()), "binary", "full"
    ),
    "reduced and selected": lambda: _sklearn(
        make_pipeline(SelectKBest(k=4), PCA(3), LogisticRegression()), "binary", "full"
    ),
    "scaled histograms": lambda: _sklearn(
        make_pipeline(StandardScaler(), HistGradientBoostingClassifier(max_iter=9)), "binary", "gaps"
    ),
}
ALL = LINEAR | GRAPHS


@cache
def case(name: str) -> Case:
    """A fitted case; fitted once, however many tests ask for it."""
    return ALL[name]()
