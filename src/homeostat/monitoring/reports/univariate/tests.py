"""The tests by name: what they are called, what they take, and from where on they speak of drift."""

import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from homeostat.ground.errors import Invalid
from homeostat.monitoring.reports.univariate import counts, distances, divergences, kolmogorov, samples, texts
from homeostat.monitoring.reports.univariate import mean_discrepancy as mmd
from homeostat.monitoring.reports.univariate.pair import Pair

NUM, CAT, TEXT = "num", "cat", "text"
BOTH = (NUM, CAT)
SMALL = 1_000
"""Up to as many reference rows a p-value decides by default, beyond a distance does (as Evidently has it)."""

Score = Callable[[Pair], float | None]
Verdict = tuple[float | None, bool]


class Spec(NamedTuple):
    """A test. Small p-values and large distances are drift."""

    name: str
    title: str
    kinds: tuple[str, ...]
    threshold: float
    right: Any
    """A `Score`; of a test that decides by more than its score, a function of (pair, threshold) to a `Verdict`."""
    quirky: Any
    """The same as Evidently computes it."""
    rule: str = "<"
    """How a score stands to the threshold when there is drift: '<', '<=', '>', '>=', or 'own'."""
    needs: str = ""
    """What the values have to be, in words, for the test to be defined."""

    @property
    def is_p(self) -> bool:
        """Whether the score is a p-value: small is drift."""
        return self.rule in {"<", "<="}

    def verdict(self, pair: Pair, threshold: float, *, quirky: bool) -> Verdict:
        """The score and whether it is drift; None when the test is not defined on these values."""
        test = self.quirky if quirky else self.right
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # what numpy, scipy and scikit-learn warn of, the score says itself
            score, drifted = test(pair, threshold) if self.rule == "own" else (test(pair), False)
        if score is None or not math.isfinite(score):
            return None, False
        return float(score), drifted if self.rule == "own" else self.is_drift(score, threshold)

    def is_drift(self, score: float, threshold: float) -> bool:
        """Whether the score is beyond the threshold."""
        match self.rule:
            case "<":
                return score < threshold
            case "<=":
                return score <= threshold
            case ">":
                return score > threshold
            case _:
                return score >= threshold


def _spec(
    name: str,
    title: str,
    kinds: tuple[str, ...],
    rule: str,
    threshold: float,
    right: Any,
    quirky: Any = None,
    *,
    needs: str = "",
) -> Spec:
    return Spec(name, title, kinds, threshold, right, quirky or right, rule, needs)


VARIES = "values that differ"
TESTS = {
    spec.name: spec
    for spec in (
        _spec("ks", "K-S p_value", (NUM,), "<=", 0.05, kolmogorov.kolmogorov_smirnov),
        _spec("z", "Z-test p_value", BOTH, "<", 0.05, counts.z_test),
        _spec("chisquare", "chi-square p_value", BOTH, "<", 0.05, counts.chi_square, counts.chi_square_one_sample),
        _spec("jensenshannon", "Jensen-Shannon distance", BOTH, ">=", 0.1, divergences.jensen_shannon),
        _spec("wasserstein", "Wasserstein distance (normed)", (NUM,), ">=", 0.1, distances.wasserstein_normed),
        _spec("psi", "PSI", BOTH, ">=", 0.1, divergences.population_stability),
        _spec("kl_div", "Kullback-Leibler divergence", BOTH, ">=", 0.1, divergences.kullback_leibler),
        _spec("hellinger", "Hellinger distance", BOTH, ">=", 0.1, divergences.hellinger),
        _spec("anderson", "Anderson-Darling", (NUM,), "<", 0.1, samples.anderson_darling, needs=VARIES),
        _spec(
            "cramer_von_mises",
            "Cramer-von Mises",
            (NUM,),
            "<=",
            0.1,
            samples.cramer_von_mises,
            needs="two values on each side",
        ),
        _spec("ed", "Energy-distance", (NUM,), ">", 0.1, distances.energy),
        _spec(
            "es",
            "Epps-Singleton",
            (NUM,),
            "<",
            0.05,
            samples.epps_singleton,
            needs="five values on each side, and a middle half that varies",
        ),
        _spec(
            "fisher_exact", "Fisher's Exact test", (CAT,), "<", 0.1, counts.fisher_exact, needs="at most two categories"
        ),
        _spec(
            "g_test",
            "g_test",
            (CAT,),
            "<",
            0.1,
            counts.g_test,
            counts.g_test_one_sample,
            needs="as many values on each side in mode 'evidently'",
        ),
        _spec(
            "mannw",
            "Mann-Whitney U-rank test",
            (NUM,),
            "<",
            0.05,
            samples.mann_whitney,
            samples.mann_whitney_one_sided,
        ),
        _spec(
            "empirical_mmd",
            "empirical_mmd",
            (NUM,),
            "<",
            0.1,
            mmd.mean_discrepancy,
            mmd.mean_discrepancy_in_order,
            needs="two values on each side",
        ),
        _spec("t_test", "t_test", (NUM,), "<", 0.05, samples.students_t, needs=VARIES),
        _spec(
            "TVD",
            "Total-Variation-Distance",
            (CAT,),
            "<",
            0.1,
            counts.total_variation,
            counts.total_variation_in_order,
        ),
        _spec(
            "perc_text_content_drift",
            "Percentile text content drift",
            (TEXT,),
            "own",
            0.95,
            texts.percentile_drift,
            texts.percentile_drift_by_sklearn,
            needs="texts with words, and in mode 'evidently' the extra 'sklearn'",
        ),
        _spec(
            "abs_text_content_drift",
            "Absolute text content drift",
            (TEXT,),
            "own",
            0.55,
            texts.absolute_drift,
            texts.absolute_drift_by_sklearn,
            needs="texts with words, and in mode 'evidently' the extra 'sklearn'",
        ),
    )
}
_WORDS = {NUM: "numbers", CAT: "categories", TEXT: "texts"}


def test_named(name: str, kind: str) -> Spec:
    """The test of this name.

    Raises:
        Invalid: when there is none, or it does not take columns of this kind.
    """
    if name not in TESTS:
        raise Invalid(f"there is no test {name!r}", field="method", next_step=f"tests are {', '.join(TESTS)}")
    spec = TESTS[name]
    if kind not in spec.kinds:
        some = ", ".join(other.name for other in TESTS.values() if kind in other.kinds)
        raise Invalid(
            f"{name} is no test of {_WORDS[kind]}", field="method", next_step=f"of {_WORDS[kind]} there are {some}"
        )
    return spec


def default_test(pair: Pair) -> Spec:
    """The test that Evidently takes when none is named: by the reference's rows and the number of values."""
    is_small = pair.sizes[0] <= SMALL
    if pair.kind == TEXT:
        return TESTS["perc_text_content_drift" if is_small else "abs_text_content_drift"]
    if pair.kind == NUM and not pair.has_at_most(5):
        return TESTS["ks" if is_small else "wasserstein"]
    if is_small:
        return TESTS["z" if pair.has_at_most(2) else "chisquare"]
    return TESTS["jensenshannon"]
