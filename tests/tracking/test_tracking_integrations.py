"""Hooks for training libraries, driven by the real libraries."""

from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
import xgboost as xgb
from sklearn.datasets import load_breast_cancer, make_regression
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import homeostat as hs
from homeostat.ground.errors import Invalid
from homeostat.tracking.client import ActiveRun

X, y = load_breast_cancer(return_X_y=True)


def start(home: Path) -> ActiveRun:
    return hs.run("exp", home=str(home), system_metrics=False, capture_output=False)


def detail(home: Path, run: str) -> dict[str, Any]:
    client = hs.connect(str(home))
    found = client.run(run)
    client.close()
    return found


def test_sklearn_logs_params_scores_and_the_outer_fit_only(tmp_path: Path) -> None:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.5))
    with start(tmp_path) as run, hs.autolog_sklearn():
        model.fit(X, y)
    found = detail(tmp_path, run.id)
    assert found["params"]["logisticregression__C"] == "0.5"
    assert found["tags"]["estimator"] == "sklearn.pipeline.Pipeline"
    metrics = found["metrics"]
    assert metrics["training_accuracy"] == pytest.approx(model.score(X, y))
    assert metrics["training_roc_auc"] > 0.99 and metrics["fit_seconds"] > 0
    assert "fit" in LogisticRegression.__dict__ and not hasattr(LogisticRegression.fit, "__self__")
    assert LogisticRegression.fit.__module__ == "sklearn.linear_model._logistic"


def test_sklearn_search_keeps_its_table_and_its_best(tmp_path: Path) -> None:
    search = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression()), {"logisticregression__C": [0.1, 1.0]}, cv=3
    )
    with start(tmp_path) as run, hs.autolog_sklearn():
        search.fit(X, y)
    found = detail(tmp_path, run.id)
    assert found["params"]["best_logisticregression__C"] == str(search.best_params_["logisticregression__C"])
    assert found["metrics"]["best_cv_score"] == pytest.approx(search.best_score_)
    assert "tables/cv_results.parquet" in [item["path"] for item in found["artifacts"]]


def test_sklearn_without_a_run_begins_one_for_each_fit_and_a_failed_fit_is_a_failed_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOMEOSTAT_HOME", str(tmp_path))
    features, target = make_regression(50, 3, random_state=0)
    with hs.autolog_sklearn(project="fits"):
        LinearRegression().fit(features, target)
        with pytest.raises(ValueError, match="inconsistent"):
            LinearRegression().fit(features, target[:10])
    client = hs.connect(str(tmp_path))
    found = client.runs(project="fits")
    assert sorted(run["status"] for run in found) == ["failed", "finished"]
    finished = next(run["id"] for run in found if run["status"] == "finished")
    assert client.run(finished)["metrics"]["training_r2"] > 0.9
    client.close()


def test_two_fits_in_one_run_do_not_fail_over_their_parameters(tmp_path: Path) -> None:
    with start(tmp_path) as run, hs.autolog_sklearn():
        LogisticRegression(C=0.1, max_iter=5000).fit(X, y)
        LogisticRegression(C=0.2, max_iter=5000).fit(X, y)
    found = detail(tmp_path, run.id)
    assert found["run"]["status"] == "finished" and found["params"]["C"] == "0.1"


def test_lightgbm_logs_every_evaluation(tmp_path: Path) -> None:
    train, valid = lgb.Dataset(X[:400], y[:400]), lgb.Dataset(X[400:], y[400:])
    kept: dict[str, Any] = {}
    params = {"objective": "binary", "metric": ["auc", "binary_logloss"], "verbose": -1, "num_threads": 1}
    with start(tmp_path) as run:
        hooks = [hs.lightgbm_callback(), lgb.record_evaluation(kept), lgb.early_stopping(3, verbose=False)]
        lgb.train(params, train, 20, valid_sets=[valid], callbacks=hooks)
        lgb.cv(params, lgb.Dataset(X, y), 3, nfold=3, callbacks=[hs.lightgbm_callback()])
    assert series(tmp_path, run.id, "valid_0/auc") == kept["valid_0"]["auc"]
    assert detail(tmp_path, run.id)["params"]["objective"] == "binary"
    assert len(series(tmp_path, run.id, "valid/auc-stdv")) == 3


def test_xgboost_logs_every_evaluation(tmp_path: Path) -> None:
    train, valid = xgb.DMatrix(X[:400], y[:400]), xgb.DMatrix(X[400:], y[400:])
    kept: dict[str, Any] = {}
    params = {"objective": "binary:logistic", "eval_metric": ["auc", "logloss"], "max_depth": 3, "nthread": 1}
    with start(tmp_path) as run:
        xgb.train(params, train, 20, evals=[(valid, "valid")], evals_result=kept, callbacks=[hs.xgboost_callback()])
        xgb.cv(params, train, 3, nfold=3, callbacks=[hs.xgboost_callback()])
    assert series(tmp_path, run.id, "valid/auc") == kept["valid"]["auc"]
    assert detail(tmp_path, run.id)["params"]["max_depth"] == "3"
    assert len(series(tmp_path, run.id, "test/auc")) == 3


def test_the_estimators_of_the_boosters_take_the_callbacks_too(tmp_path: Path) -> None:
    with start(tmp_path) as run:
        model = xgb.XGBClassifier(n_estimators=5, callbacks=[hs.xgboost_callback()], early_stopping_rounds=2, n_jobs=1)
        model.fit(X[:400], y[:400], eval_set=[(X[400:], y[400:])], verbose=False)
        light = lgb.LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1)
        light.fit(X[:400], y[:400], eval_X=X[400:], eval_y=y[400:], callbacks=[hs.lightgbm_callback()])
    found = detail(tmp_path, run.id)["metrics"]
    assert found["validation_0/logloss"] > 0 and found["valid_0/binary_logloss"] > 0
    assert found["best_score"] == pytest.approx(model.best_score)


def test_a_callback_without_a_run_says_what_to_do() -> None:
    hooks = [hs.lightgbm_callback()]
    with pytest.raises(Invalid, match=r"with hs.run"):
        lgb.train({"verbose": -1, "num_threads": 1}, lgb.Dataset(X, y), 1, callbacks=hooks)


def series(home: Path, run: str, key: str) -> list[float]:
    from homeostat.ground.settings import load_settings
    from homeostat.store.database import open_database
    from homeostat.tracking.series import read_series

    database = open_database(load_settings({}, home=str(home)).database_url)
    with database.read() as conn:
        points = read_series(conn, run, key)
    database.close()
    assert np.array_equal(points.steps, np.arange(len(points)))
    return points.values.tolist()
