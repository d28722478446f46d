"""Error rates by simulation with fixed seeds; the bounds are the nominal ones with room for the repetitions."""

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.ground.clock import DAY, HOUR, MINUTE, SECOND
from homeostat.ground.errors import Invalid
from homeostat.rollout.bets import PROMOTE_BETS, ROLLBACK_BETS
from homeostat.rollout.evidence import log_mean_exp
from homeostat.rollout.guards import Guard, new_guard
from homeostat.rollout.losses import row_losses
from homeostat.rollout.paired import PairedLoss
from homeostat.rollout.rates import WORSE_RATIOS, RateLimit, RateRatio, clusters


def walk(
    guard: Guard,
    rng: np.random.Generator,
    *,
    rate_c: float,
    rate_s: float,
    looks: int = 120,
    n_c: int = 100,
    n_s: int = 900,
    cluster: int = 1,
) -> str:
    """'rollback', 'promote' or 'undecided' after looking at every step."""
    for look in range(looks):
        bad_c, bad_s = (cluster * rng.poisson(rate * n / cluster) for rate, n in ((rate_c, n_c), (rate_s, n_s)))
        guard = guard.seen(min(bad_c, n_c), n_c, min(bad_s, n_s), n_s, at=DAY + look * MINUTE)
        if guard.is_worse(60):
            return "rollback"
        if guard.is_safe:
            return "promote"
    return "undecided"


def outcomes(repetitions: int, seed: int, *, warm: int = 0, **kwargs: Any) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    guard = new_guard(margin=2.0, limit=0.001)
    for minute in range(warm):
        cluster = kwargs.get("cluster", 1)
        bad = cluster * int(rng.poisson(900 * kwargs["rate_s"] / cluster))
        guard = guard.watched(bad, 900, at=DAY + (minute - warm) * MINUTE)
    ends = [walk(guard, rng, **kwargs) for _ in range(repetitions)]
    return {name: ends.count(name) / repetitions for name in ("rollback", "promote", "undecided")}


def test_an_equal_candidate_is_seldom_rolled_back_and_mostly_promoted() -> None:
    ends = outcomes(200, 1, rate_c=0.005, rate_s=0.005)
    assert ends["rollback"] <= 0.05 and ends["promote"] >= 0.8


def test_a_candidate_with_twice_the_errors_is_seldom_promoted_and_mostly_rolled_back() -> None:
    ends = outcomes(200, 2, rate_c=0.01, rate_s=0.005)
    assert ends["promote"] <= 0.06 and ends["rollback"] >= 0.8


def test_a_broken_candidate_is_rolled_back_at_the_first_looks() -> None:
    ends = outcomes(50, 3, rate_c=0.2, rate_s=0.005, looks=2, warm=30)
    assert ends["rollback"] == 1.0


@pytest.mark.parametrize("warm", [0, 30])
def test_clustered_errors_do_not_roll_back_an_equal_candidate(warm: int) -> None:
    ends = outcomes(150, 4, rate_c=0.005, rate_s=0.005, cluster=5, warm=warm)
    assert ends["rollback"] <= 0.05


def test_an_outage_of_both_arms_does_not_roll_back() -> None:
    rng = np.random.default_rng(5)
    rollbacks = 0
    for _ in range(100):
        guard = new_guard(margin=2.0, limit=0.001)
        for look in range(60):
            rate = 0.1 if 20 <= look < 23 else 0.005
            counts = (int(rng.binomial(100, rate)), 100, int(rng.binomial(900, rate)), 900)
            guard = guard.seen(*counts, at=DAY + look * MINUTE)
            if guard.is_worse(60):
                rollbacks += 1
                break
    assert rollbacks <= 6


def test_no_requests_are_no_evidence() -> None:
    guard = new_guard(margin=2.0, limit=0.02)
    for look in range(1000):
        guard = guard.seen(0, 0, 3, 900, at=DAY + look * MINUTE)
    assert (guard.log_e_rollback, guard.log_e_promote) == (0.0, 0.0)


def test_a_candidate_without_errors_is_safe_by_the_number_of_its_requests_and_not_before() -> None:
    rate = RateLimit(limit=0.02)
    assert rate.seen(0, 100).log_e < math.log(20) <= rate.seen(0, 250).log_e
    assert rate.seen(0, 250).log_e == pytest.approx(rate.seen(0, 100).seen(0, 150).log_e)
    assert rate.seen(5, 250).log_e < 0


def test_a_candidate_over_the_limit_is_seldom_called_safe() -> None:
    rng = np.random.default_rng(6)
    called = 0
    for _ in range(400):
        rate, top = RateLimit(limit=0.02), 0.0
        for bad in rng.binomial(50, 0.02, size=40):
            rate = rate.seen(int(bad), 50)
            top = max(top, rate.log_e)
        called += top >= math.log(20)
    assert called <= 0.05 * 400 + 8


