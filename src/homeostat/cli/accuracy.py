"""`homeostat model accuracy` and `segments`: how good the answers were, by time and by part."""

from typing import Any

import click

from homeostat.cli.options import client, common
from homeostat.cli.show import show_json, table
from homeostat.cli.sparkline import sparkline

Plain = dict[str, Any]


@click.command()
@click.argument("name")
@click.option("--metric", default="", help="Ours or scikit-learn's by name  [default: the first that is declared].")
@click.option("--window", default="", help="hour, day or week  [default: the shortest with enough predictions].")
@click.option("--start", metavar="TIME", help="From this time on, such as 2013-03-01.")
@click.option("--end", metavar="TIME", help="Up to this time  [default: now].")
@click.option("--by", default="", metavar="COLUMN", help="Show the values of this request column apart.")
@click.option("--version", type=int, help="Only answers of this version.")
@click.option("--history", is_flag=True, help="Also what was said of each window before.")
@common
def accuracy(
    name: str,
    *,
    metric: str,
    window: str,
    start: str | None,
    end: str | None,
    by: str,
    version: int | None,
    history: bool,
    home: str | None,
    url: str | None,
    as_json: bool,
) -> None:
    """How good the answers of NAME were, on the labels that are known by now."""
    view = client(home, url).accuracy(
        name, metric=metric, window=window, start=start, end=end, by=by, version=version, history=history
    )
    if as_json:
        show_json(view)
        return
    windows, slices = view["windows"], view["slices"]
    if not windows:
        click.echo(f"{name} answered nothing in that time.")
        return
    _head(view)
    rows = [line for one in windows for line in _lines(one)]
    table(rows, header=(view["window"], "predictions", "labels", "late (90 %)", view["metric"], "95 %", ""))
    if slices:
        click.echo()
        table(_by_slice(slices), header=(view["by"], "predictions", "labels", f"newest {view['metric']}", "so far"))


def _head(view: Plain) -> None:
    values = [one["value"] for one in view["windows"]]
    line = f"{view['model']}: {view['metric']} by {view['window']}  {sparkline(values, width=60)}"
    if view["reference"] is not None:
        line += f"  at the gate {view['reference']:.4g}"
    click.echo(line)
    if view["usual_lateness_s"] is not None:
        click.echo(f"99 % of labels come within {_span(view['usual_lateness_s'])}")


def _lines(one: Plain) -> list[tuple[Any, ...]]:
    found = [_line(one, one["start"])]
    return found + [_line(old, f"  said {old['said']}") for old in reversed(one.get("before", []))]


def _line(one: Plain, first: str) -> tuple[Any, ...]:
    interval = None if one["low"] is None else f"{one['low']:.4g} to {one['high']:.4g}"
    late = one["lateness_s"]
    notes = ["provisional"] if one["provisional"] else []
    notes += [f"re-opened {one['reopened']} times"] if one["reopened"] else []
    notes += [one["reason"]] if one["reason"] and one["value"] is None else []
    return (
        first,
        one["predictions"],
        f"{one['labels']} ({one['coverage']:.0%})",
        None if late is None else _span(late["p90"]),
        one["value"],
        interval,
        ", ".join(notes),
    )


def _by_slice(slices: list[Plain]) -> list[tuple[Any, ...]]:
    by_name: dict[str, list[Plain]] = {}
    for one in slices:
        by_name.setdefault(one["slice"], []).append(one)
    return [
        (
            name,
            sum(one["predictions"] for one in some),
            sum(one["labels"] for one in some),
            next((one["value"] for one in reversed(some) if one["value"] is not None), None),
            sparkline([one["value"] for one in some], width=40),
        )
        for name, some in sorted(by_name.items(), key=lambda item: -sum(one["predictions"] for one in item[1]))
    ]


def _span(seconds: float) -> str:
    for length, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"


@click.command()
@click.argument("name")
@click.option("--start", metavar="TIME", help="From this time on  [default: 28 days before the end].")
@click.option("--end", metavar="TIME", help="Up to this time  [default: now].")
@click.option("--column", "columns", multiple=True, metavar="COLUMN", help="Search these only  [default: all].")
@click.option("--effect", default=0.2, show_default=True, help="Smallest difference told, in sd of a row's loss.")
@click.option("--min-rows", default=200, show_default=True, help="Rows that a segment must have.")
@common
def segments(
    name: str,
    *,
    start: str | None,
    end: str | None,
    columns: tuple[str, ...],
    effect: float,
    min_rows: int,
    home: str | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Find the parts of the rows on which NAME is worse than on the rest."""
    view = client(home, url).segments(name, start=start, end=end, columns=columns, effect=effect, min_rows=min_rows)
    if as_json:
        show_json(view)
        return
    click.echo(f"{view['rows']} labelled rows, {view['searched']} segments searched, {view['tested']} tested")
    if view["status"] == "insufficient":
        click.echo(f"That is not enough to tell: {view['reason']}.")
    elif not view["segments"]:
        click.echo(f"None is worse than the rest{': ' + view['reason'] if view['reason'] else ''}.")
    else:
        keys = ("text", "rows", "share", "loss", "rest", "effect", "p")
        header = ("segment", "rows", "share", "loss there", "elsewhere", "effect", "p")
        table([[one[key] for key in keys] for one in view["segments"]], header=header)


COMMANDS: tuple[click.Command, ...] = (accuracy, segments)
