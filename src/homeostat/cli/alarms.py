"""`homeostat alarms`: what is wrong, and who is on it."""

from typing import Any

import click

from homeostat.cli.options import client, common
from homeostat.cli.show import fields, show_json, table

_reason = click.option("--reason", default="", help="Why; kept in the event log.")
_actor = click.option("--as", "actor", default="person", metavar="WHO", help="Who does it, where no tokens are used.")
Plain = dict[str, Any]


@click.group(invoke_without_command=True)
@click.pass_context
def alarms(context: click.Context) -> None:
    """Alarms: list, show, ack, mute, unmute, close."""
    if context.invoked_subcommand is None:
        context.invoke(list_)


@alarms.command("list")
@click.option("--model", metavar="NAME", help="Of this model only.")
@click.option("--state", help="open, acknowledged, muted, closed or all  [default: what is not closed]")
@click.option("--severity", help="This and worse: info, warn or page.")
@click.option("--limit", default=50, show_default=True, help="How many of the newest.")
@common
def list_(
    *,
    model: str | None = None,
    state: str | None = None,
    severity: str | None = None,
    limit: int = 50,
    home: str | None = None,
    url: str | None = None,
    as_json: bool = False,
) -> None:
    """List alarms, those that opened last first."""
    rows = client(home, url).alarms.list(model=model, state=state, severity=severity, limit=limit)
    if as_json:
        show_json(rows)
        return
    if not rows:
        click.echo("No alarms.")
        return
    table(
        [
            (
                row["id"],
                row["severity"],
                row["state"],
                row["model"],
                f"{row['kind']} {row['subject']}".strip(),
                row["since"],
                row["count"],
                row["acknowledged_by"],
            )
            for row in rows
        ],
        header=("id", "severity", "state", "model", "what", "since", "checks", "acknowledged by"),
    )


@alarms.command()
@click.argument("alarm")
@common
def show(alarm: str, *, home: str | None, url: str | None, as_json: bool) -> None:
    """Show one ALARM: its numbers at first and now, and who was told."""
    view = client(home, url).alarms.get(alarm)
    if as_json:
        show_json(view)
        return
    told = view.pop("told")
    fields({name: value for name, value in view.items() if value not in (None, "", 0, {})})
    if told:
        click.echo()
        keys = ("channel", "at", "delivery", "error")
        table([[one[key] for key in keys] for one in told], header=("told", "at", "delivery", "error"))


@alarms.command()
@click.argument("alarm")
@click.option("--comment", "-m", default="", help="What is being done about it.")
@_actor
@common
def ack(alarm: str, *, comment: str, actor: str, home: str | None, url: str | None, as_json: bool) -> None:
    """Say that somebody is on ALARM, so that nobody else is called."""
    _print(client(home, url).alarms.ack(alarm, comment=comment, actor=actor), as_json=as_json)


@alarms.command()
@click.argument("alarm")
@click.option("--for", "until", required=True, metavar="DURATION|TIME", help="How long, such as 7d, or until when.")
@_reason
@_actor
@common
def mute(alarm: str, *, until: str, reason: str, actor: str, home: str | None, url: str | None, as_json: bool) -> None:
    """Tell nobody of ALARM for a while, also when it closes and opens anew."""
    _print(client(home, url).alarms.mute(alarm, until, reason=reason, actor=actor), as_json=as_json)


@alarms.command()
@click.argument("alarm")
@_reason
@_actor
@common
def unmute(alarm: str, *, reason: str, actor: str, home: str | None, url: str | None, as_json: bool) -> None:
    """End the mute of ALARM."""
    _print(client(home, url).alarms.unmute(alarm, reason=reason, actor=actor), as_json=as_json)


@alarms.command()
@click.argument("alarm")
@_reason
@_actor
@common
def close(alarm: str, *, reason: str, actor: str, home: str | None, url: str | None, as_json: bool) -> None:
    """Close ALARM by hand; the next check opens it again when it is still so."""
    _print(client(home, url).alarms.close(alarm, reason=reason, actor=actor), as_json=as_json)


def _print(view: Plain, *, as_json: bool) -> None:
    if as_json:
        show_json(view)
        return
    until = f" until {view['muted_until']}" if view["state"] == "muted" else ""
    click.echo(f"{view['model']}: {view['kind']} {view['subject']} is {view['state']}{until}")
