"""What may enter tracking: names, text, numbers and steps. Nothing here needs a database, so clients check too."""

import numbers
import operator
import re
from typing import Any

import msgspec

from homeostat.ground.errors import Invalid

_STEP_LIMIT = 2**63
_NAME_LIMIT = 500
_PATH_LIMIT = 500
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\]|^[A-Za-z]:")


def storable(text: str) -> str:
    """`text` without what a database refuses: NUL (PostgreSQL) and lone surrogates (both).

    >>> storable("a" + chr(0) + "b") == "a" + chr(0xFFFD) + "b"
    True
    """
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def check_key(key: str, what: str, *, limit: int = 250) -> str:
    """`key` if it can name a param, metric or tag.

    Raises:
        Invalid: when it is empty, longer than `limit`, or not storable text.
    """
    if isinstance(key, str) and 0 < len(key) <= limit and storable(key) == key:
        return key
    raise Invalid(f"{what} name {key!r:.80} is not usable", field="key", next_step=f"use 1 to {limit} characters")


def check_project_name(name: str) -> str:
    """`name` if it can name a project: printable, 1 to 500 characters."""
    usable = 0 < len(name) <= _NAME_LIMIT and name.strip() and name.isprintable() and storable(name) == name
    if usable:
        return name
    raise Invalid(
        f"project name {name!r:.80} is not usable",
        field="name",
        next_step=f"use 1 to {_NAME_LIMIT} printable characters",
    )


def check_path(path: str) -> str:
    """`path` if it is relative and stays inside its owner: no `..`, no `.`, no empty part, no backslash or control.

    >>> check_path("plots/roc.png")
    'plots/roc.png'
    """
    usable = (
        0 < len(path) <= _PATH_LIMIT
        and not _FORBIDDEN.search(path)
        and path.encode("utf-8", "replace").decode() == path
        and all(part not in ("", ".", "..") for part in path.split("/"))
    )
    if usable:
        return path
    raise Invalid(
        f"artifact path {path!r:.120} is not a relative path inside the run",
        field="path",
        next_step="write it like plots/roc.png",
    )


def as_text(value: Any) -> str:
    """A parameter's value as it is stored: JSON for lists and dicts, else what `str` says."""
    if isinstance(value, dict | list | tuple):
        try:
            return storable(msgspec.json.encode(value).decode())
        except TypeError:
            pass  # it holds something JSON has no word for
    return storable(str(value))


def as_number(key: str, value: Any) -> float:
    """`value` as a float if it is a number (Python, numpy, or a 0-dimensional tensor).

    Raises:
        Invalid: naming the key otherwise.
    """
    item = value if isinstance(value, numbers.Real) or not hasattr(value, "item") else _item(value)
    if isinstance(item, numbers.Real):
        try:
            return float(item)
        except OverflowError:
            pass
    raise Invalid(
        f"metric {key!r:.80} is {value!r:.80}, not a number a float can hold",
        field=key,
        next_step="log text with params or tags",
    )


def check_step(key: str, step: Any) -> int:
    """`step` if it is a whole number of 64 bits."""
    try:
        number = operator.index(step)
    except TypeError:
        number = _STEP_LIMIT
    if -_STEP_LIMIT <= number < _STEP_LIMIT:
        return number
    raise Invalid(
        f"step of metric {key!r:.80} is {step!r:.80}, not a whole number of 64 bits",
        field="step",
        next_step="count steps",
    )


def _item(value: Any) -> Any:
    try:
        return value.item()
    except (ValueError, RuntimeError, TypeError):  # numpy and torch refuse for more than one element
        return None
