"""CSV to rows: with a header line as MLflow has it, or without one as SageMaker has it.

`text/csv; header=present|absent` (RFC 4180) says which. Without a word, a first line of numbers is a row, and one that
holds any other text is a header; `0,1,2`, which is both what pandas writes over unnamed columns and a row that can be
true, is refused unless the request says which it is or came from SageMaker.
"""

import csv
import io

import numpy as np

from homeostat.compat.mlflow_json import named_columns
from homeostat.ground.errors import Invalid
from homeostat.serving.types import Decoded

_HEADER = {"present": True, "absent": False, "": None}


def rows_of_csv(body: bytes, header: str) -> Decoded:
    """Rows of text. `header` is 'present', 'absent' or empty.

    Raises:
        Invalid: when it is no CSV, lines differ in their number of fields, or nobody can tell whether it has a header.
    """
    lines = _lines(body)
    if header not in _HEADER:
        raise Invalid(f"header={header!r:.40}", field="content-type", next_step="say header=present or header=absent")
    named = _HEADER[header] if _HEADER[header] is not None else _is_header(lines)
    if named:
        return Decoded(inputs=named_columns(lines[0], lines[1:], "body"), is_text=True)
    return Decoded(matrix=_matrix(lines))


def _lines(body: bytes) -> list[list[str]]:
    try:
        lines = [line for line in csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True) if line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise Invalid(f"the body is not CSV: {error}", field="body", next_step="send CSV in UTF-8") from error
    if not lines:
        raise Invalid("the body is empty", field="body", next_step="send a header line and a line a row")
    return lines


def _is_header(lines: list[list[str]]) -> bool:
    first = lines[0]
    if not all(_is_number(field) for field in first):
        return True
    if len(lines) > 1 and first == [str(place) for place in range(len(first))]:
        raise Invalid(
            "the first line can be a header as well as a row",
            field="content-type",
            next_step="say text/csv; header=present or text/csv; header=absent",
        )
    return False


def _matrix(lines: list[list[str]]) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    width = len(lines[0])
    for number, line in enumerate(lines):
        if len(line) != width:
            raise Invalid(
                f"line {number + 1} has {len(line)} fields, the first has {width}",
                field="body",
                next_step="give every line the same number of fields",
            )
        for place, field in enumerate(line):
            if not _is_number(field):
                raise Invalid(
                    f"line {number + 1}, field {place + 1}: {field!r:.60} is not a number",
                    field="body",
                    next_step="mend it, or send a header line with the columns' names",
                )
    values = [[float(field) if field.strip() else np.nan for field in line] for line in lines]
    return np.array(values, dtype=np.float64).reshape(len(lines), width)


def _is_number(field: str) -> bool:
    """A number, or nothing: a missing value."""
    try:
        float(field)
    except ValueError:
        return not field.strip()
    return True
