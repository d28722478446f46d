"""`homeostat prediction`: what was answered, and what it turned out to be."""

from pathlib import Path

import click

from homeostat.cli.options import client, common
from homeostat.cli.show import fields, show_json, table


@click.group()
def prediction() -> None:
    """The prediction log."""


@prediction.command()
@click.argument("request_id")
@common
def show(request_id: str, *, home: str | None, url: str | None, as_json: bool) -> None:
    """Show what was asked and answered under REQUEST_ID, and what was said of it since."""
    view = client(home, url).prediction(request_id)
    if as_json:
        show_json(view)
        return
    for answer in view["answers"]:
        fields({name: value for name, value in answer.items() if value not in ("", {}, [])})
        click.echo()
    columns = ("model", "value", "at", "recorded", "actor", "believed")
    if view["labels"]:
        table([[label[name] for name in columns] for label in view["labels"]], header=columns)
    else:
        click.echo("No labels yet.")


@prediction.command()
@click.argument("model")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--start", metavar="TIME", help="From this event time on.")
@click.option("--end", metavar="TIME", help="Up to, and without, this event time.")
@common
def export(
    model: str,
    file: Path,
    *,
    start: str | None,
    end: str | None,
    home: str | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Write the log of MODEL to FILE: .parquet or .arrow."""
    if file.suffix not in (".parquet", ".arrow"):
        raise click.UsageError(f"{file.name} says neither .parquet nor .arrow")
    frame = client(home, url).predictions(model, start, end)
    if file.suffix == ".parquet":
        frame.write_parquet(file)
    else:
        frame.write_ipc(file)
    if as_json:
        show_json({"rows": len(frame), "file": str(file)})
    else:
        click.echo(f"{len(frame)} rows in {file}")
