"""`homeostat run`."""

from pathlib import Path
from typing import Any

import click

from homeostat.cli.options import client, common
from homeostat.cli.show import fields, show_json, table
from homeostat.cli.sparkline import sparkline
from homeostat.sdk.tracking_client import View


@click.group()
def run() -> None:
    """Runs: what was trained, from what, with which result."""


@run.command()
@click.option(
    "--project", "projects", multiple=True, help="Only these (a model's runs are in the project of its name)."
)
@click.option("--filter", "text", default="", help="Such as: metrics.loss < 0.3 and params.depth = '3'")
@click.option("--order-by", multiple=True, help="Such as: 'metrics.loss ASC'; the newest first when nothing is said.")
@click.option("--columns", default="", help="Params and metrics to show, such as params.depth,metrics.loss")
@click.option("--trash", is_flag=True, help="Those in the trash.")
@click.option("--limit", default=50, show_default=True)
@common
def ls(
    *,
    projects: tuple[str, ...],
    text: str,
    order_by: tuple[str, ...],
    columns: str,
    trash: bool,
    limit: int,
    home: str | None,
    url: str | None,
    as_json: bool,
) -> None:
    """List runs that a filter lets through."""
    tracking = client(home, url).tracking
    wanted = [part.strip() for part in columns.split(",") if part.strip()]
    view: View = "deleted" if trash else "active"
    page = tracking.search(
        text,
        projects=projects,
        order_by=order_by,
        view=view,
        limit=limit,
        params=None if as_json else _named(wanted, "params"),
        metrics=None if as_json else _named(wanted, "metrics"),
    )
    if as_json:
        show_json(page)
        return
    if not page["runs"]:
        click.echo("No such runs. Start one with: homeostat train MODEL, or hs.run(...) in Python")
        return
    keys = ("id", "project", "name", "status", "started")
    rows = [[item[key] for key in keys] + [_cell(item, name) for name in wanted] for item in page["runs"]]
    table(rows, header=(*keys, *wanted))
    if page["next_page_token"]:
        total = tracking.count(text, projects=projects, view=view)
        click.echo(f"{len(page['runs'])} of {total:,} runs; more with --limit")


@run.command()
@click.argument("run_id")
@common
def show(run_id: str, *, home: str | None, url: str | None, as_json: bool) -> None:
    """Show one run: params, metrics, inputs, code, artifacts."""
    view = client(home, url).run(run_id)
    if as_json:
        show_json(view)
        return
    about, code = view["run"], view["code"]
    fields({key: about[key] for key in ("id", "project", "name", "status", "cause", "started", "ended")})
    fields({"commit": code.get("commit"), "dirty": code.get("dirty"), "inputs": view["inputs"]})
    for part in ("params", "metrics", "tags"):
        click.echo(f"\n{part}")
        fields(view[part])
    click.echo()
    table(
        [(item["path"], item["size"], item["digest"][:12]) for item in view["artifacts"]],
        header=("artifact", "bytes", "digest"),
    )
    if about["error"]:
        click.echo(f"\n{about['error']}")


@run.command()
@click.argument("run_id")
@click.argument("metric")
@click.option("--points", default=200, show_default=True, help="Most points to ask for.")
@click.option("--x", default="step", show_default=True, help="step, time, or another metric.")
@common
def history(run_id: str, metric: str, *, points: int, x: str, home: str | None, url: str | None, as_json: bool) -> None:
    """Draw a METRIC of a run; minima and maxima are never thinned out."""
    found = client(home, url).tracking.history(run_id, metric, points=points, x=x)
    if as_json:
        show_json(found)
        return
    values = [value for value in found["values"] if value is not None]
    click.echo(f"{metric}  {sparkline(found['values'], width=80)}")
    fields(
        {
            "shown": f"{found['shown']:,} of {found['points']:,} points",
            x: f"{found['xs'][0]:g} .. {found['xs'][-1]:g}" if found["xs"] else None,
            "lowest": min(values, default=None),
            "highest": max(values, default=None),
            "last": found["values"][-1] if found["values"] else None,
        }
    )


@run.command()
@click.argument("run_ids", nargs=-1, required=True)
@click.option("--all", "everything", is_flag=True, help="Params that are equal, too.")
@common
def compare(run_ids: tuple[str, ...], *, everything: bool, home: str | None, url: str | None, as_json: bool) -> None:
    """Put runs beside each other: params that differ, metrics, code, environment and data against the first one."""
    found = client(home, url).tracking.compare(run_ids)
    if as_json:
        show_json(found)
        return
    header = ("", *(item["name"] or item["id"][:8] for item in found["runs"]))
    names = found["params"] if everything else found["params_that_differ"]
    rows = [(f"params.{name}", *found["params"][name]) for name in names]
    rows += [
        (f"metrics.{name}", *(cell and cell["last"] for cell in cells)) for name, cells in found["metrics"].items()
    ]
    rows.append(("commit", *(item["commit"] and item["commit"][:10] for item in found["code"])))
    rows.append(("patch", *("same" if item["same_patch"] else "differs" for item in found["code"])))
    rows.append(("packages that differ", *(len(item["packages"]) for item in found["environment"])))
    rows.append(("data", *(_data(item) for item in found["data"])))
    table(rows, header=header)


@run.command()
@click.argument("run_id")
@common
def rm(run_id: str, *, home: str | None, url: str | None, as_json: bool) -> None:
    """Put a run into the trash."""
    found = client(home, url).tracking.delete_run(run_id)
    if as_json:
        show_json(found)
    else:
        click.echo(f"{run_id} is in the trash; undo: homeostat run restore {run_id}")


@run.command()
@click.argument("run_id")
@common
def restore(run_id: str, *, home: str | None, url: str | None, as_json: bool) -> None:
    """Take a run out of the trash."""
    found = client(home, url).tracking.restore_run(run_id)
    if as_json:
        show_json(found)
    else:
        click.echo(f"{run_id} is back")


@run.command()
@click.argument("run_id")
@click.argument("path")
@click.argument("target", type=click.Path(path_type=Path), required=False)
@common
def download(run_id: str, path: str, target: Path | None, *, home: str | None, url: str | None, as_json: bool) -> None:
    """Fetch the run's file PATH into TARGET  [default: its own name, here]."""
    place = target or Path(path.rpartition("/")[2])
    place = place / path.rpartition("/")[2] if place.is_dir() else place
    data = client(home, url).tracking.file(run_id, path)
    place.write_bytes(data)
    if as_json:
        show_json({"path": str(place), "bytes": len(data)})
    else:
        click.echo(f"{place} ({len(data):,} bytes)")


def _named(columns: list[str], kind: str) -> list[str]:
    return [name.partition(".")[2] for name in columns if name.startswith(f"{kind}.")]


def _cell(item: dict[str, Any], name: str) -> Any:
    kind, _, key = name.partition(".")
    value = item.get(kind, {}).get(key)
    return value["last"] if isinstance(value, dict) else value


def _data(item: dict[str, Any]) -> str:
    if not item["added"] and not item["removed"]:
        return "same"
    return f"+{len(item['added'])} -{len(item['removed'])}"
