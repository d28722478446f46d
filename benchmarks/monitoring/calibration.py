"""How often the drift decisions are wrong, and how often they see a change: the tables of docs/calibrated-drift.md.

    python -m benchmarks.monitoring.calibration [--quick]

simulates for about half an hour (--quick: two minutes, coarser) and writes the tables between their markers.
"""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from scipy import stats

from homeostat.monitoring.calibrated.windows import alpha_per_check
from homeostat.testing.drift import CATEGORIES, alarms, kind, mixed, seen

PAGE = Path(__file__).parents[2] / "docs" / "calibrated-drift.md"
NUMBERS = [name for name in mixed(np.random.default_rng(0), 1) if kind(name) == "num"]
SHIFTS = (0.1, 0.2, 0.3, 0.5)
Row = Sequence[object]


def false_alarms(scale: float) -> Iterable[Row]:
    """Equal tables of 20 columns and of 21, with a category of 1,000 values."""
    yield "rows of the reference", "rows now", "repeats", "any of 20 columns", "any of 21, one with 1,000 values"
    sizes = (
        (200, 200, 4_000),
        (500, 500, 4_000),
        (5_000, 5_000, 1_500),
        (50_000, 50_000, 300),
        (50_000, 500, 500),
        (200, 5_000, 1_500),
    )
    for reference, now, repeats in sizes:
        number = max(20, int(repeats * scale))
        shares = [
            seen((reference, now), number, categories=categories, seed=reference + now).any_column
            for categories in (CATEGORIES, (*CATEGORIES, 1_000))
        ]
        yield f"{reference:,}", f"{now:,}", f"{number:,}", *(_with_error(share, number) for share in shares)


def power(scale: float) -> Iterable[Row]:
    """Shifts of one normal column, and of all 15 numbers, beside Kolmogorov-Smirnov with Bonferroni's correction."""
    yield (
        "rows on each side",
        "shift, sd",
        "one column: ours",
        "KS",
        "ours, effect at least 0.1",
        "all 15: any named, ours",
        "KS",
        "of 15 named, ours",
        "KS",
    )
    for rows, repeats in ((200, 1_000), (500, 1_000), (5_000, 300), (50_000, 40)):
        number = max(10, int(repeats * scale))
        for shift in SHIFTS:
            one = seen((rows, rows), number, shift=shift, names=NUMBERS[:1], seed=rows)
            every = seen((rows, rows), number, shift=shift, names=NUMBERS, seed=rows + 1)
            ks_one, ks_any, ks_number = _by_ks(rows, number, shift)
            shares = (one.moved, ks_one, one.floored, every.any_column, ks_any)
            yield f"{rows:,}", shift, *(f"{share:.2f}" for share in shares), f"{every.columns:.1f}", f"{ks_number:.1f}"


def _by_ks(rows: int, repeats: int, shift: float) -> tuple[float, float, float]:
    """Share in which the first column is named, share with any, mean number: at 0.05 / 20 each."""
    rng = np.random.default_rng(rows)
    found = []
    for _ in range(repeats):
        then = mixed(rng, rows, categories=())
        now = mixed(rng, rows, categories=(), shift=shift, names=NUMBERS)
        present = [(then[name][~np.isnan(then[name])], now[name][~np.isnan(now[name])]) for name in NUMBERS]
        named = [stats.ks_2samp(*pair).pvalue <= 0.05 / 20 for pair in present]
        found.append((named[0], any(named), sum(named)))
    first, some, number = np.mean(found, axis=0).tolist()
    return first, some, number


def window_alarms(scale: float) -> Iterable[Row]:
    """Windows that differ by offsets of 0, 0.05 and 0.1 sd, at one alarm a month over 30 checks, and at 5 %."""
    yield "past windows", "rows", "alpha", "no day effect", "0.05 sd", "0.1 sd", "repeats"
    cases = [(past, rows, alpha_per_check(1)) for past in (0, 5, 10, 19, 40, 60) for rows in (500, 5_000)]
    cases += [(40, rows, 0.05) for rows in (200, 500, 5_000, 50_000)]
    for past, rows, alpha in cases:
        number = max(20, int(1_500 * scale))
        shares = [
            alarms(rows, past, number, day_effect=effect, alpha=alpha, seed=past + rows).any_column
            for effect in (0.0, 0.05, 0.1)
        ]
        yield past, f"{rows:,}", f"{alpha:.3f}", *(_with_error(share, number) for share in shares), f"{number:,}"
    mixed_rows = (300, 1_000, 5_000, 20_000)
    shares = [alarms(mixed_rows, 40, number, day_effect=effect, seed=9).any_column for effect in (0.0, 0.05, 0.1)]
    yield 40, "300 to 20,000", "0.050", *(_with_error(share, number) for share in shares), f"{number:,}"


def window_power(scale: float) -> Iterable[Row]:
    """One shifted column of 20, 40 past windows, at 5 %."""
    yield "rows", "shift, sd", "no day effect", "0.05 sd", "0.1 sd", "0.1 sd, effect at least 0.1"
    number = max(20, int(600 * scale))
    for rows in (500, 5_000):
        for shift in SHIFTS:
            found = [alarms(rows, 40, number, day_effect=effect, shift=shift, seed=rows) for effect in (0.0, 0.05, 0.1)]
            yield f"{rows:,}", shift, *(f"{one.moved:.2f}" for one in found), f"{found[-1].floored:.2f}"


def _with_error(share: float, repeats: int) -> str:
    return f"{share:.3f} ± {np.sqrt(max(share, 1 / repeats) * (1 - share) / repeats):.3f}"


def _table(rows: Iterable[Row]) -> str:
    head, *body = [[str(cell) for cell in row] for row in rows]
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _put(page: str, name: str, table: str) -> str:
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n{table}\n{end}{after}"


def main() -> None:
    """Simulate, print, and put the tables into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    scale = 0.05 if parser.parse_args().quick else 1.0
    for make in (false_alarms, power, window_alarms, window_power):
        table = _table(make(scale))
        print(table, flush=True)
        PAGE.write_text(_put(PAGE.read_text(), make.__name__, table))


if __name__ == "__main__":
    main()