def test_rate_ratios_on_both_sides_of_the_null_are_refused() -> None:
    with pytest.raises(Invalid, match="both sides"):
        RateRatio(r0=1.0, ratios=(0.5, 2.0))


def test_the_likelihood_ratio_is_the_binomials() -> None:
    once = RateRatio(r0=1.0, ratios=WORSE_RATIOS[:1]).seen(7, 100, 20, 900)
    q0, q1 = 0.1, 100 * 1.25 / (100 * 1.25 + 900)
    assert once.logs[0] == pytest.approx(7 * math.log(q1 / q0) + 20 * math.log((1 - q1) / (1 - q0)))


def test_rare_and_even_errors_are_not_dispersed() -> None:
    assert clusters([0] * 50, [100] * 50).dispersion == 1.0
    assert clusters([1, 1, 2] * 10, [100, 100, 200] * 10).dispersion == 1.0
    clustered = clusters([0, 0, 30] * 10, [100] * 30).dispersion
    assert 15 < clustered < 35
    assert clusters([0, 0, 30] * 10 + [0], [100] * 30 + [0]).dispersion == clustered


def test_the_fewer_stretches_are_known_the_more_they_are_taken_to_cluster() -> None:
    few = [float(clusters([1] * count, [100] * count).dispersion) for count in (1, 5, 10, 20, 50)]
    assert few == sorted(few, reverse=True) and few[0] > 5 and few[-2:] == [1.0, 1.0]


def test_one_client_that_tries_again_is_one_event_while_nothing_is_known_of_clusters() -> None:
    guard = new_guard(margin=2.0, limit=0.02, at=DAY)
    for look in range(1, 200):
        guard = guard.seen(0, 20, 0, 180, at=DAY + look * 2 * SECOND)
    retried = guard
    for look in range(5):  # ten failures within ten seconds
        retried = retried.seen(2, 2, 0, 18, at=DAY + 400 * SECOND + look * 2 * SECOND)
    assert not retried.is_worse(60)
    spread = guard
    for look in range(5):  # five, ten seconds apart
        spread = spread.seen(1, 2, 0, 18, at=DAY + (400 + 10 * look) * SECOND)
    assert spread.is_worse(60)


@given(st.lists(st.floats(-700, 700), min_size=1, max_size=8))
def test_the_mean_of_wealth_is_taken_without_overflow(logs: list[float]) -> None:
    assert log_mean_exp(logs) == pytest.approx(float(np.logaddexp.reduce(logs)) - math.log(len(logs)), abs=1e-9)


# Paired losses -------------------------------------------------------------------------------------------------------


def truths_and_scores(
    rng: np.random.Generator, days: int, *, noise: float = 0.3, day_sd: float = 0.0, rows: int = 45, hours: int = 18
) -> tuple[Any, ...]:
    """Labels, a good model's probabilities, and those of one like it whose errors share a random effect by day."""
    shape = (days, hours, rows)
    logit = rng.normal(-1.2, 1.0, shape)
    y = (rng.uniform(size=shape) < 1 / (1 + np.exp(-logit))).astype(float)
    stable = 1 / (1 + np.exp(-(logit + noise * rng.normal(size=shape))))
    effect = day_sd * rng.normal(size=(days, 1, 1))
    candidate = 1 / (1 + np.exp(-(logit + effect + noise * rng.normal(size=shape))))
    at = (np.arange(days)[:, None, None] * 24 + np.arange(hours)[None, :, None]) * HOUR + np.zeros(shape)
    return tuple(part.ravel() for part in (at.astype(np.int64), y, stable, candidate))


