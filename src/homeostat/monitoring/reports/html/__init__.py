"""A report as one HTML page: style, script and data inside it, nothing from elsewhere."""

import html
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.monitoring.reports.section import plain

if TYPE_CHECKING:
    from homeostat.monitoring.reports.report import Snapshot

HEIGHT = 720
"""Pixels of a page inside a notebook."""
_WORDS = {"ok": "No alarm", "alarm": "Alarm", "insufficient": "Too little data"}


def page(snapshot: "Snapshot") -> str:
    """The page of a snapshot.

    Names and texts come from strangers' data: everything is escaped, the data are JSON in which no tag can end, and the
    page's policy lets nothing be fetched or sent.
    """
    data = {
        "sections": [
            {"title": one.title, "status": one.status, "notes": one.notes, "blocks": _blocks(one.blocks)}
            for one in snapshot.sections
        ],
        "checks": [
            {"about": check.params.get("column", ""), "description": check.description, "status": check.status}
            for check in snapshot.checks
        ],
    }
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(snapshot.name)}</title>
<style>{_file("page.css")}</style>
</head>
<body>
<header>
<div><h1>{html.escape(snapshot.name)}</h1><p class="about">{html.escape(_about(snapshot))}</p></div>
<div class="right"><span class="badge {snapshot.status}">{_WORDS[snapshot.status]}</span>
<button id="theme" type="button" title="Light or dark" aria-label="Light or dark">&#9680;</button></div>
</header>
<main id="report"><noscript>{_without_script(snapshot)}</noscript></main>
<script type="application/json" id="data">{_inside_a_tag(data)}</script>
<script>{_file("page.js")}</script>
</body>
</html>
"""


def framed(snapshot: "Snapshot") -> str:
    """The page for a notebook's cell, in a frame of its own so that neither touches the other."""
    inside = html.escape(page(snapshot), quote=True)
    return f'<iframe srcdoc="{inside}" style="width:100%;height:{HEIGHT}px;border:0" sandbox="allow-scripts"></iframe>'


@cache
def _file(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


def _about(snapshot: "Snapshot") -> str:
    parts = [f"{snapshot.current_rows:,} current rows"]
    if snapshot.reference_rows is not None:
        parts.append(f"{snapshot.reference_rows:,} reference rows")
    when = snapshot.timestamp or snapshot.created
    return " · ".join([*parts, f"mode {snapshot.mode}", f"{when:%Y-%m-%d %H:%M} {when.tzname() or ''}".strip()])


def _blocks(blocks: Any) -> Any:
    return plain(msgspec.to_builtins(blocks, str_keys=True, enc_hook=plain))


def _inside_a_tag(data: Any) -> str:
    """JSON that may stand in a script tag: no `<`, so neither a tag nor a comment begins in it."""
    text = msgspec.json.encode(plain(data)).decode()
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e").replace("\u2028", "\\u2028")


def _without_script(snapshot: "Snapshot") -> str:
    """The values as a table, for readers that run no scripts."""
    rows = "".join(
        f"<tr><td>{html.escape(result.name)}</td><td>{html.escape(_short(result.value))}</td></tr>"
        for result in snapshot.metric_results[:300]
    )
    return f"<table><thead><tr><th>Metric</th><th>Value</th></tr></thead><tbody>{rows}</tbody></table>"


def _short(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 200 else text[:197] + "..."
