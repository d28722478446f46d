"""What a report shows, apart from how it is drawn: `html.py` draws blocks, presets make them.

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


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A series of points; `low` and `high` are a band around `y`, or empty."""

    name: str
    x: Numbers
    y: Numbers
    low: Numbers = ()
    high: Numbers = ()


class Lines(msgspec.Struct, frozen=True, kw_only=True, tag="lines"):
    """Curves, such as ROC, calibration or error over time. `diagonal` draws y = x; `times` reads x as unix seconds."""

    title: str
    lines: tuple[Line, ...]
    x: str = ""
    y: str = ""
    diagonal: bool = False
    times: bool = False


class Matrix(msgspec.Struct, frozen=True, kw_only=True, tag="matrix"):
    """A grid of numbers by two lists of labels, such as a confusion matrix or correlations."""

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[Numbers, ...]
    row_title: str = ""
    column_title: str = ""


class Points(msgspec.Struct, frozen=True, kw_only=True, tag="points"):
    """A scatter: for each series (name, x, y); at most a few thousand points, whoever makes it has sampled."""

    title: str
    series: tuple[tuple[str, Numbers, Numbers], ...]
    x: str = ""
    y: str = ""
    diagonal: bool = False


class Side(msgspec.Struct, frozen=True, kw_only=True, tag="side"):
    """Blocks beside each other where there is room."""

    blocks: tuple["Block", ...]


Block = Text | Figures | Grid | Histogram | Bars | Lines | Matrix | Points | Side
