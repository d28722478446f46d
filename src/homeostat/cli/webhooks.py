"""`homeostat webhook`: whom we tell."""

import sys

import click

from homeostat.cli.options import client, common
from homeostat.cli.show import show_json, table


@click.group()
def webhook() -> None:
    """Webhooks: create, ls, rm, test."""


@webhook.command()
@click.argument("name")
@click.argument("target", metavar="URL")
@click.option("--event", "events", multiple=True, help="Such as run.ended, run.*, alias.moved  [default: all]")
@click.option("--description", default="", help="What it is for.")
@click.option("--secret", envvar="HOMEOSTAT_WEBHOOK_SECRET", default="", help="Signs deliveries.")
@common
def create(
    *,
    name: str,
    target: str,
    events: tuple[str, ...],
    description: str,
    secret: str,
    home: str | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Tell URL of events from now on."""
    made = client(home, url).create_webhook(
        name, target, events=events or ("*",), description=description, secret=secret
    )
    if as_json:
        show_json(made)
        return
    signed = "signed" if made["signs"] else "not signed"
    click.echo(f"{made['id']}  {name} hears of {', '.join(made['events'])}  ({signed})")


@webhook.command()
@common
def ls(*, home: str | None, url: str | None, as_json: bool) -> None:
    """List webhooks, newest first."""
    rows = client(home, url).webhooks()
    if as_json:
        show_json(rows)
        return
    if not rows:
        click.echo("No webhooks yet. Make one with: homeostat webhook create NAME URL")
        return
    keys = ("id", "name", "status", "events", "url", "signs")
    table([[row[key] for key in keys] for row in rows], header=keys)


@webhook.command()
@click.argument("webhook_id", metavar="ID")
@common
def rm(*, webhook_id: str, home: str | None, url: str | None, as_json: bool) -> None:
    """Remove the webhook with this ID, and what it was still to hear."""
    row = client(home, url).remove_webhook(webhook_id)
    if as_json:
        show_json(row)
        return
    click.echo(f"{row['name']} is removed")


@webhook.command()
@click.argument("webhook_id", metavar="ID")
@common
def test(*, webhook_id: str, home: str | None, url: str | None, as_json: bool) -> None:
    """Deliver an example to the webhook with this ID; exit code 1 when it is not taken."""
    result = client(home, url).test_webhook(webhook_id)
    if as_json:
        show_json(result)
    else:
        answered = f"answered {result['response_status']}" if "response_status" in result else result["error_message"]
        click.echo(f"{'taken' if result['success'] else 'not taken'}: {answered}")
    if not result["success"]:
        sys.exit(1)
