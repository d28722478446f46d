"""`homeostat import`."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from homeostat.cli.options import common
from homeostat.cli.show import fields, show_json, table
from homeostat.compat.importers.records import Loss
from homeostat.compat.importers.report import Report
from homeostat.ground.settings import load_settings
from homeostat.sdk import imports

Progress = Callable[[str], None]
_SHOWN = 40


@click.group("import")
def import_() -> None:
    """Carry over what another tool tracked; doing it again adds what is new and nothing else."""


@import_.command()
@click.argument("source")
@click.option("--project", help="Put all runs into this project  [default: one for each experiment]")
@click.option(
    "--artifacts",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder where the store keeps artifacts, when that is not beside it.",
)
@common
def mlflow(
    source: str, *, project: str | None, artifacts: tuple[Path, ...], home: str | None, url: str | None, as_json: bool
) -> None:
    """SOURCE: a server (http://...), a database (sqlite:///mlflow.db), or the folder mlruns."""
    settings = load_settings(home=home, url=url)
    with _progress(is_quiet=as_json) as say:
        report = imports.import_mlflow(settings, source, project=project, artifacts=artifacts, progress=say)
    _show(report, as_json=as_json)


@import_.command()
@click.argument("source")
@click.option("--project", help="Put all runs into this project  [default: the one they were logged to]")
@common
def wandb(source: str, *, project: str | None, home: str | None, url: str | None, as_json: bool) -> None:
    """SOURCE: the folder wandb, an offline-run-* folder in it, or a .wandb file."""
    settings = load_settings(home=home, url=url)
    with _progress(is_quiet=as_json) as say:
        report = imports.import_wandb(settings, source, project=project, progress=say)
    _show(report, as_json=as_json)


@import_.command()
@click.argument("source")
@click.option("--project", help="Put all runs into this project  [default: the folder's name]")
@common
def tensorboard(source: str, *, project: str | None, home: str | None, url: str | None, as_json: bool) -> None:
    """SOURCE: the folder you would give to tensorboard --logdir."""
    settings = load_settings(home=home, url=url)
    with _progress(is_quiet=as_json) as say:
        report = imports.import_tensorboard(settings, source, project=project, progress=say)
    _show(report, as_json=as_json)


@contextmanager
def _progress(*, is_quiet: bool) -> Iterator[Progress]:
    """Says which run is being carried over: a line that changes on a terminal, a line each elsewhere."""
    if is_quiet:
        yield lambda _label: None
    elif sys.stderr.isatty():
        from rich.console import Console

        with Console(stderr=True).status("reading") as status:
            counted = iter(range(1, sys.maxsize))
            yield lambda label: status.update(f"{next(counted)}: {label}")
    else:
        yield lambda label: click.echo(f"importing {label}", err=True)


def _show(report: Report, *, as_json: bool) -> None:
    if as_json:
        show_json({"added": report.added} | {key: getattr(report, key) for key in report.__struct_fields__})
        return
    counts = {"runs": f"{report.runs} ({report.new_runs} new)", "points added": report.points}
    counts["files added"] = report.files
    if report.logged_models:
        counts["logged models"] = f"{report.logged_models} ({report.new_logged_models} new)"
    if report.models:
        counts["registered models"] = f"{report.models} ({report.new_models} new, {report.new_versions} new versions)"
    fields(counts)
    if report.lost:
        click.echo("\nNot carried over:")
        table([_row(loss) for loss in report.lost[:_SHOWN]], header=("of", "what", "times", "why"))
        if len(report.lost) > _SHOWN:
            click.echo(f"... and {len(report.lost) - _SHOWN} lines more; --json has them all")


def _row(loss: Loss) -> tuple[str, str, int, str]:
    return loss.subject, loss.what, loss.count, loss.reason