def ends_of(
    at: Any, y: Any, stable: Any, candidate: Any, *, margin: float = 0.10, rows_a_day: int = 810
) -> tuple[str, int]:
    state = PairedLoss(margin=margin)
    for start in range(0, len(y), rows_a_day // 4):
        part = slice(start, start + rows_a_day // 4)
        state = state.seen("binary", at[part], y[part], stable[part], candidate[part])
        if state.is_worse(60):
            return "rollback", state.rows
        if state.is_near:
            return "promote", state.rows
    return "undecided", state.rows


def test_an_equally_good_candidate_passes_within_days_even_when_days_differ() -> None:
    rng = np.random.default_rng(7)
    ends = [ends_of(*truths_and_scores(rng, 10, day_sd=0.15)) for _ in range(40)]
    assert [end for end, _ in ends].count("promote") >= 36
    assert [end for end, _ in ends].count("rollback") <= 1
    assert np.median([rows for _, rows in ends]) <= 5 * 810


def test_a_candidate_trained_on_shuffled_labels_is_rolled_back_within_days() -> None:
    rng = np.random.default_rng(8)
    ends = []
    for _ in range(30):
        at, y, stable, _ = truths_and_scores(rng, 8)
        ends.append(ends_of(at, y, stable, np.clip(rng.normal(y.mean(), 0.05, len(y)), 0.01, 0.99)))
    assert [end for end, _ in ends].count("rollback") == 30
    assert np.median([rows for _, rows in ends]) <= 3 * 810


def relative_walks(rng: np.random.Generator, repetitions: int, *, mean: float, day_sd: float, days: int = 14) -> Any:
    """Relative loss differences by hour around `mean`, with an effect that the hours of a day share, as log wealth."""
    hours = (
        mean + day_sd * rng.normal(size=(repetitions, days, 1)) + 0.25 * rng.normal(size=(repetitions, days, 18)) / 7
    )
    return np.clip(hours.reshape(repetitions, -1), -1, 1)


def test_days_that_share_an_effect_keep_false_alarms_of_each_test_alone_within_bounds() -> None:
    """On flights the relative loss difference of good candidates varies by 0.02 to 0.04 between days."""
    rng = np.random.default_rng(9)
    equal = relative_walks(rng, 4000, mean=0.0, day_sd=0.03)
    rollback = np.logaddexp.reduce([np.cumsum(np.log1p(bet * equal), 1) for bet in ROLLBACK_BETS]) - math.log(3)
    assert (rollback.max(axis=1) >= math.log(60)).mean() <= 0.02
    margin = relative_walks(rng, 4000, mean=0.10, day_sd=0.03)
    promote = np.logaddexp.reduce([np.cumsum(np.log1p(-bet * (margin - 0.1)), 1) for bet in PROMOTE_BETS]) - math.log(2)
    assert (promote.max(axis=1) >= math.log(20)).mean() <= 0.05


def test_on_rare_events_always_no_is_not_promoted() -> None:
    rng = np.random.default_rng(10)
    ends = []
    for _ in range(5):
        at, _, _, _ = truths_and_scores(rng, 14, rows=300)
        logit = rng.normal(-6.5, 2.0, len(at))
        truth = 1 / (1 + np.exp(-logit))
        y = (rng.uniform(size=len(at)) < truth).astype(float)
        ends.append(ends_of(at, y, truth, np.full(len(at), 0.01), rows_a_day=5400)[0])
    assert "promote" not in ends


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 1620), max_size=6), seed=st.integers(0, 5))
def test_evidence_does_not_depend_on_when_one_looks_or_restarts(cuts: list[int], seed: int) -> None:
    at, y, stable, candidate = truths_and_scores(np.random.default_rng(seed), 2)
    at[100:200] -= 2 * HOUR  # labels need not come in perfect order
    whole = PairedLoss(margin=0.1).seen("binary", at, y, stable, candidate)
    parts = PairedLoss(margin=0.1)
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), len(y)], strict=True):
        part = slice(start, stop)
        parts = parts.seen("binary", at[part], y[part], stable[part], candidate[part])
        parts = msgspec.json.decode(msgspec.json.encode(parts), type=PairedLoss)
    assert parts == whole  # bit for bit


def test_a_guard_read_back_from_json_goes_on_bit_for_bit() -> None:
    rng = np.random.default_rng(11)
    kept = read = new_guard(margin=2.0, limit=0.02)
    for look in range(150):
        counts, at = (int(rng.poisson(1)), 100, int(rng.poisson(9)), 900), DAY + look * 7 * SECOND
        read = msgspec.json.decode(msgspec.json.encode(read), type=Guard).seen(*counts, at=at)
        kept = kept.seen(*counts, at=at)
    assert kept == read


def test_a_regression_is_judged_by_squared_error_whatever_its_unit() -> None:
    rng = np.random.default_rng(12)
    y = rng.normal(size=3000)
    stable, worse = y + 0.5 * rng.normal(size=3000), y + 0.7 * rng.normal(size=3000)
    at = np.arange(3000) * HOUR // 45
    small = PairedLoss(margin=0.1).seen("regression", at, y, stable, worse)
    large = PairedLoss(margin=0.1).seen("regression", at, 1000 * y, 1000 * stable, 1000 * worse)
    assert small.is_worse(60)
    assert large.log_e_rollback == pytest.approx(small.log_e_rollback)


def test_a_probability_of_zero_costs_as_much_as_one_of_a_hundredth() -> None:
    losses = row_losses("log_loss", np.array([1.0, 1.0, 0.0]), np.array([0.0, 0.01, 1.0]))
    assert losses == pytest.approx(np.full(3, math.log(100)))
