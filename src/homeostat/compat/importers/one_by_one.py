"""Writing many values at once, and, when one of them is refused, the others all the same."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy.engine import Connection

from homeostat.compat.importers.records import Losses
from homeostat.ground.errors import HomeostatError


def write_each(
    conn: Connection,
    values: Mapping[str, Any],
    write: Callable[[dict[str, Any]], object],
    *,
    label: str,
    what: str,
    losses: Losses,
) -> list[str]:
    """Write all at once, or, when one is refused, one by one; reports those that are and returns the others' names."""
    if not values:
        return []
    try:
        with conn.begin_nested():
            write(dict(values))
        return list(values)
    except HomeostatError as error:
        if len(values) == 1:
            losses.add(label, f"{what} {next(iter(values))!r:.100}", error.message)
            return []
    written = []
    for key, value in values.items():
        written += write_each(conn, {key: value}, write, label=label, what=what, losses=losses)
    return written
