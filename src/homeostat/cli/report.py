"""`homeostat report`: one file of rows against another."""

import sys
from pathlib import Path

import click

from homeostat import DataDefinition, DataDriftPreset, Report, Snapshot, TargetDriftPreset
from homeostat.cli.show import show_json, table

EXIT_CODES = {"ok": 0, "alarm": 1, "insufficient": 3}
_WORDS = {"ok": "no alarm", "alarm": "ALARM", "insufficient": "too little data to say"}


@click.command()
@click.argument("reference", type=click.Path(path_type=Path))
@click.argument("current", type=click.Path(path_type=Path))
@click.option("--column", "columns", multiple=True, metavar="NAME", help="Look at this column only; may be repeated.")
@click.option("--target", metavar="NAME", help="Judge this column as the target, apart from the others.")
@click.option("--prediction", metavar="NAME", help="Judge this column as the prediction, apart from the others.")
@click.option("--category", "categories", multiple=True, metavar="NAME", help="Read this column as a category.")
@click.option("--number", "numbers", multiple=True, metavar="NAME", help="Read this column as a number.")
@click.option(
    "--mode",
    type=click.Choice(["calibrated", "evidently"]),
    default="calibrated",
    show_default=True,
    help="How drift is decided.",
)
@click.option("--method", metavar="TEST", help="Test every column by this one, such as ks or psi.")
@click.option("--alpha", type=float, default=0.05, show_default=True, help="False alarms, all columns together.")
@click.option("--effect", type=float, default=0.02, show_default=True, help="The smallest change that counts, 0 to 1.")
@click.option("--html", "page", type=click.Path(path_type=Path), metavar="FILE", help="Write the page here.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def report(
    reference: Path,
    current: Path,
    *,
    columns: tuple[str, ...],
    target: str | None,
    prediction: str | None,
    categories: tuple[str, ...],
    numbers: tuple[str, ...],
    mode: str,
    method: str | None,
    alpha: float,
    effect: float,
    page: Path | None,
    as_json: bool,
) -> None:
    """Compare the rows of CURRENT with those of REFERENCE: Parquet, CSV, NDJSON or Arrow files.

    The exit code is 0 without an alarm, 1 with one, 2 when something was asked wrongly, and 3 when there are too few
    rows to say.
    """
    definition = DataDefinition(
        categorical_columns=categories or None,
        numerical_columns=numbers or None,
        target=target,
        prediction=prediction,
    )
    metrics: list[DataDriftPreset | TargetDriftPreset] = [
        DataDriftPreset(columns=columns or None, method=method, alpha=alpha, effect=effect)
    ]
    if apart := [name for name in (target, prediction) if name]:
        metrics.append(TargetDriftPreset(columns=apart, alpha=alpha, effect=effect))
    name = f"{current.stem} against {reference.stem}"
    found = Report(metrics, mode=mode, name=name).run(str(current), str(reference), data_definition=definition)
    if page is not None:
        found.save_html(page)
    if as_json:
        show_json(found.dict() | {"status": found.status, "dataset_drift": found.dataset_drift})
    else:
        _show(found, page)
    sys.exit(EXIT_CODES[found.status])


def _show(found: Snapshot, page: Path | None) -> None:
    head = f"{found.name}: {_WORDS[found.status]}"
    click.echo(click.style(head, bold=True, fg="red" if found.status == "alarm" else None))
    click.echo(f"{found.reference_rows:,} reference rows, {found.current_rows:,} current rows")
    rows = []
    for result in found.metric_results:
        if result.kind != "ValueDrift":
            continue
        drifted, note = result.extra.get("drifted"), result.extra.get("note", "")
        verdict = "drift" if drifted else "no" if result.value is not None else "too few rows"
        rows.append((not drifted, [result.params["column"], verdict, result.value, result.extra.get("effect"), note]))
    click.echo()
    ordered = [row for _, row in sorted(rows, key=lambda item: item[0])]
    table(ordered, header=("column", "drift", "score", "effect", ""))
    notes = [note for section in found.sections for note in section.notes]
    for note in dict.fromkeys(notes):
        click.echo(f"  {note}")
    if page is not None:
        click.echo(f"\nThe page: {page}")
