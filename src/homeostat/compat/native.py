"""Our own compact form, `POST /predict/NAME`: named features in, named outputs out, in JSON or MessagePack.

    {"inputs": {"distance": 640, "carrier": "UA"}}  →  {"outputs": {"score": 0.31}, "request_id": "...", ...}
    {"inputs": {"distance": [640, 90], ...}}  →  {"outputs": {"score": [0.31, 0.12]}, "request_id": [...], ...}
    {"inputs": [{"distance": 640, ...}, {...}]}  →  {"outputs": [{"score": 0.31}, {...}], "request_id": [...], ...}

What comes back has the shape of what was sent. Inputs may be entity keys alone: then the server reads the features.
"""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from homeostat.compat.mlflow_json import columns_of_records
from homeostat.ground.errors import HomeostatError, Invalid
from homeostat.serving.inputs import REQUEST_ID, REQUEST_TIME
from homeostat.serving.outputs import REQUEST_ID as IDS
from homeostat.serving.outputs import column_names, outputs_of
from homeostat.serving.types import Decoded, Encoded, PredictReply, WrongContentType

JSON, MSGPACK = "application/json", "application/msgpack"
_KINDS = {JSON: JSON, MSGPACK: MSGPACK, "application/x-msgpack": MSGPACK, "application/vnd.msgpack": MSGPACK}
_WHERE = re.compile(r" - at `\$\.?(.*)`$")


class Compact(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /predict/NAME`."""

    inputs: dict[str, Any] | list[dict[str, Any]]
    request_id: str | list[str | None] | None = None
    """The key that labels join on; made up when it is not given."""
    time: str | int | list[str | int | None] | None = None
    """The moment as of which features are read: ISO 8601, or microseconds since 1970 UTC. Now, when not given."""


class Wish(msgspec.Struct, gc=False):
    """What the reply needs to know of the request."""

    form: str
    """'one', 'columns' or 'rows'."""
    kind: str = JSON


class CompactForm:
    """Translates `POST /predict/NAME`."""

    protocol = "native"

    def __init__(self) -> None:
        self._read: dict[str, Callable[[bytes], Compact]] = {
            JSON: msgspec.json.Decoder(Compact).decode,
            MSGPACK: msgspec.msgpack.Decoder(Compact).decode,
        }
        self._write: dict[str, Callable[[Any], bytes]] = {
            JSON: msgspec.json.Encoder().encode,
            MSGPACK: msgspec.msgpack.Encoder().encode,
        }

    def decode(self, body: bytes, header: Callable[[str], str | None]) -> Decoded:
        """Columns of the rows.

        Raises:
            WrongContentType: for anything but JSON and MessagePack.
            Invalid: naming the part that is wrong.
        """
        kind = _kind(header("content-type"))
        request = self._compact(body, kind)
        inputs, form = _columns(request.inputs)
        wish = Wish(form, _KINDS.get(header("accept") or "", kind))
        ids, times = request.request_id, request.time
        if times is not None:
            if REQUEST_TIME in inputs:
                raise _twice("time", REQUEST_TIME)
            inputs[REQUEST_TIME] = times if isinstance(times, list) else [times] * _rows(inputs)
        if ids is not None:
            if REQUEST_ID in inputs:
                raise _twice("request_id", REQUEST_ID)
            inputs[REQUEST_ID] = ids if isinstance(ids, list) else [ids]
        return Decoded(inputs=inputs, wish=wish)

    def encode(self, reply: PredictReply, wish: Any) -> Encoded:
        """The outputs by name, in the form in which the inputs came."""
        wished: Wish = wish
        outputs = {output.name: _plain(output.values) for output in outputs_of(reply) if output.name != IDS}
        width = 0 if reply.table is None else reply.table.shape[1]
        names = column_names(reply.signature, width)
        if names:  # several values a row, each by its own name
            name = next(name for name, values in outputs.items() if isinstance(values[0], list))
            outputs[name] = [dict(zip(names, row, strict=True)) for row in outputs[name]]
        ids, versions, arms = reply.request_ids, reply.versions, reply.arms
        body: dict[str, Any] = {"outputs": outputs, "request_id": ids, "version": versions, "arm": arms}
        if wished.form == "one":
            one = {name: values[0] for name, values in outputs.items()}
            body = {"outputs": one, "request_id": ids[0], "version": versions[0], "arm": arms[0]}
        elif wished.form == "rows":
            rows = zip(*outputs.values(), strict=True)
            body["outputs"] = [dict(zip(outputs, row, strict=True)) for row in rows]
        return Encoded(body=self._write[wished.kind](body), headers=[("content-type", wished.kind)])

    def encode_error(self, error: HomeostatError, status: int) -> bytes:  # noqa: ARG002  its body does not tell it
        """Our own errors, always in JSON."""
        return self._write[JSON](error.as_dict())

    def _compact(self, body: bytes, kind: str) -> Compact:
        try:
            return self._read[kind](body)
        except msgspec.ValidationError as error:
            found, unknown = _WHERE.search(str(error)), re.search(r"unknown field `(.*?)`", str(error))
            raise Invalid(
                f"the request is not well made: {error}",
                field=(unknown[1] if unknown else found[1] if found else "") or "body",
                next_step='send {"inputs": {feature: value}}, and request_id and time if you like',
            ) from error
        except RecursionError as error:
            raise Invalid("the body is nested too deeply", field="body", next_step="send flat values") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            named = "JSON" if kind == JSON else "MessagePack"
            raise Invalid(f"the body is not {named}: {error}", field="body", next_step=f"send {named}") from error


def _columns(inputs: dict[str, Any] | list[dict[str, Any]]) -> tuple[dict[str, list[Any]], str]:
    if not inputs or (isinstance(inputs, list) and not inputs[0]):
        raise Invalid("there are no inputs", field="inputs", next_step="send one value for each feature")
    if isinstance(inputs, list):
        return columns_of_records(inputs, "inputs"), "rows"
    lists = sum(type(value) is list for value in inputs.values())
    if not lists:
        return {name: [value] for name, value in inputs.items()}, "one"
    if lists < len(inputs):
        single = next(name for name, value in inputs.items() if type(value) is not list)
        raise Invalid(
            f"input {single!r:.80} is one value beside lists",
            field=single,
            next_step="send one value for each feature, or one list for each",
        )
    return dict(inputs), "columns"


def _kind(content_type: str | None) -> str:
    kind = (content_type or JSON).partition(";")[0].strip().lower()
    # What curl sends with -d when nobody says what it is.
    if kind == "application/x-www-form-urlencoded":
        return JSON
    if kind not in _KINDS:
        raise WrongContentType(
            f"content type {kind!r:.80} is not read here",
            field="content-type",
            next_step="send application/json or application/msgpack",
        )
    return _KINDS[kind]


def _rows(inputs: dict[str, list[Any]]) -> int:
    return len(next(iter(inputs.values())))


def _plain(values: Any) -> list[Any]:
    return values if isinstance(values, list) else list(values.tolist())


def _twice(field: str, column: str) -> Invalid:
    return Invalid(f"{field} is given beside the input column {column!r}", field=field, next_step="send one of the two")
