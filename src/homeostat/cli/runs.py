"""`homeostat run`."""

import click

from homeostat.cli.options import client, common
from homeostat.cli.show import fields, show_json, table


@click.group()
def run() -> None:
    """Runs: what was trained, from what, with which result."""


@run.command()
@click.option("--project", help="Only this project (a model's runs are in the project of its name).")
@click.option("--limit", default=50, show_default=True)
@common
def ls(*, project: str | None, limit: int, home: str | None, url: str | None, as_json: bool) -> None:
    """List runs, newest first."""
    rows = client(home, url).runs(project=project, limit=limit)
    if as_json:
        show_json(rows)
        return
    if not rows:
        click.echo("No runs yet. Start one with: homeostat train MODEL, or hs.run(...) in Python")
        return
    keys = ("id", "project", "name", "status", "cause", "started")
    table([[row[key] for key in keys] for row in rows], header=keys)


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
    for part in ("params", "metrics"):
        click.echo(f"\n{part}")
        fields(view[part])
    click.echo()
    table(
        [(item["path"], item["size"], item["digest"][:12]) for item in view["artifacts"]],
        header=("artifact", "bytes", "digest"),
    )
    if about["error"]:
        click.echo(f"\n{about['error']}")
