"""Saying which name is wrong and which was probably meant."""

import difflib
from collections.abc import Iterable, Mapping

from homeostat.ground.errors import Invalid
from homeostat.ground.records import InputColumn

Schema = Mapping[str, str]
"""Column name to 'number', 'string', 'time' or 'boolean'."""


def schema_of(columns: Iterable[InputColumn]) -> Schema:
    """Names and types of columns."""
    return {column.name: column.dtype for column in columns}


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The mend for an unknown name: the closest known one, or all of them.

    >>> did_you_mean("temp_c", ["temp_f", "ts"])
    "did you mean 'temp_f'?"
    """
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"


def check_column(name: str, schema: Schema, *, where: str, of: str) -> str:
    """The type of a column.

    Raises:
        Invalid: when there is none of that name; `where` says who asked for it, `of` whose column it should be.
    """
    if name in schema:
        return schema[name]
    raise Invalid(f"{where}: {of} has no column {name!r}", field=name, next_step=did_you_mean(name, schema))
