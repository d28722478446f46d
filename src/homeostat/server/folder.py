"""What an exported version looks like: a folder of files, to be served where there is no catalogue.

| file | what |
|---|---|
| version.json | what it is, takes and gives, and how its compiled scorer compares to the original |
| package/ | its files and their model.sig, as they were signed when it was registered |
| scorer.msgpack | its compiled scorer, where it has one |
| keys/ID.pem | public keys of who signed all this |
| model.sig | the signature over all of the above: `homeostat model verify DIR`, or `model_signing verify key DIR` |
"""

from pathlib import Path

import msgspec

MANIFEST, PACKAGE, KEYS = "version.json", "package", "keys"


class _Name(msgspec.Struct):
    model: str
    version: int


class _Named(msgspec.Struct):
    version: _Name


def is_exported(folder: Path) -> bool:
    """Whether a folder looks like one."""
    return (folder / MANIFEST).is_file()


def name_of(folder: Path) -> tuple[str, int]:
    """Model and number of the version in a folder that a worker has checked."""
    named = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=_Named).version
    return named.model, named.version
