"""Artifact paths of MLflow's proxy: whose file it is, and where in its folder.

    {experiment}/{run id}/artifacts/...         a run's
    {experiment}/models/{m-...}/artifacts/...   a logged model's
    {experiment}/traces/{tr-...}/artifacts/...  a trace's
    anything else                               its first part's

Nothing here is ever joined to a path of the server's: files are blobs, a path is only the name of one.
"""

import re
from urllib.parse import unquote

import msgspec

from homeostat.ground.errors import Invalid
from homeostat.tracking.values import check_path

_RUN = re.compile(r"(\d{1,18})/([0-9a-f]{32})/artifacts(?:/(.*))?", re.DOTALL)
_OWNED = re.compile(r"(\d{1,18})/(?:models|traces)/((?:m|tr)-[\w\-]{1,60})/artifacts(?:/(.*))?", re.DOTALL)
_UNQUOTE_ROUNDS = 5


class Place(msgspec.Struct, frozen=True):
    """A place in an owner's folder; `path` is empty for the folder itself."""

    owner: str
    path: str
    experiment: int | None = None
    is_run: bool = False


def place_of(path: str) -> Place:
    """The place a proxy's path names.

    Raises:
        Invalid: when it is no relative path, or could be taken for one that leads elsewhere.
    """
    path = safe_path(path.rstrip("/"))
    run, owned = _RUN.fullmatch(path), _OWNED.fullmatch(path)
    if run is not None:
        return Place(run[2], _below(run[3]), int(run[1]), is_run=True)
    if owned is not None:
        return Place(owned[2], _below(owned[3]), int(owned[1]))
    first, _, rest = path.partition("/")
    if len(first) > 50:
        raise Invalid(f"artifact path {path!r:.120} begins with too long a name", field="path")
    return Place(f"folder:{first}", rest, int(first) if first.isascii() and first.isdecimal() else None)


def _below(path: str | None) -> str:
    return safe_path(path) if path else ""


def safe_path(path: str) -> str:
    """`path` if it is relative and means the same to whoever decodes it once more.

    Raises:
        Invalid: for `..`, `%2e`, encoded twice, backslash, NUL, absolute paths, drives, URLs and `#`.
    """
    plain = path
    for _ in range(_UNQUOTE_ROUNDS):
        once = unquote(plain)
        if once == plain:
            break
        plain = once
    else:
        raise _wrong(path)
    if "#" in plain or "://" in plain or plain.startswith(("/", "~")):
        raise _wrong(path)
    try:
        check_path(plain)
        return check_path(path)
    except Invalid as error:
        raise _wrong(path) from error


def _wrong(path: str) -> Invalid:
    return Invalid(f"Invalid path: {path!r:.120}", field="path", next_step="use a relative path like plots/roc.png")
