"""Zip archives from anywhere: looked at before a library unpacks them."""

import io
import stat
import zipfile

from homeostat.ground.errors import Corrupt, Refused

MOST_MEMBERS = 100_000
MOST_UNPACKED = 4 << 30
"""Bytes; and never more than `MOST_RATIO` times the file's own size, which is what keeps a small bomb small."""
MOST_RATIO = 200
_AGAIN = "package the model again"


def check_zip(data: bytes, *, what: str) -> None:
    """See that an archive is whole, stays inside itself, and unpacks to a bounded size.

    Python unpacks a member only up to its declared size, so the sum of those is a bound.

    Raises:
        Corrupt: when it is no readable archive.
        Refused: when a member's path leads out, a member is a link, or the unpacked size is out of proportion.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
    except Exception as error:  # a malformed archive can fail anywhere in the reader
        raise Corrupt(f"the {what} cannot be read: {error!s:.200}", next_step=_AGAIN) from error
    if len(members) > MOST_MEMBERS or sum(member.file_size for member in members) > _most(len(data)):
        raise Refused(f"the {what} unpacks to far more than its size", field="model", next_step=_AGAIN)
    names = [member.filename for member in members]
    if len(set(names)) != len(names):
        raise Refused(f"the {what} holds two files of one name", field="model", next_step=_AGAIN)
    for member in members:
        if _leads_out(member.filename) or stat.S_ISLNK(member.external_attr >> 16):
            raise Refused(
                f"the {what} holds {member.filename[:100]!r}, which leads out of it", field="model", next_step=_AGAIN
            )


def _most(size: int) -> int:
    return min(MOST_UNPACKED, max(1 << 20, size * MOST_RATIO))


def _leads_out(name: str) -> bool:
    return name.startswith("/") or "\\" in name or ":" in name or ".." in name.split("/")
