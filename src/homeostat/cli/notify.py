"""`homeostat notify`: who is told of alarms."""

import sys
from typing import Any

import click

from homeostat.cli.options import client, common
from homeostat.cli.show import show_json, table


@click.group()
def notify() -> None:
    """Channels that are told of alarms: add, ls, rm, test."""


@notify.command()
@click.argument("name")
@click.argument("target", metavar="URL", envvar="HOMEOSTAT_NOTIFY_TARGET")
@click.option("--severity", default="warn", show_default=True, help="This and worse: info, warn or page.")
@click.option("--model", default="*", show_default=True, metavar="PATTERN", help="Models like 'late*'.")
@click.option("--kind", default="*", show_default=True, metavar="PATTERN", help="Rules like 'data_*'.")
@click.option("--after", default="0s", metavar="DURATION", help="Only what nobody has acknowledged for so long.")
@click.option("--on", "changes", multiple=True, help="opened, reopened, raised, acknowledged, closed  [default: all]")
@click.option("--quiet", default="", metavar="HH:MM-HH:MM", help="Hours in which only a page gets through.")
@click.option("--zone", default="UTC", show_default=True, help="Whose hours those are, such as Europe/Berlin.")
@click.option("--digest", default=5, show_default=True, help="More changes than this at once are one message.")
@common
def add(
    name: str,
    target: str,
    *,
    changes: tuple[str, ...],
    home: str | None,
    url: str | None,
    as_json: bool,
    **wants: Any,
) -> None:
    """Tell URL (https://..., slack://..., mailto://..., any of apprise's) of alarms.

    A URL with a password in it need not be on the command line: HOMEOSTAT_NOTIFY_TARGET.
    """
    made = client(home, url).channels.add(name, target, changes=changes, **wants)
    if as_json:
        show_json(made)
        return
    click.echo(f"{name} is told by {made['target']}; try it with: homeostat notify test {name}")


@notify.command()
@common
def ls(*, home: str | None, url: str | None, as_json: bool) -> None:
    """List channels; of their URLs only what is no secret."""
    rows = client(home, url).channels.list()
    if as_json:
        show_json(rows)
        return
    if not rows:
        click.echo("Nobody is told of alarms. Add somebody with: homeostat notify add NAME URL")
        return
    keys = ("severity", "model", "kind", "quiet", "zone")
    lines = [
        (row["name"], row["target"], *(row["wants"][key] for key in keys), f"{row['wants']['after'] / 6e7:g} min")
        for row in rows
    ]
    table(lines, header=("name", "target", *keys, "after"))


@notify.command()
@click.argument("channel")
@common
def rm(channel: str, *, home: str | None, url: str | None, as_json: bool) -> None:
    """Remove CHANNEL, and what it was still to hear."""
    row = client(home, url).channels.remove(channel)
    if as_json:
        show_json(row)
        return
    click.echo(f"{row['name']} is removed")


@notify.command()
@click.argument("channel")
@common
def test(channel: str, *, home: str | None, url: str | None, as_json: bool) -> None:
    """Send CHANNEL an example now; exit code 1 when it is not taken."""
    result = client(home, url).channels.test(channel)
    if as_json:
        show_json(result)
    else:
        click.echo("taken" if result["success"] else f"not taken: {result['error']}")
    if not result["success"]:
        sys.exit(1)
