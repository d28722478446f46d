"""LightGBM: `lgb.train(..., callbacks=[hs.lightgbm_callback()])` logs parameters and every evaluation."""

from collections.abc import Callable
from typing import Any

from homeostat.sdk.integrations.which_run import log_new_params, run_to_log_to
from homeostat.tracking.client import ActiveRun


def lightgbm_callback(run: ActiveRun | None = None) -> Callable[[Any], None]:
    """A callback for `lgb.train`, `lgb.cv` and the `fit` of its estimators; series are named like `valid_0/auc`."""

    def log_evaluations(env: Any) -> None:
        active = run_to_log_to(run, hook="lightgbm_callback")
        if env.iteration == env.begin_iteration:
            log_new_params(active, env.params)
        values: dict[str, float] = {}
        for data, metric, value, _higher_is_better, *deviation in env.evaluation_result_list or ():
            values[f"{data}/{metric}"] = value
            if deviation:  # of cross-validation
                values[f"{data}/{metric}-stdv"] = deviation[0]
        active.log_metrics(values, step=env.iteration)

    log_evaluations.order = 20  # type: ignore[attr-defined]  # LightGBM reads it: before early stopping, which is 30
    return log_evaluations
