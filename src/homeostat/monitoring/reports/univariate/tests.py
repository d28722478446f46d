"""The tests by name: what they are called, what they take, and from where on they speak of drift."""

from typing import NamedTuple

from homeostat.ground.errors import Invalid
from homeostat.monitoring.reports.univariate import scores
from homeostat.monitoring.reports.univariate.pair import Pair

NUM, CAT = "num", "cat"
BOTH = (NUM, CAT)
SMALL = 1_000
"""Up to as many reference rows a p-value decides by default, beyond a distance does (as Evidently has it)."""


class Spec(NamedTuple):
    """A test. Small p-values and large distances are drift."""

    name: str
    title: str
    kinds: tuple[str, ...]
    threshold: float
    right: scores.Score
    quirky: scores.Score
    """As Evidently computes it."""
    is_p: bool = True
    includes: bool = False
    """Whether a p-value equal to the threshold is drift; a distance equal to it is, unless said otherwise."""

    def is_drift(self, score: float, threshold: float) -> bool:
        if self.is_p:
            return score <= threshold if self.includes else score < threshold
        return score >= threshold if self.includes else score > threshold


def _p(
    name: str,
    title: str,
    kinds: tuple[str, ...],
    threshold: float,
    right: scores.Score,
    quirky: scores.Score | None = None,
    *,
    includes: bool = False,
) -> Spec:
    return Spec(name, title, kinds, threshold, right, quirky or right, includes=includes)


def _distance(name: str, title: str, kinds: tuple[str, ...], right: scores.Score, *, includes: bool = True) -> Spec:
    return Spec(name, title, kinds, 0.1, right, right, is_p=False, includes=includes)


TESTS = {
    spec.name: spec
    for spec in (
        _p("ks", "K-S p_value", (NUM,), 0.05, scores.kolmogorov_smirnov, includes=True),
        _p("z", "Z-test p_value", BOTH, 0.05, scores.z_test),
        _p("chisquare", "chi-square p_value", BOTH, 0.05, scores.chi_square, scores.chi_square_one_sample),
        _distance("jensenshannon", "Jensen-Shannon distance", BOTH, scores.jensen_shannon),
        _distance("wasserstein", "Wasserstein distance (normed)", (NUM,), scores.wasserstein_normed),
        _distance("psi", "PSI", BOTH, scores.population_stability),
        _distance("kl_div", "Kullback-Leibler divergence", BOTH, scores.kullback_leibler),
        _distance("hellinger", "Hellinger distance", BOTH, scores.hellinger),
        _p("anderson", "Anderson-Darling", (NUM,), 0.1, scores.anderson_darling),
        _p("cramer_von_mises", "Cramer-von Mises", (NUM,), 0.1, scores.cramer_von_mises, includes=True),
        _distance("ed", "Energy-distance", (NUM,), scores.energy, includes=False),
        _p("es", "Epps-Singleton", (NUM,), 0.05, scores.epps_singleton),
        _p("fisher_exact", "Fisher's Exact test", (CAT,), 0.1, scores.fisher_exact),
        _p("g_test", "g_test", (CAT,), 0.1, scores.g_test, scores.g_test_one_sample),
        _p("mannw", "Mann-Whitney U-rank test", (NUM,), 0.05, scores.mann_whitney, scores.mann_whitney_one_sided),
        _p("empirical_mmd", "empirical_mmd", (NUM,), 0.1, scores.maximum_mean_discrepancy),
        _p("t_test", "t_test", (NUM,), 0.05, scores.students_t),
        _p("TVD", "Total-Variation-Distance", (CAT,), 0.1, scores.total_variation),
    )
}


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
        what = "numbers" if kind == NUM else "categories"
        raise Invalid(f"{name} is no test of {what}", field="method", next_step=f"of {what} there are {some}")
    return spec


def default_test(pair: Pair) -> Spec:
    """The test that Evidently takes when none is named: by the reference's rows and the number of values."""
    few = pair.distinct <= 5 or pair.kind == CAT
    if pair.sizes[0] > SMALL:
        return TESTS["jensenshannon" if few else "wasserstein"]
    if few:
        return TESTS["chisquare" if pair.distinct > 2 else "z"]
    return TESTS["ks"]
