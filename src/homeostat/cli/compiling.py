"""`homeostat model compile`: a scorer that answers faster than the original and the same, and why (not)."""

from typing import Any

import click

from homeostat.cli.show import fields, show_json, table
from homeostat.ground.clock import SystemClock
from homeostat.ground.errors import Invalid
from homeostat.ground.refs import parse_model_ref
from homeostat.ground.settings import load_settings
from homeostat.loop.compile_process import compile_version
from homeostat.loop.inspection import Inspection
from homeostat.server.views.compiled import compiled_view
from homeostat.serving.compiling.catalogue import Record
from homeostat.store.blobs import BlobStore
from homeostat.store.database import open_database
from homeostat.store.migrate import upgrade


@click.command("compile")
@click.argument("ref", metavar="NAME@VERSION")
@click.option("--explain", is_flag=True, help="Try every way, and show what each was asked and how it did.")
@click.option("--force", is_flag=True, help="Compile it anew.")
@click.option("--home", metavar="DIR", help="Folder of the state  [default: .homeostat; HOMEOSTAT_HOME]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def compile_(ref: str, *, explain: bool, force: bool, home: str | None, as_json: bool) -> None:
    """Compile a version into a scorer that answers in microseconds; where any doubt is left, its original serves.

    It happens in a process of its own, beside the state. Workers take the new scorer with their next start or reload.
    """
    settings = load_settings(home=home)
    if settings.url:
        raise Invalid(
            "models are compiled where their files are",
            field="url",
            next_step="run this beside the server, with --home DIR and without HOMEOSTAT_URL",
        )
    name, what = parse_model_ref(ref)
    database = open_database(settings.database_url)
    try:
        upgrade(database)
        blobs, at = BlobStore(settings.blobs_url), SystemClock().now()
        found = Inspection(database, blobs, settings).of(name, what, at=at, actor="person")
        record = compile_version(
            database, blobs, settings, name, found.version, again=force, thorough=explain, at=at, actor="person"
        )
    finally:
        database.close()
    if as_json:
        show_json(compiled_view(record))
        return
    click.echo(record.report.line())
    if explain:
        _explain(record)


def _explain(record: Record) -> None:
    report = record.report
    asked = report.rows
    click.echo()
    fields(
        {
            "task": report.task,
            "original": _times(report.native_one_row_us, report.native_many_rows_us),
            "asked": f"{asked.reference} {asked.source}, {asked.edges} on split points, {asked.missing} with gaps, "
            f"{asked.extremes} extreme ({asked.refused} that the original refuses)"
            if asked
            else None,
            "tolerance": report.tolerance,
            "artifact": f"{record.size:,} bytes, {record.blob[:12]}" if record.blob else None,
            "took": f"{report.seconds:.1f} s",
        }
    )
    click.echo()
    rows: list[list[Any]] = [
        [
            one.name,
            one.status,
            one.max_abs_diff,
            one.differing,
            one.rank_agreement,
            _times(one.one_row_us, one.many_rows_us),
            one.why,
        ]
        for one in report.candidates
    ]
    table(rows, header=("way", "status", "max diff", "off", "rank", "1 row / 64 rows", "because"))


def _times(one_row: float | None, many_rows: float | None) -> str | None:
    return None if one_row is None or many_rows is None else f"{one_row:.1f} us / {many_rows:.1f} us"
