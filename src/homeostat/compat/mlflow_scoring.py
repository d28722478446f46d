"""MLflow's scoring protocol, `POST /invocations`: four JSON forms, or CSV with a header line (SageMaker's too)."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import msgspec

from homeostat.ground.errors import HomeostatError, Invalid
from homeostat.serving.types import Decoded, Encoded, PredictReply, WrongContentType

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")

_encode = msgspec.json.Encoder().encode
_CODES = {404: "RESOURCE_DOES_NOT_EXIST", 503: "TEMPORARILY_UNAVAILABLE"}


class MlflowScoring:
    """Translates `POST /invocations`."""

    protocol = "mlflow"

    def decode(self, body: bytes, header: Callable[[str], str | None]) -> Decoded:
        """Columns from whichever form the body has.

        Raises:
            WrongContentType: for anything but JSON or CSV in UTF-8.
            Invalid: naming the part that is wrong.
        """
        kind, _, rest = (header("content-type") or "application/json").lower().partition(";")
        _check_charset(rest)
        match kind.strip():
            case "application/json":
                return Decoded(inputs=columns_of(read_json(body)))
            case "text/csv":
                return Decoded(inputs=read_csv(body), is_text=True)
        raise WrongContentType(
            f"content type {kind.strip()!r} is not read here",
            field="content-type",
            next_step="send application/json or text/csv",
        )

    def encode(self, reply: PredictReply, wish: Any) -> Encoded:  # noqa: ARG002  this protocol has no wishes
        """`{"predictions": [...], "request_ids": [...]}`; labels come in later under these ids."""
        body = {
            "predictions": reply.scores,
            "request_ids": reply.request_ids,
            "parameters": {"versions": reply.versions, "arms": reply.arms},
        }
        return Encoded(body=_encode(body), headers=[("content-type", "application/json")])

    def encode_error(self, error: HomeostatError, status: int) -> bytes:
        """MLflow's `error_code` and `message`, and our own fields; never a stack trace."""
        code = _CODES.get(status, "BAD_REQUEST" if status < 500 else "INTERNAL_ERROR")
        return _encode({"error_code": code, "message": str(error)} | error.as_dict())


def read_json(body: bytes) -> dict[str, Any]:
    """The object in the body; NaN is read too, for MLflow's own client writes it.

    Raises:
        Invalid: when it is not a JSON object.
    """
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        value = _read_lenient(body)
    except RecursionError as error:
        raise Invalid("the body is nested too deeply", field="body", next_step="send flat columns") from error
    if not isinstance(value, dict):
        raise Invalid("the body is not a JSON object", field="body", next_step=f"send one of {', '.join(FORMS)}")
    return value


def columns_of(body: dict[str, Any]) -> dict[str, list[Any]]:
    """Columns of the one form the object holds.

    Raises:
        Invalid: when it holds none or several, or the form is not well made.
    """
    found = [form for form in FORMS if form in body]
    if len(found) != 1:
        raise Invalid(
            f"the body holds {' and '.join(found) if found else 'none of the input forms'}",
            field=found[0] if found else "body",
            next_step=f"send exactly one of {', '.join(FORMS)}",
        )
    unknown = body.keys() - {found[0], "params"}
    if unknown:
        raise Invalid(f"unknown key {min(unknown)!r}", field=min(unknown), next_step="leave it out")
    return _READERS[found[0]](body[found[0]], found[0])


def read_csv(body: bytes) -> dict[str, list[Any]]:
    """Columns of text, named by the first line.

    Raises:
        Invalid: when a line has another number of fields, or a name comes twice.
    """
    try:
        rows = [row for row in csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise Invalid(f"the body is not CSV: {error}", field="body", next_step="send CSV in UTF-8") from error
    if not rows:
        raise Invalid("the body is empty", field="body", next_step="send a header line and a line a row")
    names = rows[0]
    _check_names(names, "body")
    return _columns(names, rows[1:], "body")


def _split(value: Any, form: str) -> dict[str, list[Any]]:
    if (
        not isinstance(value, dict)
        or not isinstance(value.get("columns"), list)
        or not isinstance(value.get("data"), list)
    ):
        raise _malformed(form, '{"columns": [...], "data": [[...], ...]}')
    if not all(isinstance(row, list) for row in value["data"]):
        raise _malformed(form, "a list of rows under data")
    names = value["columns"]
    _check_names(names, form)
    return _columns(names, value["data"], form)


def _records(value: Any, form: str) -> dict[str, list[Any]]:
    if not isinstance(value, list) or not value or not all(isinstance(row, dict) for row in value):
        raise _malformed(form, "[{column: value, ...}, ...]")
    names = list(value[0])
    for number, row in enumerate(value):
        if row.keys() != value[0].keys():
            wrong = min(row.keys() ^ value[0].keys())
            raise Invalid(
                f"{form}: row {number} and row 0 differ in column {wrong!r}",
                field=wrong,
                next_step="give every row the same columns",
            )
    return {name: [row[name] for row in value] for name in names}


def _by_column(value: Any, form: str) -> dict[str, list[Any]]:
    if isinstance(value, list):
        return _records(value, form)
    if not isinstance(value, dict) or not value or not all(isinstance(values, list) for values in value.values()):
        raise _malformed(form, "{column: [values], ...}")
    return value


_READERS: dict[str, Callable[[Any, str], dict[str, list[Any]]]] = {
    "dataframe_split": _split,
    "dataframe_records": _records,
    "instances": _by_column,
    "inputs": _by_column,
}


def _columns(names: list[str], rows: list[list[Any]], form: str) -> dict[str, list[Any]]:
    for number, row in enumerate(rows):
        if len(row) != len(names):
            raise Invalid(
                f"{form}: row {number} has {len(row)} values for {len(names)} columns",
                field=form,
                next_step="give every row one value a column",
            )
    if not rows:
        return {name: [] for name in names}
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


def _check_names(names: list[Any], form: str) -> None:
    if not all(isinstance(name, str) for name in names):
        raise _malformed(form, "column names that are text")
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise Invalid(f"{form}: column {twice!r} comes twice", field=twice, next_step="send each column once")


def _read_lenient(body: bytes) -> Any:
    try:
        value = json.loads(body)
        json.dumps(value, ensure_ascii=False).encode()  # it also lets half surrogates through, which nothing can store
        return value
    except (ValueError, RecursionError) as error:
        raise Invalid(f"the body is not JSON: {error}", field="body", next_step="send JSON in UTF-8") from error


def _check_charset(parameters: str) -> None:
    charset = parameters.partition("charset=")[2].split(";")[0].strip(' "')
    if charset not in {"", "utf-8", "utf8"}:
        raise WrongContentType(f"charset {charset!r} is not read here", field="content-type", next_step="send UTF-8")


def _malformed(form: str, wanted: str) -> Invalid:
    return Invalid(f"{form} is not well made", field=form, next_step=f"send {wanted}")
