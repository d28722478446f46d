"""Tests of a user's own: a function of two columns, or an object that names one of ours."""

from collections.abc import Callable
from typing import Any

from homeostat.ground.errors import Invalid
from homeostat.monitoring.reports.univariate.pair import Pair
from homeostat.monitoring.reports.univariate.tests import Spec, test_named

Method = str | Callable[..., tuple[float, bool]]
"""A test's name, or `function(reference, current, kind, threshold) -> (score, drifted)` of two columns: pandas where it
is installed, else Polars, without missing values."""


def custom_test(method: Any, kind: str) -> Spec:
    """The test that a function is, or that an object with a `name` stands for.

    Raises:
        Invalid: for anything else.
    """
    name = getattr(method, "name", None)
    if isinstance(name, str) and name:
        return test_named(name, kind)
    if not callable(method):
        raise Invalid(
            f"{method!r:.60} is no test", field="method", next_step="give a test's name, or a function of two columns"
        )
    title = f"custom function '{getattr(method, '__name__', type(method).__name__)}'"

    def verdict(pair: Pair, threshold: float) -> tuple[float | None, bool]:
        score, drifted = method(*_columns(pair), kind, threshold)
        return float(score), bool(drifted)

    return Spec(title, title, (kind,), 0.05, verdict, verdict, rule="own")


def _columns(pair: Pair) -> tuple[Any, Any]:
    import polars as pl

    if pair.kind == "num":
        first, second = (pl.Series(pair.name, side) for side in pair.numbers_in_order())
    else:
        first, second = (side.drop_nulls() for side in pair.series)
    try:
        import pandas as pd
    except ImportError:
        return first, second
    return pd.Series(first.to_list(), name=pair.name), pd.Series(second.to_list(), name=pair.name)
