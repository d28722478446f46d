"""What a logged model takes, read from its `MLmodel` file: enough to say that it has a signature, and of which columns.

Only the two lines with JSON in them are looked at; nothing of the file is built or run.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from homeostat.ground.errors import Corrupt, NotFound
from homeostat.ground.records import FeatureColumn, InputColumn, Signature
from homeostat.registry.types import PackageFile
from homeostat.registry.versions import NO_SIGNATURE
from homeostat.store.blobs import BlobStore

FILE = "MLmodel"
_LARGEST = 4 << 20
_INPUTS = re.compile(r"^  inputs: '((?:[^']|'')*)'", re.MULTILINE)
_TYPES = {"string": "string", "boolean": "boolean", "datetime": "time"}
"""MLflow's types that are not numbers."""


def signature_of(blobs: BlobStore, files: Mapping[str, PackageFile]) -> Signature:
    """The signature that `MLmodel` states; an empty one when there is none that can be read."""
    described = files.get(FILE)
    if described is None or described.size > _LARGEST:
        return NO_SIGNATURE
    try:
        text = blobs.get(described.digest).decode("utf-8", "replace")
    except (NotFound, Corrupt):
        return NO_SIGNATURE
    match = _INPUTS.search(text)
    if match is None:
        return NO_SIGNATURE
    plain = re.sub(r"\s*\n\s*", " ", match[1]).replace("''", "'")  # YAML folds long lines
    try:
        columns = msgspec.json.decode(plain, type=list[dict[str, Any]])
    except msgspec.DecodeError:
        return NO_SIGNATURE
    inputs = tuple(_input(column, place) for place, column in enumerate(columns))
    features = tuple(FeatureColumn(name=item.name, kind=_kind(item)) for item in inputs)
    return Signature(task="", inputs=inputs, columns=features, feature_hash="")


def _input(column: Mapping[str, Any], place: int) -> InputColumn:
    return InputColumn(
        name=str(column.get("name", f"input_{place}")),
        dtype=_TYPES.get(str(column.get("type")), "number"),
        nullable=not column.get("required", True),
    )


def _kind(column: InputColumn) -> str:
    return "category" if column.dtype == "string" else "number"
