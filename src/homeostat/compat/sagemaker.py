"""SageMaker's container contract on `POST /invocations`: its formats, the answer's by `Accept`, its headers.

`X-Amzn-SageMaker-Inference-Id` becomes the request id, so labels can be joined by it; of several rows each gets it with
its place behind (`ID-0`, `ID-1`, ...).
"""

import io
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from homeostat.compat.mlflow_json import columns_of_records, read_json, rows_of_lists
from homeostat.ground.errors import Invalid
from homeostat.serving.outputs import column_names
from homeostat.serving.types import Decoded, NotAcceptable, PredictReply

JSON, CSV, LINES, NPY = "application/json", "text/csv", "application/jsonlines", "application/x-npy"
FORMATS = (JSON, CSV, LINES, NPY)

INFERENCE_ID = "x-amzn-sagemaker-inference-id"
ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
VARIANT = "x-amzn-invoked-production-variant"

_MAX_ATTRIBUTES = 1_024
_NPY_HEAD = 10_000
_encode_lines = msgspec.json.Encoder().encode_lines


class Wish(msgspec.Struct, gc=False):
    """What the reply needs to know of the request."""

    format: str
    attributes: str = ""
    """Sent back as they came: SageMaker hands them on to its caller."""


def wish_of(header: Callable[[str], str | None]) -> Wish:
    """What the request's headers say of the reply.

    Raises:
        NotAcceptable: when no format is left.
    """
    accept = header("accept")
    kind = JSON if accept is None or accept in {"*/*", JSON} else chosen_format(accept)
    return Wish(kind, (header(ATTRIBUTES) or "")[:_MAX_ATTRIBUTES])


def chosen_format(accept: str) -> str:
    """The first of the formats the caller likes best that we write.

    >>> chosen_format("text/csv;q=0.5, application/jsonlines")
    'application/jsonlines'

    Raises:
        NotAcceptable: when there is none.
    """
    ranges = []
    for place, part in enumerate(accept.split(",")):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((text[2:] for text in parameters if text.startswith("q=")), "1")
        ranges.append((-_quality(quality), place, kind))
    for negated, _, kind in sorted(ranges):
        if negated == 0:
            continue
        if kind in FORMATS:
            return kind
        if kind in {"*", "*/*", "application/*", ""}:
            return JSON
        if kind == "text/*":
            return CSV
    raise NotAcceptable(f"{accept!r:.100} is not written here", field="accept", next_step=f"use {', '.join(FORMATS)}")


def request_ids(decoded: Decoded, header: Callable[[str], str | None]) -> list[str] | None:
    """The rows' ids as SageMaker gives them; None when it gives none, or the rows bring their own."""
    given = header(INFERENCE_ID)
    if not given or "request_id" in decoded.inputs:
        return None
    count = len(decoded.matrix if decoded.matrix is not None else next(iter(decoded.inputs.values()), ()))
    return [given] if count == 1 else [f"{given}-{row}" for row in range(count)]


def reply_headers(reply: PredictReply, wish: Wish) -> list[tuple[str, str]]:
    """The format, and which arms answered: what SageMaker calls a production variant."""
    arms = ",".join(dict.fromkeys(reply.arms))
    headers = [("content-type", wish.format), (VARIANT, arms)]
    if wish.attributes:
        headers.append((ATTRIBUTES, wish.attributes))
    return headers


def csv_reply(reply: PredictReply) -> bytes:
    """A line a row, without a header: the score, or all values of the row."""
    if reply.table is None:
        return "".join([f"{score!r}\n" for score in reply.scores]).encode()
    return "".join([",".join(map(repr, row)) + "\n" for row in reply.table.tolist()]).encode()


def rows_of_lines(body: bytes) -> Decoded:
    """Rows of JSON Lines: each `[number, ...]`, `{"features": [number, ...]}` or `{column: value, ...}`.

    Raises:
        Invalid: when a line is none of these, or they differ.
    """
    rows = [read_json(line) for line in body.splitlines() if line.strip()]
    if not rows:
        raise Invalid("the body is empty", field="body", next_step="send a line a row")
    if all(isinstance(row, dict) and row.keys() == {"features"} and isinstance(row["features"], list) for row in rows):
        rows = [row["features"] for row in rows]
    if all(isinstance(row, list) for row in rows):
        return rows_of_lists(rows, "body")
    if all(isinstance(row, dict) and row for row in rows):
        return Decoded(inputs=columns_of_records(rows, "body"))
    raise Invalid("the lines are not well made", field="body", next_step='send [number, ...] or {"column": value, ...}')


def rows_of_npy(body: bytes) -> Decoded:
    """A matrix of NumPy's file format; one dimension is one column.

    Raises:
        Invalid: when it is no such file, holds no numbers, or another number of them than its shape says.
    """
    source = io.BytesIO(body)
    try:
        major, _ = np.lib.format.read_magic(source)
        read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}[major]
        shape, is_fortran, dtype = read(source, max_header_size=_NPY_HEAD)
    except Exception as error:  # its header is a Python literal: there are a dozen ways in which it can be wrong
        raise Invalid("the body is no NumPy array", field="body", next_step="send what np.save() writes") from error
    if dtype.kind not in "iuf" or dtype.itemsize > 8 or len(shape) not in {1, 2}:
        raise Invalid(
            f"the array is {len(shape)}-dimensional of {dtype.kind!r}",
            field="body",
            next_step="send numbers [n, columns]",
        )
    values = body[source.tell() :]
    count = 1
    for size in shape:
        count *= size
    if count * dtype.itemsize != len(values) or min(shape) < 1:
        raise Invalid("the array's shape and data do not agree", field="body", next_step="send what np.save() writes")
    with np.errstate(invalid="ignore"):
        matrix = np.frombuffer(values, dtype).astype(np.float64)
    columns = shape[1] if len(shape) == 2 else 1
    return Decoded(matrix=np.ascontiguousarray(matrix.reshape((shape[0], columns), order="F" if is_fortran else "C")))


def lines_reply(reply: PredictReply) -> bytes:
    """`{"score": ..., "request_id": ...}` a line, all values of the row by name where there are several."""
    rows: list[dict[str, Any]] = [{"score": score} for score in reply.scores]
    if reply.table is not None:
        names = column_names(reply.signature, reply.table.shape[1])
        values = reply.table.tolist()
        rows = [dict(zip(names, row, strict=True)) if names else {"scores": row} for row in values]
    return _encode_lines([row | {"request_id": given} for row, given in zip(rows, reply.request_ids, strict=True)])


def npy_reply(reply: PredictReply) -> bytes:
    """The scores, or all values, as NumPy writes them."""
    out = io.BytesIO()
    np.save(out, np.asarray(reply.scores if reply.table is None else reply.table, "<f8"), allow_pickle=False)
    return out.getvalue()


def _quality(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 1.0)
    except ValueError:
        return 1.0
