"""Which tables may be read: addresses that only an admin gives, files in folders that the operator has named.

A database's host is somebody's own, mostly in a private network, so it is not guarded as a webhook's is; nobody but an
admin can name one.
"""

from pathlib import Path

import sqlalchemy as sa

from homeostat.ground.errors import Invalid, MissingExtra, Refused
from homeostat.ground.settings import Settings

FILES = ("file", "s3", "gs", "gcs", "az", "abfs", "abfss", "adl")
"""Schemes of Parquet files; http is left out, for whoever has an address there can post."""
_NO_SQL = (*FILES, "http", "https", "ftp", "memory", "data", "local")
MAX_URL = 2_000


def is_sql(url: str) -> bool:
    """Whether it is SQLAlchemy's, by its scheme."""
    return "://" in url and url.partition("://")[0].partition("+")[0].lower() not in _NO_SQL


def check_table_url(url: str, settings: Settings) -> None:
    """See that a table may be read.

    Raises:
        Invalid: when it is no URL of a database or of files.
        MissingExtra: when the database's driver is not installed.
        Refused: when it leads to files outside of the folders that are named for it.
    """
    if not url.isprintable() or not 0 < len(url) <= MAX_URL or "\\" in url or "::" in url:
        raise _wrong()
    if is_sql(url):
        _check_database(url, settings)
        return
    scheme = url.partition("://")[0].lower() if "://" in url else "file"
    if scheme not in FILES:
        raise _wrong()
    if scheme == "file":
        _check_folder(Path(url.removeprefix("file://")), settings)


def local_path(url: str) -> str | None:
    """The path of files on this machine, with its wildcards; None for those elsewhere."""
    if "://" not in url:
        return url
    return url.removeprefix("file://") if url.startswith("file://") else None


def shown_url(url: str) -> str:
    """What may be shown of a URL: no user, no password, no query.

    >>> shown_url("postgresql://me:pw@db.internal:5432/sales?sslpassword=x"), shown_url("s3://key:pw@bucket/day=*/*.parquet")
    ('postgresql://db.internal:5432/sales', 's3://bucket/day=*/*.parquet')
    """
    scheme, slashes, rest = url.partition("://")
    if not slashes:
        return url
    bare = rest.partition("?")[0]
    place, slash, path = bare.partition("/")
    return f"{scheme}://{place.rpartition('@')[2]}{slash}{path}"


def _check_database(url: str, settings: Settings) -> None:
    try:
        parsed = sa.make_url(url)
        backend = parsed.get_backend_name()
    except sa.exc.ArgumentError as error:
        raise _wrong() from error
    if backend == "sqlite":
        name = parsed.database or ""
        if name in {"", ":memory:"} or name.startswith("file:") or "uri" in parsed.query:
            raise Invalid("a SQLite table lies in a file", field="url", next_step="sqlite:////folder/file.db")
        _check_folder(Path(name), settings)
        return
    try:
        parsed.get_dialect().import_dbapi()
    except (sa.exc.NoSuchModuleError, ImportError) as error:
        raise MissingExtra(
            f"nothing is installed that reads {parsed.drivername}",
            field="url",
            next_step="install the database's SQLAlchemy dialect and driver beside Homeostat",
        ) from error


def _check_folder(path: Path, settings: Settings) -> None:
    """A path with wildcards is checked by what stands before them; each file is checked once more when it is read."""
    allowed = allowed_folders(settings)
    if not any(_is_within(_fixed(path), folder) for folder in allowed):
        raise Refused(
            f"{path} lies in no folder that tables are read from",
            field="url",
            next_step="name its folder: HOMEOSTAT_MONITOR_FOLDERS=/data/predictions",
        )


def allowed_folders(settings: Settings) -> list[Path]:
    """The folders that the operator has named."""
    named = (part.strip() for part in settings.monitor_folders.split(","))
    return [Path(part).expanduser().resolve() for part in named if part]


def is_allowed(path: Path, settings: Settings) -> bool:
    """Whether a file lies in one of them, links followed."""
    return any(_is_within(path, folder) for folder in allowed_folders(settings))


def _fixed(path: Path) -> Path:
    parts = []
    for part in path.expanduser().parts:
        if any(letter in part for letter in "*?[{"):
            break
        parts.append(part)
    return Path(*parts) if parts else Path()


def _is_within(path: Path, folder: Path) -> bool:
    resolved = path.expanduser().resolve()
    return path.is_absolute() and (resolved == folder or folder in resolved.parents)


def _wrong() -> Invalid:
    return Invalid(
        "this is no table that can be read",
        field="url",
        next_step="SQLAlchemy's postgresql+psycopg://host/db, sqlite:////folder/file.db; or Parquet files at "
        f"{', '.join(f'{scheme}://' for scheme in FILES)}",
    )
