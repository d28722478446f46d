"""Options of drift metrics, by their present and their older names, as one `Choice`."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from homeostat.ground.errors import Invalid
from homeostat.monitoring.calibrated.columns import REPORT_FLOOR
from homeostat.monitoring.reports.data import CATEGORY, NUMBER, TEXT
from homeostat.monitoring.reports.drift import CALIBRATED, EVIDENTLY, Choice

_OLD = {
    "stattest": "method",
    "cat_stattest": "cat_method",
    "num_stattest": "num_method",
    "text_stattest": "text_method",
    "per_column_stattest": "per_column_method",
    "stattest_threshold": "threshold",
    "cat_stattest_threshold": "cat_threshold",
    "num_stattest_threshold": "num_threshold",
    "text_stattest_threshold": "text_threshold",
    "per_column_stattest_threshold": "per_column_threshold",
}
_KNOWN = {*_OLD.values(), "mode", "alpha", "effect"}
_ELSEWHERE = {"embeddings", "embeddings_drift_method", "include_tests", "nbinsx", "feature_importance", "options"}
"""Options of the peer that mean nothing here."""
_KINDS = {NUMBER: "num", CATEGORY: "cat", TEXT: "text"}


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a user asked for."""

    choice: Choice
    mode: str | None
    """None: the report's."""
    given: dict[str, Any]
    """Options that were given, by their present names: what a metric is called by."""

    def in_mode(self, mode: str) -> Choice:
        """The choice in the report's mode, unless the metric has its own."""
        return msgspec.structs.replace(self.choice, mode=self.mode or mode)


def read_options(metric: str, columns: Sequence[str] | None, options: Mapping[str, Any]) -> Options:
    """The options as they were written.

    Raises:
        Invalid: for a name that is none, or a mode, alpha or effect that cannot be.
    """
    given = {_OLD.get(name, name): value for name, value in options.items() if name not in _ELSEWHERE}
    if unknown := [name for name in given if name not in _KNOWN]:
        raise Invalid(f"{metric} has no option {unknown[0]!r}", field=unknown[0], next_step="see docs/drift-tests.md")
    given = {name: value for name, value in given.items() if value is not None}
    mode = given.pop("mode", None)
    if mode not in {None, CALIBRATED, EVIDENTLY}:
        raise Invalid(f"mode is {mode!r}", field="mode", next_step=f"give {CALIBRATED!r} or {EVIDENTLY!r}")
    alpha, effect = float(given.get("alpha", 0.05)), float(given.get("effect", REPORT_FLOOR))
    if not 0 < alpha < 1:
        raise Invalid(f"alpha is {alpha}", field="alpha", next_step="give a share of false alarms, such as 0.05")
    if not 0 <= effect < 1:
        raise Invalid(f"effect is {effect}", field="effect", next_step="give a floor from 0 to below 1, such as 0.02")
    choice = Choice(
        columns=None if columns is None else tuple(columns),
        methods=_by_kind("method", given),
        thresholds=_by_kind("threshold", given),
        column_methods=dict(given.get("per_column_method", {})),
        column_thresholds=dict(given.get("per_column_threshold", {})),
        alpha=alpha,
        effect=effect,
    )
    return Options(choice=choice, mode=mode, given=given)


def _by_kind(what: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What was given for a kind of column, or else for all of them."""
    found = {kind: given.get(f"{short}_{what}", given.get(what)) for kind, short in _KINDS.items()}
    return {kind: value for kind, value in found.items() if value is not None}
