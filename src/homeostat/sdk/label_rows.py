"""Labels as a client sends them: the JSON body, the content type of a file, times in any form."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from homeostat.ground.clock import from_datetime, parse_moment
from homeostat.ground.errors import Invalid, NotFound

CONTENT_TYPES = {
    ".ndjson": "application/x-ndjson",
    ".jsonl": "application/x-ndjson",
    ".csv": "text/csv",
    ".parquet": "application/vnd.apache.parquet",
    ".arrow": "application/vnd.apache.arrow.file",
    ".feather": "application/vnd.apache.arrow.file",
    ".arrows": "application/vnd.apache.arrow.stream",
}


def labels_body(
    model: str, labels: Sequence[Mapping[str, Any]] | None, *, within: str | None, **single: Any
) -> dict[str, Any]:
    """The body of `POST /labels`: rows, or the fields of a single one.

    Raises:
        Invalid: when there are both, or neither.
    """
    given = {name: value for name, value in single.items() if value is not None}
    if (labels is None) == (not given):
        raise Invalid(
            "give either rows of labels or the fields of one",
            field="labels",
            next_step='label(MODEL, [{"request_id": ..., "value": ...}]) or label(MODEL, request_id=..., value=...)',
        )
    body: dict[str, Any] = {"model": model} | ({"within": within} if within else {})
    return body | (_plain(given) if labels is None else {"labels": [_plain(label) for label in labels]})


def _plain(label: Mapping[str, Any]) -> dict[str, Any]:
    """A row as JSON says it: datetimes as microseconds, NumPy's scalars as Python's."""
    plain = {name: _value(value) for name, value in label.items()}
    if isinstance(plain.get("keys"), Mapping):
        plain["keys"] = {name: _value(value) for name, value in plain["keys"].items()}
    return plain


def _value(value: Any) -> Any:
    if isinstance(value, datetime):
        return from_datetime(value)
    return value.item() if hasattr(value, "item") else value


def moment(given: str | int | datetime | None, *, field: str) -> int | None:
    """A time in microseconds, whatever form it has."""
    if given is None:
        return None
    return from_datetime(given) if isinstance(given, datetime) else parse_moment(given, field=field)


def content_type(path: Path) -> str:
    """What a file of labels is sent as.

    Raises:
        NotFound: when there is no such file.
        Invalid: when its name does not say what it is.
    """
    if not path.is_file():
        raise NotFound(f"there is no file {path}", field="path", next_step="give the path of a file of labels")
    if path.suffix.lower() not in CONTENT_TYPES:
        raise Invalid(
            f"{path.name} does not say by its name what it is",
            field="path",
            next_step=f"name it with one of {', '.join(CONTENT_TYPES)}",
        )
    return CONTENT_TYPES[path.suffix.lower()]
