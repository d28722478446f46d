"""W&B's nested items as flat values: numbers by name, and what is not a number as it stands."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

EXACT = 2**53
"""Whole numbers up to here are the same as floats."""
_DEPTH = 50
"""Folds of a dict that become parts of a name; what lies deeper is one value."""


def read_json(text: str) -> Any:
    """A value as W&B writes it: JSON with NaN and Infinity.

    Raises:
        ValueError: when it is not that, or nested out of all reason.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def nested(items: Iterable[Any]) -> tuple[dict[str, Any], int]:
    """Items as one nested dict, and how many could not be read."""
    tree: dict[str, Any] = {}
    broken = merge(tree, items)
    return tree, broken


def remove(tree: dict[str, Any], path: list[str]) -> None:
    """Take the value at a path out of a nested dict, if it is there."""
    for part in path[:-1]:
        below = tree.get(part)
        if not isinstance(below, dict):
            return
        tree = below
    tree.pop(path[-1], None)


def merge(tree: dict[str, Any], changes: Iterable[Any]) -> int:
    """Write items into a nested dict in place; says how many could not be read."""
    broken = 0
    for item in changes:
        try:
            _put(tree, list(item.nested_key) or [item.key], read_json(item.value_json))
        except ValueError:
            broken += 1
    return broken


def flat(tree: dict[str, Any], *, joint: str, prefix: str = "", depth: int = _DEPTH) -> Iterator[tuple[str, Any]]:
    """Leaves by joined name. A media object (it has a `_type`), a list and an empty dict are leaves."""
    for key, value in tree.items():
        name = prefix + str(key)
        if isinstance(value, dict) and value and "_type" not in value and depth:
            yield from flat(value, joint=joint, prefix=name + joint, depth=depth - 1)
        else:
            yield name, value


def as_number(value: Any) -> float | None:
    """The float a value is, True and False being 1 and 0; None when it is no number."""
    if isinstance(value, bool | int | float):
        try:
            return float(value)
        except OverflowError:
            return None
    return None


def _put(tree: dict[str, Any], path: list[str], value: Any) -> None:
    if len(path) > _DEPTH:
        raise ValueError("nested too deeply")
    for part in path[:-1]:
        below = tree.get(part)
        if not isinstance(below, dict):
            below = tree[part] = {}
        tree = below
    tree[path[-1]] = value
