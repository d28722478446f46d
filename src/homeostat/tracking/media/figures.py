"""Figures as files: Matplotlib's as PNG and SVG, Plotly's as HTML and JSON."""

import io
from pathlib import Path
from typing import Any

from homeostat.ground.errors import Invalid

Files = dict[str, bytes | Path]


def figure_files(key: str, figure: Any) -> Files:
    """Content by suffix (or by name, for what lies beside it).

    Raises:
        Invalid: when it is no figure of a library that is known.
    """
    figure = getattr(figure, "figure", None) or figure  # Axes and seaborn's grids have theirs
    if hasattr(figure, "savefig"):
        return {".png": _saved(figure, "png"), ".svg": _saved(figure, "svg")}
    if hasattr(figure, "to_html") and hasattr(figure, "to_json"):
        return _plotly_files(figure)
    raise Invalid(
        f"figure {key!r:.80} is a {type(figure).__name__}",
        field="figure",
        next_step="give a figure of Matplotlib or Plotly; other things are kept with run.artifact",
    )


def _saved(figure: Any, kind: str) -> bytes:
    sink = io.BytesIO()
    # Without a date the same figure is the same bytes, and is kept once.
    metadata = {"Date": None} if kind == "svg" else None
    figure.savefig(sink, format=kind, bbox_inches="tight", metadata=metadata)
    return sink.getvalue()


def _plotly_files(figure: Any) -> Files:
    from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]  # it ships none

    # The library lies beside the page, so the page works without a network; as a file it is kept once for all.
    page = figure.to_html(include_plotlyjs="directory", full_html=True)
    return {".html": page.encode(), ".json": figure.to_json().encode(), "plotly.min.js": get_plotlyjs().encode()}
