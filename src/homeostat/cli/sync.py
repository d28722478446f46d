"""`homeostat sync`."""

import sys

import click
import msgspec

from homeostat.cli.show import show_json, table
from homeostat.ground.settings import load_settings
from homeostat.sdk.sync import sync as ship
from homeostat.tracking.spool.leftovers import Shipped

_WORDS = {
    "alive": "still written by its process, which ships it",
    "unreadable": "its first record is damaged; it stays where it is",
}


@click.command()
@click.option("--home", metavar="DIR", help="Folder whose spools are shipped  [default: .homeostat; HOMEOSTAT_HOME]")
@click.option("--url", metavar="URL", help="The server to ship to  [default: where each run was to go; HOMEOSTAT_URL]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def sync(*, home: str | None, url: str | None, as_json: bool) -> None:
    """Ship what runs have logged and no server has taken in yet; exit code 3 when some of it has to wait.

    A run whose process is gone without having ended it is marked as killed. Shipping twice is shipping once.
    """

    def say(shipped: Shipped) -> None:
        if not as_json and sys.stderr.isatty():
            click.echo(f"{shipped.run or shipped.spool}  {shipped.state}", err=True)

    results = ship(load_settings(home=home, url=url), on_shipped=say)
    if as_json:
        show_json([msgspec.to_builtins(result) for result in results])
    elif not results:
        click.echo("Nothing is left to ship.")
    else:
        table([_row(result) for result in results], header=("run", "project", "to", "state", "MB", "note"))
    if any(result.state in ("waiting", "refused") for result in results):
        sys.exit(3)


def _row(result: Shipped) -> tuple[str, ...]:
    notes = [
        "killed" if result.was_killed else "",
        f"{result.damaged} bytes were damaged" if result.damaged else "",
        f"{result.rejected} operations refused" if result.rejected else "",
        _WORDS.get(result.state, result.problem),
    ]
    target, size = result.target or "home", f"{result.bytes / 1e6:.2f}"
    return result.run, result.project, target, result.state, size, "; ".join(note for note in notes if note)
