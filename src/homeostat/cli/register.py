"""`homeostat model register`: a saved model becomes a version; `model inspect`, `model retire`."""

from pathlib import Path
from typing import Any

import click
import msgspec

from homeostat.cli.options import client, common
from homeostat.cli.show import fields, show_json
from homeostat.compat.mlflow.mlmodel import FILE, signature_in
from homeostat.registry.formats.mlflow_model import example_of

Plain = dict[str, Any]


@click.command()
@click.argument("name")
@click.argument("path", metavar="FILE|DIR", type=click.Path(path_type=Path, exists=True))
@click.option("--inputs", metavar="NAMES", help="Its columns in order, with commas, where the file does not name them.")
@click.option("--task", default="", help="binary, multiclass or regression, where the file does not say.")
@click.option("--classes", default="", metavar="NAMES", help="Names of its classes in order, with commas.")
@click.option("--outputs", default="", metavar="NAMES", help="Names of what it gives in order, with commas.")
@click.option("--metric", "metrics", multiple=True, metavar="NAME=VALUE", help="A metric of its evaluation.")
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", help="A tag of the version.")
@click.option("--run", metavar="ID", help="The run that it came from.")
@click.option("--description", default="", help="What it is.")
@common
def register(
    name: str,
    path: Path,
    *,
    inputs: str | None,
    task: str,
    classes: str,
    outputs: str,
    metrics: tuple[str, ...],
    tags: tuple[str, ...],
    run: str | None,
    description: str,
    home: str | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Register a saved model under NAME: ONNX, skops, LightGBM, XGBoost, or a folder that MLflow wrote."""
    named, example = _said_in(path) if path.is_dir() else (None, None)
    made = client(home, url).registry.register(
        path,
        name,
        inputs=_names(inputs) if inputs else named,
        example=None if inputs else example,
        task=task,
        classes=_names(classes),
        outputs=_names(outputs),
        evaluation={key: _number(key, value) for key, value in map(_pair, metrics)},
        tags=dict(map(_pair, tags)),
        run=run,
        description=description,
    )
    _show(made, as_json)


@click.command()
@click.argument("ref", metavar="NAME[@VERSION]")
@common
def inspect(ref: str, *, home: str | None, url: str | None, as_json: bool) -> None:
    """What a version takes and gives; looked at now, in a process of its own, when it is not known."""
    _show(client(home, url).registry.inspect(ref), as_json)


@click.command()
@click.argument("name")
@click.option("--reason", default="asked for by a person", show_default=True, help="Why; kept in the ledger.")
@click.option("--as", "actor", default="person", metavar="WHO", help="Who does it, where no tokens are used.")
@common
def retire(name: str, *, reason: str, actor: str, home: str | None, url: str | None, as_json: bool) -> None:
    """Take NAME out of service: rollouts stop, its endpoint goes, its champion stands down."""
    done = client(home, url).registry.retire(name, reason=reason, actor=actor)
    if as_json:
        show_json(done)
    else:
        click.echo(f"{name} is out of service; undo: homeostat model rollback {name}")


COMMANDS = (register, inspect, retire)


def _show(version: Plain, as_json: bool) -> None:  # noqa: FBT001  the flag every command has
    if as_json:
        show_json(version)
        return
    signature = version["signature"]
    fields({"version": version["ref"], "answers": signature["task"] or "-"})
    if signature["obstacle"]:
        click.echo(f"cannot be served: {signature['obstacle']}")
    takes = [f"{column['name']} ({_spoken(column)})" for column in signature["inputs"]]
    click.echo(f"takes: {', '.join(takes) or 'not known'}")
    if gives := signature["classes"] or signature["outputs"]:
        click.echo(f"gives: {', '.join(gives)}")


def _spoken(column: Plain) -> str:
    return f"{column['dtype']}, may be missing" if column["nullable"] else str(column["dtype"])


def _said_in(folder: Path) -> tuple[list[str] | None, Plain | None]:
    """The columns that MLmodel names, and the example that was logged, if any."""
    described = folder / FILE
    signature = signature_in(described.read_text(errors="replace")) if described.is_file() else None
    if signature is None or not signature.inputs:
        return None, None
    names = [column.name for column in signature.inputs]
    held = {file.name: file.read_bytes() for file in folder.glob("input_example.json")}
    row = example_of(held, signature)
    return names, dict(zip(names, ([value] for value in row), strict=True)) if row else None


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise click.UsageError(f"{text!r} is not KEY=VALUE")
    return key, value


def _number(key: str, text: str) -> float:
    try:
        return msgspec.convert(text, float, strict=False)
    except msgspec.ValidationError:
        raise click.UsageError(f"metric {key} is {text!r}, not a number") from None
