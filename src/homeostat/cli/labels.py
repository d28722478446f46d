"""`homeostat label`: say what was true."""

import sys
from collections.abc import Callable
from typing import Any

import click

from homeostat.cli.options import client, common
from homeostat.cli.show import fields, show_json

_FORMS = "give a FILE, or --value with --request-id or --key"


@click.command()
@click.argument("model")
@click.argument("file", required=False)
@click.option("--request-id", metavar="ID", help="The request that came with the prediction.")
@click.option("--key", "keys", multiple=True, metavar="COLUMN=VALUE", help="Or: a request column and its value.")
@click.option("--time", metavar="TIME", help="With --key: the event time that is meant  [default: all].")
@click.option("--value", help="What was true: a number, true or false, the name of a class.")
@click.option("--at", metavar="TIME", help="When it became known  [default: now].")
@click.option("--within", metavar="DURATION", help="How long before its time a prediction may have been made.")
@click.option("--partial", is_flag=True, help="Leave out rows that are wrong instead of refusing the file.")
@common
def label(
    model: str,
    *,
    file: str | None,
    request_id: str | None,
    keys: tuple[str, ...],
    time: str | None,
    value: str | None,
    at: str | None,
    within: str | None,
    partial: bool,
    home: str | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Send labels of MODEL: a FILE (.ndjson, .csv, .parquet, .arrow), or a single one.

    In tables the columns request_id, value, at and time are what they say; every other column is a key.
    """
    if (file is None) == (value is None) or (value is not None and (request_id is None) == (not keys)):
        raise click.UsageError(_FORMS)
    here = client(home, url)
    if file is not None:
        progress = None if as_json or not sys.stderr.isatty() else _bar()
        result = here.label_file(model, file, within=within, partial=partial, progress=progress)
    else:
        named = dict(map(_pair, keys)) or None
        result = here.label(
            model, request_id=request_id, keys=named, time=time, value=value, at=at, within=within, partial=partial
        )
    _print(result, as_json=as_json)
    if result.get("refused"):
        sys.exit(1)


def _print(result: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show_json(result)
        return
    fields({name: count for name, count in result.items() if name != "errors"})
    for error in result.get("errors", []):
        click.echo(f"  {error['error']}")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{text!r} is not COLUMN=VALUE", param_hint="--key")
    return name, value


def _bar() -> Callable[[int, int], None]:
    def show(sent: int, total: int) -> None:
        end = "\n" if sent >= total else ""
        click.echo(f"\r{sent / max(total, 1):4.0%} of {total / 1e6:.1f} MB sent{end}", nl=False, err=True)

    return show
