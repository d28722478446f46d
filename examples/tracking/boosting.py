"""LightGBM, XGBoost and scikit-learn log by a hook each."""

import lightgbm as lgb
import xgboost as xgb
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import homeostat as hs

X, X_valid, y, y_valid = train_test_split(*load_breast_cancer(return_X_y=True), random_state=0)

with hs.run("examples", name="lightgbm") as run:
    valid = lgb.Dataset(X_valid, y_valid)
    settings = {"objective": "binary", "metric": "auc", "verbose": -1}
    lgb.train(settings, lgb.Dataset(X, y), 50, valid_sets=[valid], callbacks=[hs.lightgbm_callback()])

with hs.run("examples", name="xgboost"):
    data, held_out = xgb.DMatrix(X, y), xgb.DMatrix(X_valid, y_valid)
    xgb.train(
        {"objective": "binary:logistic", "eval_metric": "auc"},
        data,
        50,
        evals=[(held_out, "valid")],
        callbacks=[hs.xgboost_callback()],
        verbose_eval=False,
    )

with hs.autolog_sklearn(project="examples"):
    make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)

print("homeostat run ls --project examples")
