"""`homeostat model watch` and `homeostat monitor`: models that are served elsewhere."""

import sys
from typing import Any

import click

from homeostat.cli.options import client, common
from homeostat.cli.show import fields, show_json, table

Plain = dict[str, Any]


@click.command()
@click.argument("name")
@click.option("--task", required=True, help="binary, multiclass or regression.")
@click.option("--reference", metavar="FILE", help="Rows it was trained on: .parquet, .csv, .ndjson or .arrow.")
@click.option("--version", "label", default="1", show_default=True, help="What this version is called there.")
@click.option("--feature", "features", multiple=True, metavar="NAME[:DTYPE]", help="A column to watch  [default: all].")
@click.option("--key", "keys", multiple=True, metavar="NAME[:DTYPE]", help="A column that says what a row is about.")
@click.option("--classes", default="", metavar="NAMES", help="Names of its classes, with commas.")
@click.option("--column", "columns", multiple=True, metavar="FIELD=NAME", help="Such as time=ts, score=p, label=y.")
@click.option("--metric", "metrics", multiple=True, metavar="NAME=VALUE", help="What it scored when it was judged.")
@click.option("--accuracy", "accuracy", multiple=True, metavar="METRIC", help="Alarm when it gets worse on labels.")
@click.option("--worse-by", default=0.1, show_default=True, help="By what share.")
@click.option("--window", default="7d", show_default=True, help="Over which time accuracy and drift are judged.")
@click.option("--alarms-per-month", default=1.0, show_default=True, help="False alarms of drift that are allowed.")
@click.option("--p99", metavar="DURATION", help="Alarm when more than one answer in a hundred is slower.")
@click.option("--errors", default=0.01, show_default=True, help="Alarm when more than this share fails.")
@click.option("--description", default="", help="What it is.")
@common
def watch(
    name: str,
    *,
    task: str,
    reference: str | None,
    label: str,
    features: tuple[str, ...],
    keys: tuple[str, ...],
    classes: str,
    columns: tuple[str, ...],
    metrics: tuple[str, ...],
    accuracy: tuple[str, ...],
    worse_by: float,
    window: str,
    alarms_per_month: float,
    p99: str | None,
    errors: float,
    description: str,
    home: str | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Watch a model NAME that is served elsewhere; no package is needed."""
    rules: list[Plain] = [{"kind": "data_drift", "alarms_per_month": alarms_per_month, "window": window}]
    rules += [{"kind": "errors", "below": errors}]
    rules += [{"kind": "accuracy", "metric": one, "window": window, "worse_by": worse_by} for one in accuracy]
    rules += [{"kind": "latency", "p99": p99}] if p99 else []
    made = client(home, url).monitors.watch(
        name,
        task=task,
        reference=reference,
        version=label,
        features=[_column(one) for one in features],
        keys=[_column(one) for one in keys],
        classes=[one.strip() for one in classes.split(",") if one.strip()],
        columns=dict(_pair(one, "--column") for one in columns),
        metrics={key: _number(value) for key, value in (_pair(one, "--metric") for one in metrics)},
        watch=rules,
        description=description,
    )
    if as_json:
        show_json(made)
        return
    fitted = made["reference"]
    click.echo(f"{name}@{made['version']} ({label}) is watched: {', '.join(made['features'])}")
    for rule in made["watch"]:
        click.echo(f"  {rule}")
    if fitted is None:
        click.echo("  without a reference: there is nothing to compare its rows with")
        return
    click.echo(f"  compared with {fitted['rows']} rows")
    for column, why in fitted["left_out"].items():
        click.echo(f"  left out {column}: {why}")


@click.group()
def monitor() -> None:
    """Models that are served elsewhere: ls, show, rm, send, add-table, tables, read-table, rm-table."""


@monitor.command()
@common
def ls(*, home: str | None, url: str | None, as_json: bool) -> None:
    """List the models that are served elsewhere and watched here."""
    rows = client(home, url).monitors.list()
    if as_json:
        show_json(rows)
        return
    if not rows:
        click.echo("No model is watched from elsewhere. Begin with: homeostat model watch NAME --help")
        return
    keys = ("name", "version", "checked", "watch")
    table([[row[key] for key in keys] for row in rows], header=keys)


@monitor.command()
@click.argument("name")
@common
def show(name: str, *, home: str | None, url: str | None, as_json: bool) -> None:
    """Show what is watched of NAME, and what the newest check said."""
    view = client(home, url).monitors.get(name)
    if as_json:
        show_json(view)
        return
    fields({key: view[key] for key in ("name", "version", "versions", "watch", "columns", "checked")})
    click.echo()
    keys = ("kind", "subject", "status", "evidence")
    if view["checks"]:
        table([[one[key] for key in keys] for one in view["checks"]], header=keys)
    else:
        click.echo("It has not been checked yet.")


@monitor.command()
@click.argument("name")
@common
def rm(name: str, *, home: str | None, url: str | None, as_json: bool) -> None:
    """Watch NAME no longer; what it answered stays."""
    row = client(home, url).monitors.remove(name)
    if as_json:
        show_json(row)
        return
    click.echo(f"{name} is watched no longer")


@monitor.command()
@click.argument("name")
@click.argument("file")
@click.option("--partial", is_flag=True, help="Leave out rows that are wrong instead of refusing the file.")
@common
def send(name: str, file: str, *, partial: bool, home: str | None, url: str | None, as_json: bool) -> None:
    """Send FILE (.ndjson, .csv, .parquet, .arrow) of what NAME answered; exit code 1 when rows were refused."""
    result = client(home, url).monitors.send(name, file, partial=partial)
    if as_json:
        show_json(result)
    else:
        fields({key: value for key, value in result.items() if key != "errors"})
        for error in result.get("errors", []):
            click.echo(f"  {error['row']}: {error['field']}: {error['error']}")
    if result.get("refused"):
        sys.exit(1)


@monitor.command("add-table")
@click.argument("model")
@click.option("--url", "target", required=True, envvar="HOMEOSTAT_TABLE_URL", help="SQLAlchemy's, or Parquet files.")
@click.option("--name", help="What the table is called here  [default: the model's name].")
@click.option("--table", "table_name", default="", metavar="NAME", help="The table.")
@click.option("--query", default="", metavar="SELECT", help="Or a select.")
@click.option("--time-column", default="time", show_default=True, help="The event time of a row.")
@click.option("--cursor-column", default="", help="What grows as rows come in  [default: the time].")
@click.option("--every", default="10min", show_default=True, help="How often it is read.")
@click.option("--overlap", default="1h", show_default=True, help="How far back each look reads again, for late rows.")
@click.option("--time-unit", default="us", show_default=True, help="Of times that are numbers: s, ms, us, ns.")
@click.option("--column", "columns", multiple=True, metavar="FIELD=NAME", help="Such as request_id=id, score=p.")
@click.option("--since", help="Where the cursor begins  [default: the first row].")
@click.option("--home", metavar="DIR", help="Folder of the state  [default: .homeostat; HOMEOSTAT_HOME]")
@click.option("--server", metavar="URL", help="A running server instead of a folder  [HOMEOSTAT_URL]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def add_table(
    model: str,
    *,
    target: str,
    name: str | None,
    table_name: str,
    columns: tuple[str, ...],
    home: str | None,
    server: str | None,
    as_json: bool,
    **said: Any,
) -> None:
    """Read what MODEL answers from a table on a schedule.

    A URL with a password in it need not be on the command line: HOMEOSTAT_TABLE_URL. --url is the table's here; the
    server's is --server.
    """
    made = client(home, server).monitors.add_table(
        name or model,
        target,
        model=model,
        table=table_name,
        columns=dict(_pair(one, "--column") for one in columns),
        **said,
    )
    if as_json:
        show_json(made)
        return
    click.echo(
        f"{made['name']} is read from {made['target']}; try it with: homeostat monitor read-table {made['name']}"
    )


@monitor.command()
@click.option("--model", metavar="NAME", help="Of this model only.")
@common
def tables(*, model: str | None, home: str | None, url: str | None, as_json: bool) -> None:
    """List tables, how far they were read, and what went wrong."""
    rows = client(home, url).monitors.tables(model=model)
    if as_json:
        show_json(rows)
        return
    keys = ("name", "model", "target", "read_at", "rows", "refused", "failures", "error")
    table([[row[key] for key in keys] for row in rows], header=keys)


@monitor.command("read-table")
@click.argument("name")
@common
def read_table(name: str, *, home: str | None, url: str | None, as_json: bool) -> None:
    """Read what is new in the table NAME now; exit code 1 when that fails."""
    look = client(home, url).monitors.read_table(name)
    if as_json:
        show_json(look)
    else:
        fields(look)
    if look.get("error"):
        sys.exit(1)


@monitor.command("rm-table")
@click.argument("name")
@common
def rm_table(name: str, *, home: str | None, url: str | None, as_json: bool) -> None:
    """Read the table NAME no longer; what was read stays."""
    row = client(home, url).monitors.remove_table(name)
    if as_json:
        show_json(row)
        return
    click.echo(f"{name} is read no longer")


def _column(text: str) -> str | Plain:
    name, colon, dtype = text.rpartition(":")
    return {"name": name, "dtype": dtype} if colon else text


def _pair(text: str, option: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key or not value:
        raise click.BadParameter(f"{text!r} is not KEY=VALUE", param_hint=option)
    return key, value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no number", param_hint="--metric") from error
