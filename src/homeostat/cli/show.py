"""Printing: JSON for machines, aligned text for people."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
import msgspec


def show_json(data: Any) -> None:
    """One JSON document on stdout."""
    click.echo(msgspec.json.format(msgspec.json.encode(data), indent=2).decode())


def table(rows: Iterable[Sequence[Any]], *, header: Sequence[str]) -> None:
    """Columns as wide as their widest cell; missing values are a dash."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(line[index]) for line in [list(header), *cells]) for index in range(len(header))]
    for number, line in enumerate([list(header), *cells]):
        text = "  ".join(value.ljust(width) for value, width in zip(line, widths, strict=True)).rstrip()
        click.echo(click.style(text, bold=True) if number == 0 else text)


def fields(data: Mapping[str, Any]) -> None:
    """One `name: value` line each."""
    width = max((len(key) for key in data), default=0)
    for key, value in data.items():
        click.echo(f"{key.ljust(width)}  {_cell(value)}")


def _cell(value: Any) -> str:
    if value is None or value in ("", [], {}):
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_cell(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_cell(item) for item in value)
    return str(value)
