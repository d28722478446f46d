"""What a drift report shows: figures, and a table of columns that unfold into their distributions."""

from collections.abc import Sequence
from typing import Any

from homeostat.monitoring.reports.blocks import Block, Figures, Grid, Text
from homeostat.monitoring.reports.drift import ColumnResult

HEADER = (
    "Column",
    "Kind",
    "Reference / current",
    "Drift",
    "Score",
    "Effect",
    "Test",
    "Missing, ref.",
    "Missing, cur.",
)
_KINDS = {"num": "number", "cat": "category"}


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
        header=HEADER,
        rows=tuple(_row(result) for result in ordered),
        flagged=tuple(place for place, result in enumerate(ordered) if result.drifted),
        details={place: details(result) for place, result in enumerate(ordered)},
    )
    return Figures(figures=tuple(figures)), grid


def details(result: ColumnResult) -> tuple[Block, ...]:
    """What unfolds under a column: what is to be said of it, and its distributions."""
    blocks: list[Block] = []
    if result.note:
        blocks.append(Text(text=result.note, tone="bad" if result.drifted else "hint"))
    if result.shape is not None and result.shape.drawn is not None:
        blocks.append(result.shape.drawn)
    for which, words in zip(("reference", "current"), result.words, strict=True):
        if words:
            blocks.append(Text(text=f"Words typical for the {which} rows: {', '.join(words)}"))
    if result.verdict is not None and result.verdict.parts:
        parts = result.verdict.parts.items()
        said = ", ".join(f"{name} {p:.2g}" for name, p in sorted(parts, key=lambda item: item[1]))
        blocks.append(Text(text=f"p by sub-test: {said}", tone="hint"))
    return tuple(blocks)


def said(result: ColumnResult) -> str:
    """One column's verdict in a sentence."""
    if result.score is None or result.threshold is None:
        return result.note or "nothing can be said"
    if (verdict := result.verdict) is not None:
        p = "below 1e-15" if result.score < 1e-15 else f"{result.score:.3g}"
        effect = "unknown" if verdict.effect is None else f"{verdict.effect:.3g}"
        return f"p is {p} (limit {result.threshold:g}), the effect {effect} (from {verdict.floor:g} on it counts)."
    return (
        f"Drift score is {result.score:.2f}. The drift detection method is {result.title}. "
        f"The drift threshold is {result.threshold:.2f}."
    )


def _rank(result: ColumnResult, place: int) -> tuple[bool, bool, float, int]:
    effect = result.verdict.effect if result.verdict is not None and result.verdict.effect is not None else 0.0
    return (not result.drifted, result.shape is not None, -effect, place)


def _row(result: ColumnResult) -> tuple[Any, ...]:
    word = "drift" if result.drifted else "no" if result.score is not None else "too little data"
    shape = result.shape
    effect = result.verdict.effect if result.verdict is not None else None
    return (
        result.name,
        _KINDS.get(result.kind, result.kind),
        None if shape is None else shape.spark,
        word,
        _rounded(result.score),
        _rounded(effect),
        result.title,
        *((None, None) if shape is None else shape.missing_shares),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
