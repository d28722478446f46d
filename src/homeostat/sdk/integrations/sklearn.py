"""scikit-learn: within `autolog_sklearn()` every fit logs its parameters, scores and cross-validation results."""

import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from homeostat.ground.errors import HomeostatError
from homeostat.ground.extras import require
from homeostat.sdk.integrations.which_run import Hooked, log_new_params
from homeostat.tracking.client import ActiveRun

_fitting = threading.local()


@contextmanager
def autolog_sklearn(run: ActiveRun | None = None, *, project: str = "", score: bool = True) -> Iterator[None]:
    """Log every `fit` of an estimator whose class is imported by now; of nested ones (pipelines, searches) the outer.

    Logs to `run`, else to the current one, else each fit begins one of its own. `score=False` leaves out the scores on
    the training data, which cost a prediction.
    """
    base = require("sklearn.base", extra="sklearn")
    changed: list[tuple[type, Any]] = []
    for kind in _with_own_fit(base.BaseEstimator):
        original = kind.__dict__["fit"]
        changed.append((kind, original))
        kind.fit = _logged(original, Hooked(run, project=project), score=score)
    try:
        yield
    finally:
        for kind, original in changed:
            kind.fit = original  # type: ignore[attr-defined]  # it had one before


def _with_own_fit(kind: Any) -> list[Any]:
    found, left = [], [kind]
    while left:
        kind = left.pop()
        left += kind.__subclasses__()
        if callable(kind.__dict__.get("fit")) and kind not in found:
            found.append(kind)
    return found


def _logged(fit: Callable[..., Any], hooked: Hooked, *, score: bool) -> Callable[..., Any]:
    @functools.wraps(fit)
    def fit_and_log(self: Any, *args: Any, **kwargs: Any) -> Any:
        # What only prepares data is a step towards a model, and is fitted by the dozen.
        is_model = hasattr(self, "predict") or hasattr(self, "fit_predict")
        if getattr(_fitting, "is_inside", False) or not is_model:
            return fit(self, *args, **kwargs)
        _fitting.is_inside = True
        run, begun = hooked.run, time.perf_counter()
        try:
            result = fit(self, *args, **kwargs)
            X, y = _data(*args, **kwargs)
            _log_what_can_be(run, self, X, y, seconds=time.perf_counter() - begun, score=score)
        except BaseException:
            hooked.end(failed=True)
            raise
        finally:
            _fitting.is_inside = False
        hooked.end()
        return result

    return fit_and_log


def _data(X: Any = None, y: Any = None, *_: Any, **__: Any) -> tuple[Any, Any]:
    """The two that matter of what `fit` was called with."""
    return X, y


def _log_what_can_be(run: ActiveRun, model: Any, X: Any, y: Any, *, seconds: float, score: bool) -> None:
    try:
        _log(run, model, X, y, seconds=seconds, score=score)
    except (HomeostatError, ValueError, TypeError, AttributeError) as error:
        # An estimator that cannot be scored is fitted all the same.
        run.tags({"sklearn.not_logged": str(error)[:500]})


def _log(run: ActiveRun, model: Any, X: Any, y: Any, *, seconds: float, score: bool) -> None:
    run.tags({"estimator": f"{type(model).__module__}.{type(model).__qualname__}"})
    log_new_params(run, model.get_params(deep=True))
    run.log_metrics({"fit_seconds": seconds})
    if hasattr(model, "cv_results_"):
        _log_search(run, model)
    if score and y is not None:
        run.log_metrics({f"training_{key}": value for key, value in _scores(model, X, y).items()})


def _log_search(run: ActiveRun, search: Any) -> None:
    columns = {key: [_cell(value) for value in values] for key, values in search.cv_results_.items()}
    run.table("cv_results", columns)
    if hasattr(search, "best_score_"):
        run.log_metrics({"best_cv_score": search.best_score_})
        log_new_params(run, search.best_params_, prefix="best_")


def _cell(value: Any) -> Any:
    import numpy as np

    if value is np.ma.masked:
        return None
    return value.item() if isinstance(value, np.generic) else (value if isinstance(value, int | float) else str(value))


def _scores(model: Any, X: Any, y: Any) -> dict[str, float]:
    from sklearn import metrics
    from sklearn.base import is_classifier, is_regressor

    if is_classifier(model):
        guess = model.predict(X)
        scores = {"accuracy": metrics.accuracy_score(y, guess), "f1": metrics.f1_score(y, guess, average="weighted")}
        if hasattr(model, "predict_proba"):
            chances = model.predict_proba(X)
            scores["log_loss"] = metrics.log_loss(y, chances, labels=model.classes_)
            if chances.shape[1] == 2:
                scores["roc_auc"] = metrics.roc_auc_score(y, chances[:, 1])
        return scores
    if is_regressor(model):
        guess = model.predict(X)
        error = metrics.mean_squared_error(y, guess)
        return {"r2": metrics.r2_score(y, guess), "mse": error, "mae": metrics.mean_absolute_error(y, guess)}
    return {"score": model.score(X, y)} if hasattr(model, "score") else {}
