"""`homeostat model`, `homeostat why`, `homeostat parity`."""

import sys
from typing import Any

import click

from homeostat.cli import accuracy, compiling, intake, packages, register, registry
from homeostat.cli.options import client, common
from homeostat.cli.rollout_show import show_rollout
from homeostat.cli.show import fields, show_json, table


@click.group()
def model() -> None:
    """Models: what is in service, what was, and one call back."""


model.add_command(packages.verify)
model.add_command(packages.export)
model.add_command(compiling.compile_)
model.add_command(intake.watch)
for command in register.COMMANDS + registry.COMMANDS + accuracy.COMMANDS:
    model.add_command(command)


@model.command()
@common
def ls(*, home: str | None, url: str | None, as_json: bool) -> None:
    """List models."""
    rows = client(home, url).models()
    if as_json:
        show_json(rows)
        return
    if not rows:
        click.echo("No models yet. Declare one with: homeostat apply FILE")
        return
    keys = ("name", "task", "champion", "challenger", "versions", "rollout", "alarms")
    table([[row[key] for key in keys] for row in rows], header=keys)


@model.command()
@click.argument("name")
@common
def show(name: str, *, home: str | None, url: str | None, as_json: bool) -> None:
    """Show one model: versions, aliases, ledger, cycles."""
    view = client(home, url).model(name)
    if as_json:
        show_json(view)
        return
    fields({key: view[key] for key in ("name", "task", "champion", "challenger", "rollout", "alarms", "counts")})
    click.echo()
    table(
        [
            (
                item["version"],
                item["created"],
                item["flavor"],
                item["scorer"]["kind"],
                _metrics(item["metrics"]),
                item["cause"],
            )
            for item in view["versions"]
        ],
        header=("version", "created", "flavor", "scorer", "metrics", "cause"),
    )
    for item in view["versions"][:1]:
        click.echo(f"\n{item['scorer']['kind']} scorer of version {item['version']}: {item['scorer']['why']}")
    click.echo()
    ledger = [row for row in view["ledger"] if row["alias"] == "champion"]
    table(
        [
            (row["at"], row["from_version"], row["to_version"], row["kind"], row["actor"], row["reason"])
            for row in ledger
        ],
        header=("champion since", "from", "to", "kind", "actor", "reason"),
    )


@click.command()
@click.argument("name")
@click.option("--last", default=20, show_default=True, help="How many of the newest events to print.")
@common
def why(name: str, *, last: int, home: str | None, url: str | None, as_json: bool) -> None:
    """Why did NAME (not) retrain, promote, roll back?"""
    view = client(home, url).why(name)
    if as_json:
        show_json(view)
        return
    click.echo(f"{name} retrains when: {' or '.join(view['rules']) or 'never (no rule declared)'}")
    if view["blocked"]:
        click.echo(f"{view['blocked']}; see: homeostat alarms list --model {name}")
    for cycle in view["cycles"]:
        outcome = cycle["outcome"] or cycle["state"]
        click.echo(f"\n{cycle['as_of']}  {cycle['cause']}  ->  {outcome}")
        if cycle["evidence"]:
            click.echo(f"    evidence: {_metrics(cycle['evidence'])}")
        if cycle["reason"]:
            click.echo(f"    because: {cycle['reason']}")
    for found in view["rollouts"][-last:]:
        click.echo()
        show_rollout(found)
    click.echo()
    events = view["events"][-last:]
    table(
        [(event["at"], event["kind"], event["actor"], event["reason"]) for event in events],
        header=("at", "event", "actor", "reason"),
    )


@click.command()
@click.argument("name")
@click.option("--sample", default=5000, show_default=True, help="Logged predictions to recompute.")
@common
def parity(name: str, *, sample: int, home: str | None, url: str | None, as_json: bool) -> None:
    """Recompute served feature vectors of NAME from the sources; exit code 1 when one differs."""
    report = client(home, url).parity(name, sample=sample)
    if as_json:
        show_json(report)
    else:
        click.echo(f"{report['checked']} vectors checked, {report['mismatched']} mismatched")
        for example in report["examples"]:
            served, recomputed = example["served"], example["recomputed"]
            click.echo(f"  {example['request_id']} {example['feature']}: served {served}, recomputed {recomputed}")
    if report["mismatched"]:
        sys.exit(1)


def _metrics(values: dict[str, Any]) -> str:
    parts = (f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}" for key, value in values.items())
    return ", ".join(parts)
