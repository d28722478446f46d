"""Linear models: their numbers, and the scalers and imputers before them folded in."""

from typing import Any, NamedTuple

import numpy as np

from homeostat.serving.compiling.artifact import LinearForm, Link, Matrix, pack
from homeostat.serving.compiling.graph_steps import check_imputer, fill_of, kept_by, parts_of
from homeostat.serving.compiling.models import as_dense, name_of, steps_of, theirs
from homeostat.serving.compiling.refused import CannotCompile

_LINKS: dict[str, Link] = {"IdentityLink": "identity", "LogLink": "exp"}
_SOFTMAX = {"LogisticRegression", "LogisticRegressionCV", "LinearDiscriminantAnalysis"}
_GENERAL = {"PoissonRegressor", "GammaRegressor", "TweedieRegressor"}


class Linear(NamedTuple):
    """weights: columns x sums."""

    weights: Matrix
    bias: Matrix
    link: Link


def linear_of(model: Any) -> Linear:
    """The numbers of a fitted linear model.

    Raises:
        CannotCompile: when it is none, or its probabilities are made in a way that is not known here.
    """
    name = name_of(model)
    if not theirs(model) or not hasattr(model, "coef_") or not hasattr(model, "intercept_"):
        raise CannotCompile(f"{name} is no linear model of scikit-learn's")
    weights = np.atleast_2d(as_dense(model.coef_)).T
    bias = np.broadcast_to(np.ravel(as_dense(model.intercept_)), weights.shape[1:]).astype(np.float64)
    return Linear(weights, bias, _link(model, weights.shape[1]))


def _link(model: Any, sums: int) -> Link:
    name = name_of(model)
    if not hasattr(model, "classes_"):
        if name in _GENERAL:
            return _LINKS.get(type(model._base_loss.link).__name__, "identity")  # noqa: SLF001  nothing public says it
        return "identity"
    if name in _SOFTMAX:
        return "sigmoid" if sums == 1 else "softmax"
    if name == "SGDClassifier" and model.loss == "log_loss":
        return "sigmoid" if sums == 1 else "share"
    raise CannotCompile(f"{name} makes probabilities in its own way")


class _Column(NamedTuple):
    """What has become of a column of the matrix: slope * (value - shift) + offset, or `gap` when it is missing."""

    source: int
    slope: float = 1.0
    shift: float = 0.0
    offset: float = 0.0
    gap: float = float("nan")

    def moved(self, *, by: float, over: float) -> "_Column":
        """(column - by) / over."""
        gap = (self.gap - by) / over
        if self.slope == 1.0 and not self.offset:  # the difference is taken first, where it is exact
            return _Column(self.source, 1.0 / over, self.shift + by, 0.0, gap)
        return _Column(self.source, self.slope / over, self.shift, (self.offset - by) / over, gap)

    def times(self, factor: float, plus: float) -> "_Column":
        return _Column(
            self.source, self.slope * factor, self.shift, self.offset * factor + plus, self.gap * factor + plus
        )


def fold(model: Any, columns: int) -> LinearForm:
    """A linear model and the column-wise steps before it as one product.

    Raises:
        CannotCompile: naming the step that mixes columns or bends them.
    """
    steps, last = steps_of(model)
    linear = linear_of(last)
    terms = [_Column(place) for place in range(columns)]
    for step in steps:
        terms = _through(step, terms)
    if len(terms) != len(linear.weights):
        raise CannotCompile(f"{len(terms)} columns reach a model of {len(linear.weights)}")
    return _form(terms, linear, columns)


def _form(terms: list[_Column], linear: Linear, columns: int) -> LinearForm:
    sums = linear.weights.shape[1]
    shift, weights, gaps = np.zeros(columns), np.zeros((columns, sums)), np.zeros((columns, sums))
    begun = np.zeros(columns, np.bool_)
    bias = linear.bias.copy()
    for term, weight in zip(terms, linear.weights, strict=True):
        if term.slope and not begun[term.source]:
            shift[term.source], begun[term.source] = term.shift, True
        offset = term.offset + term.slope * (shift[term.source] - term.shift)
        weights[term.source] += weight * term.slope
        bias += weight * offset
        gaps[term.source] += weight * (term.gap - offset)
    # A missing value that nothing fills makes the original raise, and with it the compiled scorer, before it is added.
    gaps = np.nan_to_num(gaps, nan=0.0)
    return LinearForm(shift=pack(shift), weights=pack(weights), bias=pack(bias), gaps=pack(gaps), link=linear.link)


def _through(step: Any, terms: list[_Column]) -> list[_Column]:
    name = name_of(step)
    if not theirs(step):
        raise CannotCompile(f"{name} is no transformer of scikit-learn's")
    if name == "Pipeline":
        before, last = steps_of(step)
        for one in [*before, last]:
            terms = _through(one, terms)
        return terms
    if name == "ColumnTransformer":
        return [
            term
            for inner, places in parts_of(step)
            for taken in [[terms[place] for place in places]]
            for term in (taken if inner is None else _through(inner, taken))
        ]
    if name == "SimpleImputer":
        return _imputed(step, terms)
    if name in {"StandardScaler", "RobustScaler", "MinMaxScaler", "MaxAbsScaler"}:
        return _scaled(name, step, terms)
    if hasattr(step, "get_support"):
        return [terms[place] for place in step.get_support(indices=True)]
    raise CannotCompile(f"{name} is no scaler or imputer")


def _scaled(name: str, step: Any, terms: list[_Column]) -> list[_Column]:
    count = len(terms)
    if getattr(step, "clip", False):
        raise CannotCompile(f"{name} clips")
    if name == "MinMaxScaler":
        return [
            term.times(float(scale), float(least))
            for term, scale, least in zip(terms, step.scale_, step.min_, strict=True)
        ]
    by: Any = np.zeros(count)
    over: Any = np.ones(count)
    if name == "StandardScaler":
        by, over = (step.mean_ if step.with_mean else by), (step.scale_ if step.with_std else over)
    elif name == "RobustScaler":
        by = step.center_ if step.with_centering else by
        over = step.scale_ if step.with_scaling else over
    else:
        over = step.scale_
    return [term.moved(by=float(less), over=float(least)) for term, less, least in zip(terms, by, over, strict=True)]


def _imputed(step: Any, terms: list[_Column]) -> list[_Column]:
    check_imputer(step)
    fill = fill_of(step)
    kept = [
        terms[place]._replace(gap=float(fill[place])) if np.isnan(terms[place].gap) else terms[place]
        for place in kept_by(step)
    ]
    if not step.add_indicator:
        return kept
    marked = [terms[place] for place in step.indicator_.features_]
    if any(not np.isnan(term.gap) for term in marked):
        raise CannotCompile("an imputer marks gaps that another one has filled")
    return kept + [_Column(term.source, slope=0.0, gap=1.0) for term in marked]
