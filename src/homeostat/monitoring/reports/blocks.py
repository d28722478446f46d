"""What a report shows, apart from how it is drawn: `html/` draws blocks, presets make them.

Numbers are plain floats and ints; None is drawn as a dash. Histograms and bars are shares (0 to 1) unless said
otherwise, so that frames of different sizes lie over each other.
"""

from typing import Any

import msgspec

Numbers = tuple[float, ...]


class Text(msgspec.Struct, frozen=True, kw_only=True, tag="text"):
    """A sentence or two; `tone` is 'plain', 'hint', 'good' or 'bad'."""

    text: str
    tone: str = "plain"


class Figures(msgspec.Struct, frozen=True, kw_only=True, tag="figures"):
    """A row of single figures: (label, value, note), such as ('drifted columns', '3 of 20', 'family-wise 5 %')."""

    figures: tuple[tuple[str, Any, str], ...]


class Grid(msgspec.Struct, frozen=True, kw_only=True, tag="grid"):
    """A table that can be sorted and searched; cells are str, int, float, bool, None or a `Spark`."""

    title: str = ""
    header: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    flagged: tuple[int, ...] = ()
    """Indices of rows that are marked as bad."""
    details: dict[int, tuple["Block", ...]] = {}
    """Blocks that unfold under a row, by its index."""


class Spark(msgspec.Struct, frozen=True, kw_only=True, tag="spark"):
    """A small pair of histograms inside a cell: shares by bin, reference and current."""

    reference: Numbers
    current: Numbers


class Histogram(msgspec.Struct, frozen=True, kw_only=True, tag="histogram"):
    """Distributions of a number: k+1 edges, and for each series (name, k shares)."""

    title: str
    edges: Numbers
    series: tuple[tuple[str, Numbers], ...]
    x: str = ""


class Bars(msgspec.Struct, frozen=True, kw_only=True, tag="bars"):
    """Bars by label, and for each series (name, one value a label)."""

    title: str
    labels: tuple[str, ...]
    series: tuple[tuple[str, Numbers], ...]
    x: str = ""
    is_share: bool = True


Block = Text | Figures | Grid | Histogram | Bars
