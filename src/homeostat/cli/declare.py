"""`homeostat apply` and `homeostat train`."""

import sys
from pathlib import Path
from typing import Any

import click

from homeostat.cli.options import client, common, parse_params
from homeostat.cli.show import show_json
from homeostat.ground.errors import UserCodeFailed


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Print the plan; change nothing.")
@common
def apply(file: Path, *, dry_run: bool, home: str | None, url: str | None, as_json: bool) -> None:
    """Declare the models of FILE: validate everything, then change everything, and print what changed."""
    lines = client(home, url).apply(file, dry_run=dry_run)
    if as_json:
        show_json({"plan": lines, "applied": not dry_run})
        return
    for line in lines:
        marks = {"new": ("+", "green"), "changed": ("~", "yellow"), "unchanged": ("=", None)}
        mark, colour = marks[line["change"]]
        click.echo(click.style(f"{mark} {line['model']}  {line['change']}", fg=colour))
        for field in line["fields"]:
            click.echo(f"    {field}")
    changed = sum(line["change"] != "unchanged" for line in lines)
    what = "would change" if dry_run else "applied"
    click.echo(f"{changed} of {len(lines)} models {what}." if changed else "Nothing to change.")


@click.command()
@click.argument("model")
@click.option("--param", "params", multiple=True, metavar="KEY=VALUE", help="Given to the function as run.params.")
@click.option("--force", is_flag=True, help="Release even when a gate fails; recorded with the reason.")
@click.option("--reason", default="asked for by a person", show_default=True, help="Why; kept in the ledger.")
@common
def train(
    model: str,
    *,
    params: tuple[str, ...],
    force: bool,
    reason: str,
    home: str | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Run one cycle of MODEL: collect, train, evaluate, gate, register, start the rollout."""

    def say(step: str) -> None:
        if not as_json:
            click.echo(f"  {step} done")

    cycle = client(home, url).train(model, params=parse_params(params), force=force, reason=reason, progress=say)
    if as_json:
        show_json(cycle)
    else:
        _describe(cycle)
    if cycle["state"] == "failed":
        if not as_json:
            raise UserCodeFailed(cycle["reason"], next_step=f"homeostat run show {cycle['run']}")
        sys.exit(1)
    if cycle["outcome"] == "rejected":
        sys.exit(1)


def _describe(cycle: dict[str, Any]) -> None:
    outcome = cycle["outcome"] or cycle["state"]
    version = f" version {cycle['version']}" if cycle["version"] else ""
    click.echo(f"{cycle['model']}{version}: {outcome}")
    if cycle["reason"]:
        click.echo(f"  {cycle['reason']}")
    click.echo(f"  run {cycle['run']}")
