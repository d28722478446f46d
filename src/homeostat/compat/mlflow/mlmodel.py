"""What a logged model takes, read from its `MLmodel` file: enough to say that it has a signature, and of which columns.

Only the lines with JSON in them are looked at; nothing of the file is built or run. What it answers is found out when
somebody wants it to: `loop.inspection`.
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
_MOST_COLUMNS = 10_000
_SCHEMA = re.compile(r"^  (inputs|outputs): '((?:[^']|'')*)'", re.MULTILINE)
_TYPES = {"string": "string", "boolean": "boolean", "datetime": "time"}
"""MLflow's types that are not numbers."""
_Columns = list[dict[str, Any]]


def signature_of(blobs: BlobStore, files: Mapping[str, PackageFile]) -> Signature:
    """The signature that `MLmodel` states; an empty one when there is none that can be read."""
    described = files.get(FILE)
    if described is None or described.size > _LARGEST:
        return NO_SIGNATURE
    try:
        return signature_in(blobs.get(described.digest).decode("utf-8", "replace"))
    except (NotFound, Corrupt):
        return NO_SIGNATURE


def signature_in(text: str) -> Signature:
    """The signature in an `MLmodel` file."""
    said = dict(_SCHEMA.findall(text))
    inputs = tuple(_inputs(_columns(said.get("inputs", ""))))
    features = tuple(FeatureColumn(name=item.name, kind=_kind(item)) for item in inputs)
    return msgspec.structs.replace(
        NO_SIGNATURE, inputs=inputs, columns=features, outputs=_names(_columns(said.get("outputs", "")))
    )


def _columns(schema: str) -> _Columns:
    plain = re.sub(r"\s*\n\s*", " ", schema).replace("''", "'")  # YAML folds long lines
    try:
        return msgspec.json.decode(plain or "[]", type=_Columns)
    except msgspec.DecodeError:
        return []


def _inputs(columns: _Columns) -> list[InputColumn]:
    """The columns of a frame; or those of tensors side by side, x0, x1, ... where they have no names."""
    if not columns or "tensor-spec" not in columns[0]:
        return [_input(column, place) for place, column in enumerate(columns)]
    names: list[str] = []
    for column in columns:
        width = _width(column)
        if width is None or len(names) + width > _MOST_COLUMNS:
            return []
        name = column.get("name")
        names += [str(name)] if name and width == 1 else [f"{name or 'x'}{place}" for place in range(width)]
    return [InputColumn(name=name, dtype="number") for name in names]


def _width(column: Mapping[str, Any]) -> int | None:
    """How many columns a tensor is; None when it is no table, or does not say."""
    shape = column.get("tensor-spec", {}).get("shape")
    if not isinstance(shape, list) or len(shape) not in {1, 2}:
        return None
    width = shape[1] if len(shape) == 2 else 1
    return width if isinstance(width, int) and width > 0 else None


def _input(column: Mapping[str, Any], place: int) -> InputColumn:
    return InputColumn(
        name=str(column.get("name", f"x{place}")),
        dtype=_TYPES.get(str(column.get("type")), "number"),
        nullable=not column.get("required", True),
    )


def _names(columns: _Columns) -> tuple[str, ...]:
    """Of several values a row; one needs no name."""
    names = tuple(str(column["name"]) for column in columns if column.get("name"))
    return names if len(names) == len(columns) > 1 else ()


def _kind(column: InputColumn) -> str:
    return "text" if column.dtype == "string" else "number"
