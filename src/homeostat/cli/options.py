"""Options that commands share."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from homeostat import connect
from homeostat.sdk.client import Client

Function = TypeVar("Function", bound=Callable[..., Any])


def common(function: Function) -> Function:
    """`--home`, `--url`, `--json`: where the state is, and how to print."""
    decorators = [
        click.option("--home", metavar="DIR", help="Folder of the state  [default: .homeostat; HOMEOSTAT_HOME]"),
        click.option("--url", metavar="URL", help="A running server instead of a folder  [HOMEOSTAT_URL]"),
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    ]
    for decorator in reversed(decorators):
        function = decorator(function)
    return function


def client(home: str | None, url: str | None) -> Client:
    """The client that the options name."""
    return connect(home, url=url)


def parse_params(pairs: tuple[str, ...]) -> dict[str, Any]:
    """`KEY=VALUE` pairs; numbers and true/false are read as such."""
    return dict(_pair(text) for text in pairs)


def _pair(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise click.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="--param")
    return key, _value(value)


def _value(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
