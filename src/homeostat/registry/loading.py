"""Loading a registered version: its signature first, then every byte, and only then the model's own reader."""

from collections.abc import Callable
from typing import NamedTuple

from homeostat.ground.errors import Refused
from homeostat.registry.formats.answers import Asked
from homeostat.registry.keys import Trust
from homeostat.registry.scorers import Answering, scorer_from
from homeostat.registry.signing import check_signature, read_files
from homeostat.registry.types import ModelVersion
from homeostat.store.blobs import BlobStore


class Opened(NamedTuple):
    """The files of a package that are those that were signed, and whether a pickle among them may be read."""

    files: dict[str, bytes]
    allow_pickle: bool


def load_version(
    blobs: BlobStore,
    version: ModelVersion,
    trust: Trust,
    *,
    may_run_code: bool = False,
    text_of: Callable[[float], str | None] | None = None,
) -> Answering:
    """The scorer of a version. `text_of` says what the codes of text columns stand for, where it takes some.

    Raises:
        Corrupt: naming the file that was changed, added or is missing.
        Refused: when the signer is not trusted, or the format runs code and no permission is signed.
    """
    opened = open_package(blobs, version, trust, may_run_code=may_run_code)
    said = version.signature
    asked = Asked(task=said.task, classes=said.classes, outputs=said.outputs, columns=said.columns, text_of=text_of)
    return scorer_from(version.package.flavor, opened.files, asked, allow_pickle=opened.allow_pickle)


def open_package(blobs: BlobStore, version: ModelVersion, trust: Trust, *, may_run_code: bool = False) -> Opened:
    """Read a version's files, each checked.

    `may_run_code`: this process is a training child or a serving worker, where a pickle with a signed permission may
    be read; a server never says so.

    Raises:
        Corrupt: naming the file that was changed, added or is missing.
        Refused: when the signer is not trusted, or the format runs code and no permission is signed.
    """
    said = check_signature(version, trust)
    permitted = said is not None and bool(said.about.get("pickle"))
    if version.package.flavor == "pickle" and permitted and not may_run_code:
        raise Refused(
            f"{version.ref} is a pickle, which only a serving worker or a training child may read",
            field="flavor",
            next_step=f"serve it: homeostat serve {version.ref}",
        )
    return Opened(dict(read_files(blobs, version, said)), permitted and may_run_code)
