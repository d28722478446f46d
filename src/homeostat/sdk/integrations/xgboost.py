"""XGBoost: `xgb.train(..., callbacks=[hs.xgboost_callback()])` logs parameters and every evaluation."""

import json
from typing import Any

from homeostat.ground.extras import require
from homeostat.sdk.integrations.which_run import log_new_params, run_to_log_to
from homeostat.tracking.client import ActiveRun


def xgboost_callback(run: ActiveRun | None = None) -> Any:
    """A callback for `xgb.train` and the estimators of XGBoost; series are named like `validation_0/logloss`."""
    xgboost = require("xgboost", extra="xgboost")

    class RunCallback(xgboost.callback.TrainingCallback):  # type: ignore[misc, name-defined]  # only known at run time
        def before_training(self, model: Any) -> Any:
            log_new_params(run_to_log_to(run, hook="xgboost_callback"), _config(model))
            return model

        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            del model
            values = {}
            for data, metrics in evals_log.items():
                for metric, history in metrics.items():
                    last = history[-1]
                    values[f"{data}/{metric}"] = last[0] if isinstance(last, tuple) else last
            run_to_log_to(run, hook="xgboost_callback").log_metrics(values, step=epoch)
            return False  # training goes on

        def after_training(self, model: Any) -> Any:
            # Of cross-validation there is a pack of models, and no best of them.
            attributes = model.attributes() if hasattr(model, "attributes") else {}
            best = {key: float(attributes[key]) for key in ("best_iteration", "best_score") if key in attributes}
            if best:
                run_to_log_to(run, hook="xgboost_callback").log_metrics(best)
            return model

    return RunCallback()


def _config(model: Any) -> dict[str, str]:
    """The parameters that training really uses, defaults included."""
    if not hasattr(model, "save_config"):
        return {}
    found: dict[str, str] = {}

    def walk(part: Any, name: str) -> None:
        for key, value in part.items():
            if isinstance(value, dict):
                walk(value, key)
            elif isinstance(value, str) and name.endswith(("_param", "objective", "generic_param")):
                found.setdefault(key, value)

    walk(json.loads(model.save_config()), "")
    return found
