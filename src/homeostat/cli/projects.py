"""`homeostat project` and `homeostat gc`."""

import sys
from pathlib import Path
from typing import Any

import click

from homeostat.cli.options import client, common
from homeostat.cli.show import fields, show_json, table
from homeostat.ground.errors import NotFound
from homeostat.sdk.tracking_client import TrackingClient


@click.group()
def project() -> None:
    """Projects: what there is, the trash, and a whole project as one file."""


@project.command()
@click.option("--trash", is_flag=True, help="Those in the trash.")
@common
def ls(*, trash: bool, home: str | None, url: str | None, as_json: bool) -> None:
    """List projects."""
    tracking = client(home, url).tracking
    rows = tracking.projects(view="deleted" if trash else "active")
    if as_json:
        show_json(rows)
        return
    keys = ("id", "name", "created", "deleted") if trash else ("id", "name", "created")
    counts = {} if trash else {row["id"]: tracking.count(projects=[row["name"]]) for row in rows}
    lines = [[row[key] for key in keys] + ([counts[row["id"]]] if counts else []) for row in rows]
    table(lines, header=(*keys, "runs") if counts else keys)


@project.command()
@click.argument("name")
@click.argument("new_name")
@common
def rename(name: str, new_name: str, *, home: str | None, url: str | None, as_json: bool) -> None:
    """Give project NAME another name."""
    tracking = client(home, url).tracking
    _said(tracking.change_project(_find(tracking, name)["id"], name=new_name), as_json, f"{name} is {new_name} now")


@project.command()
@click.argument("name")
@common
def rm(name: str, *, home: str | None, url: str | None, as_json: bool) -> None:
    """Put project NAME and its runs into the trash; the name is free at once."""
    tracking = client(home, url).tracking
    found = tracking.delete_project(_find(tracking, name)["id"])
    _said(found, as_json, f"{name} is in the trash; undo: homeostat project restore {found['id']}")


@project.command()
@click.argument("project_id", type=int)
@common
def restore(project_id: int, *, home: str | None, url: str | None, as_json: bool) -> None:
    """Take the project with number PROJECT_ID out of the trash, with its runs."""
    found = client(home, url).tracking.restore_project(project_id)
    _said(found, as_json, f"{found['name']} is back")


@project.command("export")
@click.argument("name")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@common
def export_(name: str, file: Path, *, home: str | None, url: str | None, as_json: bool) -> None:
    """Write project NAME with all its runs, series and files into FILE."""
    done = client(home, url).tracking.export_project(name, file)
    _said(done, as_json, f"{name} is in {file} ({file.stat().st_size:,} bytes)")


@project.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--project", "name", help="Under another name  [default: the name it had]")
@common
def import_(file: Path, *, name: str | None, home: str | None, url: str | None, as_json: bool) -> None:
    """Take in FILE, which `homeostat project export` wrote; runs that are here already are left as they are."""
    done = client(home, url).tracking.import_archive(file, project=name)
    _said(done, as_json, f"{done['project']}: {done['runs']} runs, {done['runs_new']} of them new")


@click.command()
@click.option("--older-than", default="30d", show_default=True, help="How long things stay in the trash.")
@click.option("--yes", is_flag=True, help="Really remove; without it nothing is touched.")
@common
def gc(*, older_than: str, yes: bool, home: str | None, url: str | None, as_json: bool) -> None:
    """Remove for good what has been in the trash too long, and bytes that nothing names any more."""
    done = client(home, url).tracking.gc(older_than=older_than, dry_run=not yes)
    if as_json:
        show_json(done)
        return
    blobs = done["blobs"]
    verb = "removed" if yes else "would be removed"
    fields(
        {
            f"runs {verb}": done["runs"],
            f"logged models {verb}": done["logged_models"],
            f"projects {verb}": done["projects"],
            "runs kept for a registered version": done["runs_kept"],
            f"unnamed blobs {verb}": f"{blobs['unnamed']} ({blobs['unnamed_bytes']:,} bytes)",
            "unnamed but young": blobs["young"],
            "blobs in use": f"{blobs['kept']} ({blobs['kept_bytes']:,} bytes)",
        }
    )
    if not yes:
        click.echo("Nothing was touched. To remove it: homeostat gc --yes")


def _find(tracking: TrackingClient, name: str) -> dict[str, Any]:
    for found in tracking.projects():
        if found["name"] == name:
            return found
    raise NotFound(f"there is no project {name!r}", field="name", next_step="list them with: homeostat project ls")


def _said(data: dict[str, Any], as_json: bool, text: str) -> None:  # noqa: FBT001  the flag every command has
    if as_json:
        show_json(data)
    else:
        sys.stdout.write(f"{text}\n")
