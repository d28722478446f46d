"""`POST /invocations`: MLflow's scoring protocol, and SageMaker's, which is the same path in other formats.

MLflow sends JSON in four forms, CSV with a header line, or Parquet. SageMaker adds CSV without one, JSON Lines and
NumPy arrays, the choice of the answer's format by `Accept`, and its own headers.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from homeostat.compat import sagemaker
from homeostat.compat.csv_rows import rows_of_csv
from homeostat.compat.mlflow_json import read_json, rows_of_json
from homeostat.compat.parquet_rows import rows_of_parquet
from homeostat.ground.errors import HomeostatError
from homeostat.serving.outputs import column_names
from homeostat.serving.types import Decoded, Encoded, PredictReply, WrongContentType

PARQUET = "application/vnd.apache.parquet"
TYPES = (sagemaker.JSON, sagemaker.CSV, PARQUET, sagemaker.LINES, sagemaker.NPY)

_PARAMETERS = frozenset({"charset", "header", "label_size"})
_CODES = {404: "RESOURCE_DOES_NOT_EXIST", 503: "TEMPORARILY_UNAVAILABLE", 504: "DEADLINE_EXCEEDED"}
_encode = msgspec.json.Encoder().encode


class MlflowScoring:
    """Translates `POST /invocations`."""

    protocol = "mlflow"

    def decode(self, body: bytes, header: Callable[[str], str | None]) -> Decoded:
        """Rows from whichever form the body has.

        Raises:
            WrongContentType: for a format that is not read here, or another character set than UTF-8.
            Invalid: naming the part that is wrong.
        """
        wish = sagemaker.wish_of(header)
        kind, parameters = content_type(header("content-type"))
        match kind:
            case sagemaker.JSON:
                decoded = rows_of_json(read_json(body))
            case sagemaker.CSV:
                decoded = rows_of_csv(body, parameters.get("header", ""))
            case sagemaker.LINES:
                decoded = sagemaker.rows_of_lines(body)
            case sagemaker.NPY:
                decoded = sagemaker.rows_of_npy(body)
            case _:
                decoded = rows_of_parquet(body)
        decoded.wish = wish
        decoded.request_ids = sagemaker.request_ids(decoded, header)
        return decoded

    def encode(self, reply: PredictReply, wish: Any) -> Encoded:
        """`{"predictions": [...], "request_ids": [...]}`, or another format; labels come in later under these ids."""
        wished = wish or sagemaker.Wish(sagemaker.JSON)
        match wished.format:
            case sagemaker.CSV:
                body = sagemaker.csv_reply(reply)
            case sagemaker.LINES:
                body = sagemaker.lines_reply(reply)
            case sagemaker.NPY:
                body = sagemaker.npy_reply(reply)
            case _:
                body = _encode(
                    {
                        "predictions": reply.scores if reply.table is None else predictions_of(reply),
                        "request_ids": reply.request_ids,
                        "parameters": {"versions": reply.versions, "arms": reply.arms},
                    }
                )
        return Encoded(body=body, headers=sagemaker.reply_headers(reply, wished))

    def encode_error(self, error: HomeostatError, status: int) -> bytes:
        """MLflow's `error_code` and `message`, and our own fields; never a stack trace."""
        code = _CODES.get(status, "BAD_REQUEST" if status < 500 else "INTERNAL_ERROR")
        return _encode({"error_code": code, "message": str(error)} | error.as_dict())


def predictions_of(reply: PredictReply) -> list[Any]:
    """Several values a row: by name where the model names them, as MLflow writes a data frame."""
    rows: list[list[float]] = reply.table.tolist()
    names = column_names(reply.signature, reply.table.shape[1])
    return [dict(zip(names, row, strict=True)) for row in rows] if names else rows


def content_type(text: str | None) -> tuple[str, dict[str, str]]:
    """The kind of body and the parameters behind it; JSON when nobody says.

    >>> content_type("Text/CSV; charset=utf-8; header=absent")
    ('text/csv', {'charset': 'utf-8', 'header': 'absent'})

    Raises:
        WrongContentType: for what is not read here.
    """
    if text is None or text == sagemaker.JSON:
        return sagemaker.JSON, {}
    kind, *rest = (part.strip() for part in text.lower().split(";"))
    parameters = {name.strip(): value.strip(' "') for name, _, value in (part.partition("=") for part in rest if part)}
    if kind not in TYPES:
        raise _wrong(f"content type {kind!r:.80} is not read here", f"send {', '.join(TYPES)}")
    if parameters.get("charset", "utf-8") not in {"utf-8", "utf8"}:
        raise _wrong(f"charset {parameters['charset']!r:.40} is not read here", "send UTF-8")
    unknown = parameters.keys() - _PARAMETERS
    if unknown:
        raise _wrong(f"content type parameter {min(unknown)!r:.40} is not known", "leave it out")
    return kind, parameters


def _wrong(what: str, next_step: str) -> WrongContentType:
    return WrongContentType(what, field="content-type", next_step=next_step)
