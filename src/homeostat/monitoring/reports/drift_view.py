"""What a drift report shows: figures, and a table of columns that unfold into their distributions."""

from collections.abc import Sequence
from typing import Any

from homeostat.monitoring.reports.blocks import Bars, Block, Figures, Grid, Histogram, Spark, Text
from homeostat.monitoring.reports.drift import ColumnResult, common_edges, shares_by_bin

BARS = 20
"""So many categories are drawn; the rest are one bar."""


def drift_blocks(
    results: Sequence[ColumnResult], *, rows: tuple[int, int], verdict: str, rule: str
) -> tuple[Block, ...]:
    """The whole of it, columns that have drifted first."""
    drifted = sum(result.drifted for result in results)
    unknown = sum(not result.is_known for result in results)
    figures: list[tuple[str, Any, str]] = [
        ("Drifted columns", f"{drifted} of {len(results)}", rule),
        ("Verdict", verdict, ""),
        ("Reference rows", rows[0], ""),
        ("Current rows", rows[1], ""),
    ]
    if unknown:
        figures.insert(2, ("Too little to say", unknown, "columns"))
    order = sorted(range(len(results)), key=lambda place: _rank(results[place], place))
    ordered = [results[place] for place in order]
    grid = Grid(
        title="Columns",
        header=(
            "Column",
            "Kind",
            "Reference / current",
            "Drift",
            "Score",
            "Effect",
            "Test",
            "Missing, ref.",
            "Missing, cur.",
        ),
        rows=tuple(_row(result) for result in ordered),
        flagged=tuple(place for place, result in enumerate(ordered) if result.drifted),
        details={place: _details(result) for place, result in enumerate(ordered)},
    )
    return Figures(figures=tuple(figures)), grid


def _rank(result: ColumnResult, place: int) -> tuple[bool, bool, float, int]:
    effect = result.verdict.effect if result.verdict is not None and result.verdict.effect is not None else 0.0
    return (not result.drifted, result.pair is not None, -effect, place)


def _row(result: ColumnResult) -> tuple[Any, ...]:
    word = "drift" if result.drifted else "no" if result.score is not None else "too few rows"
    sides = result.pair.sides if result.pair is not None else ()
    missing = [round(side.missing / side.rows, 4) if side.rows else None for side in sides] or [None, None]
    effect = result.verdict.effect if result.verdict is not None else None
    return (
        result.name,
        {"num": "number", "cat": "category"}.get(result.kind, result.kind),
        _spark(result),
        word,
        None if result.score is None else _rounded(result.score),
        None if effect is None else _rounded(effect),
        result.title,
        *missing,
    )


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _spark(result: ColumnResult) -> Any:
    shown = distribution(result, bins=12)
    if shown is None:
        return None
    (_, then), (_, now) = shown.series
    return Spark(reference=then[:16], current=now[:16])


def distribution(result: ColumnResult, *, bins: int = 24) -> Histogram | Bars | None:
    """Reference and current over each other; None when the column cannot be compared."""
    pair = result.pair
    if pair is None:
        return None
    if result.kind == "num":
        edges = common_edges(pair, bins=bins)
        series = tuple(
            (name, shares_by_bin(values, edges))
            for name, values in zip(("reference", "current"), pair.numbers, strict=True)
        )
        return Histogram(title=result.name, edges=tuple(float(f"{edge:.6g}") for edge in edges), series=series)
    labels, then, now = pair.table
    names = [str(label) for label in labels[:BARS]]
    sides = []
    for name, counts in (("reference", then), ("current", now)):
        total = max(int(counts.sum()), 1)
        shares = [round(int(count) / total, 5) for count in counts[:BARS]]
        if len(labels) > BARS:
            shares.append(round(int(counts[BARS:].sum()) / total, 5))
        sides.append((name, tuple(shares)))
    if len(labels) > BARS:
        names.append(f"{len(labels) - BARS} others")
    return Bars(title=result.name, labels=tuple(names), series=tuple(sides))


def _details(result: ColumnResult) -> tuple[Block, ...]:
    blocks: list[Block] = []
    if result.note:
        blocks.append(Text(text=result.note, tone="bad" if result.drifted else "hint"))
    if (shown := distribution(result)) is not None:
        blocks.append(shown)
    if result.verdict is not None and result.verdict.parts:
        parts = result.verdict.parts.items()
        said = ", ".join(f"{name} {p:.2g}" for name, p in sorted(parts, key=lambda item: item[1]))
        blocks.append(Text(text=f"p by sub-test: {said}", tone="hint"))
    return tuple(blocks)
