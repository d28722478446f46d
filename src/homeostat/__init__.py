"""Homeostat keeps machine-learning models accurate while the world changes.

    import homeostat as hs

Every name below is loaded when it is first used, so that the import itself stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from homeostat import serving
    from homeostat.evaluation.gates import at_least, at_most, beats_champion, no_slice_worse
    from homeostat.features.types import (
        Source,
        View,
        column,
        count,
        maximum,
        mean,
        minimum,
        on_demand,
        total,
    )
    from homeostat.ground.errors import HomeostatError
    from homeostat.loop.triggers import drifted, older_than, when, worse
    from homeostat.loop.types import Label, model
    from homeostat.monitoring.reports.conditions import (
        Reference,
        between,
        eq,
        gt,
        gte,
        is_in,
        lt,
        lte,
        not_eq,
        not_in,
    )
    from homeostat.monitoring.reports.data import (
        DataDefinition,
    )
    from homeostat.monitoring.reports.drift_metrics import ColumnDriftMetric, TargetDriftPreset, ValueDrift
    from homeostat.monitoring.reports.drift_preset import (
        DataDriftPreset,
        DataDriftTable,
        DatasetDriftMetric,
        DriftedColumnsCount,
    )
    from homeostat.monitoring.reports.mapping import ColumnMapping, Dataset
    from homeostat.monitoring.reports.report import Report, Snapshot
    from homeostat.monitoring.types import (
        accuracy,
        data_drift,
        errors,
        latency,
        no_weak_segment,
        quality,
        skew,
    )
    from homeostat.registry.formats.network import Network
    from homeostat.registry.formats.pickled import allow_pickle
    from homeostat.registry.requirements import Requirement
    from homeostat.registry.stages import Stage
    from homeostat.rollout.types import ab, approval, blue_green, canary, shadow
    from homeostat.sdk.connect import connect, current_run, log, run
    from homeostat.sdk.integrations.keras import keras_callback
    from homeostat.sdk.integrations.lightgbm import lightgbm_callback
    from homeostat.sdk.integrations.lightning import lightning_logger
    from homeostat.sdk.integrations.sklearn import autolog_sklearn
    from homeostat.sdk.integrations.torch import watch_torch
    from homeostat.sdk.integrations.transformers import transformers_callback
    from homeostat.sdk.integrations.xgboost import xgboost_callback

_HOMES = {
    "homeostat.evaluation.gates": ("at_least", "at_most", "beats_champion", "no_slice_worse"),
    "homeostat.features.types": (
        "Source",
        "View",
        "column",
        "count",
        "maximum",
        "mean",
        "minimum",
        "on_demand",
        "total",
    ),
    "homeostat.ground.errors": ("HomeostatError",),
    "homeostat.loop.triggers": ("drifted", "older_than", "when", "worse"),
    "homeostat.loop.types": ("Label", "model"),
    "homeostat.monitoring.reports.conditions": (
        "Reference",
        "between",
        "eq",
        "gt",
        "gte",
        "is_in",
        "lt",
        "lte",
        "not_eq",
        "not_in",
    ),
    "homeostat.monitoring.reports.data": ("DataDefinition",),
    "homeostat.monitoring.reports.drift_metrics": ("ColumnDriftMetric", "TargetDriftPreset", "ValueDrift"),
    "homeostat.monitoring.reports.drift_preset": (
        "DataDriftPreset",
        "DataDriftTable",
        "DatasetDriftMetric",
        "DriftedColumnsCount",
    ),
    "homeostat.monitoring.reports.mapping": ("ColumnMapping", "Dataset"),
    "homeostat.monitoring.reports.report": ("Report", "Snapshot"),
    "homeostat.monitoring.types": (
        "accuracy",
        "data_drift",
        "errors",
        "latency",
        "no_weak_segment",
        "quality",
        "skew",
    ),
    "homeostat.registry.formats.network": ("Network",),
    "homeostat.registry.formats.pickled": ("allow_pickle",),
    "homeostat.registry.requirements": ("Requirement",),
    "homeostat.registry.stages": ("Stage",),
    "homeostat.rollout.types": ("ab", "approval", "blue_green", "canary", "shadow"),
    "homeostat.sdk.connect": ("connect", "current_run", "log", "run"),
    "homeostat.sdk.integrations.keras": ("keras_callback",),
    "homeostat.sdk.integrations.lightgbm": ("lightgbm_callback",),
    "homeostat.sdk.integrations.lightning": ("lightning_logger",),
    "homeostat.sdk.integrations.sklearn": ("autolog_sklearn",),
    "homeostat.sdk.integrations.torch": ("watch_torch",),
    "homeostat.sdk.integrations.transformers": ("transformers_callback",),
    "homeostat.sdk.integrations.xgboost": ("xgboost_callback",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "ColumnDriftMetric",
    "ColumnMapping",
    "DataDefinition",
    "DataDriftPreset",
    "DataDriftTable",
    "Dataset",
    "DatasetDriftMetric",
    "DriftedColumnsCount",
    "HomeostatError",
    "Label",
    "Network",
    "Reference",
    "Report",
    "Requirement",
    "Snapshot",
    "Source",
    "Stage",
    "TargetDriftPreset",
    "ValueDrift",
    "View",
    "ab",
    "accuracy",
    "allow_pickle",
    "approval",
    "at_least",
    "at_most",
    "autolog_sklearn",
    "beats_champion",
    "between",
    "blue_green",
    "canary",
    "column",
    "connect",
    "count",
    "current_run",
    "data_drift",
    "drifted",
    "eq",
    "errors",
    "gt",
    "gte",
    "is_in",
    "keras_callback",
    "latency",
    "lightgbm_callback",
    "lightning_logger",
    "log",
    "lt",
    "lte",
    "maximum",
    "mean",
    "minimum",
    "model",
    "no_slice_worse",
    "no_weak_segment",
    "not_eq",
    "not_in",
    "older_than",
    "on_demand",
    "quality",
    "run",
    "serving",
    "shadow",
    "skew",
    "total",
    "transformers_callback",
    "watch_torch",
    "when",
    "worse",
    "xgboost_callback",
]


def __getattr__(name: str) -> Any:
    if name == "serving":
        return import_module("homeostat.serving")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'homeostat' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
