"""`homeostat model verify`, `homeostat model export`, `homeostat keys`: who signed what, and files to take along."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec

from homeostat.cli.show import fields, show_json, table
from homeostat.ground.errors import Invalid
from homeostat.ground.refs import parse_model_ref
from homeostat.ground.settings import Settings, load_settings
from homeostat.registry.keys import key_id, public_pem, signing_key, trusted
from homeostat.registry.signing import Verified, export_version, verify_folder, verify_version
from homeostat.registry.types import ModelVersion
from homeostat.registry.versions import get_version
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database, open_database
from homeostat.store.migrate import upgrade

_home = click.option("--home", metavar="DIR", help="Folder of the state  [default: .homeostat; HOMEOSTAT_HOME]")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command()
@click.argument("what", metavar="NAME@VERSION|DIR")
@_home
@_json
def verify(what: str, *, home: str | None, as_json: bool) -> None:
    """Check who signed a version, or a folder with a model.sig, and that no file was changed, added or removed."""
    settings = load_settings(home=home)
    if Path(what).is_dir():
        said = verify_folder(Path(what), trusted(settings))
        result = Verified(ref=what, signed=True, key_id=said.key_id, files=tuple(sorted(said.files)))
    else:
        with _version(settings, what) as (version, blobs, _database):
            result = verify_version(blobs, version, trusted(settings))
    if as_json:
        show_json(msgspec.to_builtins(result))
        return
    signer = f"signed by key {result.key_id}" if result.signed else "not signed (registered before signing)"
    click.echo(f"{result.ref}: as it was stored ({', '.join(result.files)}), {signer}")
    if result.pickle:
        click.echo(f"pickle allowed by {result.pickle['by']} at {result.pickle['at']}: {result.pickle['reason']}")


@click.command()
@click.argument("ref", metavar="NAME@VERSION")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--serving", is_flag=True, help="With all that `homeostat serve DIR` and a container need.")
@_home
@_json
def export(ref: str, folder: Path, *, serving: bool, home: str | None, as_json: bool) -> None:
    """Write the files of a version and its model.sig into a new folder; `model_signing verify key` takes it."""
    settings = load_settings(home=home)
    with _version(settings, ref) as (version, blobs, database):
        if serving:
            from homeostat.server.exported import export_for_serving  # half a second; only those who use it pay

            written = export_for_serving(settings, database, blobs, version, folder)
        else:
            written = export_version(blobs, version, trusted(settings), folder)
    if as_json:
        show_json({"ref": version.ref, "folder": str(folder), "files": written})
        return
    click.echo(f"{version.ref}: {', '.join(written)} in {folder}")


@click.group()
def keys() -> None:
    """Keys: which one signs, and which are trusted."""


@keys.command()
@_home
@_json
def show(*, home: str | None, as_json: bool) -> None:
    """Show the project's public key (made now when there is none) and the ids of the trusted ones."""
    settings = load_settings(home=home)
    own = signing_key(settings).public_key()
    others = sorted(trusted(settings).keys.keys() - {key_id(own)})
    view = {"key_id": key_id(own), "public_key": public_pem(own).decode(), "also_trusted": others}
    if as_json:
        show_json(view)
        return
    fields({"signs": view["key_id"], "signature required": settings.require_signature})
    click.echo(f"\n{view['public_key']}")
    if others:
        table([(other,) for other in others], header=("also trusted",))


@contextmanager
def _version(settings: Settings, ref: str) -> Iterator[tuple[ModelVersion, BlobStore, Database]]:
    if settings.url:
        raise Invalid(
            "packages are checked and exported where their files are",
            field="url",
            next_step="run this beside the server, with --home DIR and without HOMEOSTAT_URL",
        )
    name, what = parse_model_ref(ref)
    database = open_database(settings.database_url)
    try:
        upgrade(database)
        with database.read() as conn:
            version = get_version(conn, name, what)
        yield version, BlobStore(settings.blobs_url), database
    finally:
        database.close()
