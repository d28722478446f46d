"""Open Inference Protocol v2 over REST: tensors in JSON, or binary behind a JSON head (KServe, Triton, MLServer).

One tensor a column, shape [n] or [n, 1]; the reply has `score` (FP64) and `request_id` (BYTES).
"""

import math
import re
from collections.abc import Callable
from typing import Any

import msgspec

from homeostat.compat.oip_binary import pack_floats, pack_texts, take_tensors
from homeostat.compat.oip_types import DATATYPES, InferRequest, Output, Tensor
from homeostat.ground.errors import HomeostatError, Invalid
from homeostat.serving.types import Decoded, Encoded, PredictReply

HEAD_LENGTH = "inference-header-content-length"
OUTPUTS = ("score", "request_id")

_decode = msgspec.json.Decoder(InferRequest).decode
_encode = msgspec.json.Encoder().encode
_WHERE = re.compile(r" - at `\$\.?(.*)`$")


class OpenInference:
    """Translates `POST /v2/models/NAME/infer`."""

    protocol = "oip"

    def decode(self, body: bytes, header: Callable[[str], str | None]) -> Decoded:
        """Columns from tensors.

        Raises:
            Invalid: naming the tensor or the part of the body that is wrong.
        """
        head_length = header(HEAD_LENGTH)
        if head_length is None:
            request = read_head(body)
        else:
            if not head_length.isdecimal() or int(head_length) > len(body):
                raise Invalid(
                    f"{HEAD_LENGTH} is {head_length!r}, the body has {len(body)} bytes",
                    field=HEAD_LENGTH,
                    next_step="send the length of the JSON head in bytes",
                )
            request = read_head(body[: int(head_length)])
            take_tensors(request.inputs, memoryview(body)[int(head_length) :])
        for output in request.outputs or ():
            if output.name not in OUTPUTS:
                raise Invalid(
                    f"there is no output {output.name!r}",
                    field="outputs",
                    next_step=f"outputs are {', '.join(OUTPUTS)}",
                )
        inputs = {tensor.name: column_of(tensor) for tensor in request.inputs}
        if len(inputs) != len(request.inputs):
            names = [tensor.name for tensor in request.inputs]
            twice = next(name for name in names if names.count(name) > 1)
            raise Invalid(f"input {twice!r} comes twice", field=twice, next_step="send each column once")
        return Decoded(inputs=inputs, wish=request)

    def encode(self, reply: PredictReply, wish: Any) -> Encoded:
        """The reply's tensors, binary where they were asked for so."""
        request: InferRequest = wish
        names = [output.name for output in request.outputs or ()] or list(OUTPUTS)
        asked = {output.name: output for output in request.outputs or ()}
        tail: list[bytes] = []
        outputs = []
        for name in names:
            if _is_binary(request, asked.get(name)):
                tail.append(pack_floats(reply.scores) if name == "score" else pack_texts(reply.request_ids))
                outputs.append(_tensor(name, reply) | {"parameters": {"binary_data_size": len(tail[-1])}})
            else:
                outputs.append(_tensor(name, reply) | {"data": _values(name, reply)})
        head = _encode(_head(request, reply) | {"outputs": outputs})
        if not tail:
            return Encoded(body=head, headers=[("content-type", "application/json")])
        headers = [("content-type", "application/octet-stream"), (HEAD_LENGTH, str(len(head)))]
        return Encoded(body=b"".join([head, *tail]), headers=headers)

    def encode_error(self, error: HomeostatError, status: int) -> bytes:  # noqa: ARG002  its body does not tell it
        """`{"error": text}`, which every OIP client reads, and our own fields beside it."""
        return _encode(error.as_dict())


def read_head(body: bytes) -> InferRequest:
    """The JSON part of a request.

    Raises:
        Invalid: naming the part that is wrong.
    """
    try:
        return _decode(body)
    except msgspec.ValidationError as error:
        found = _WHERE.search(str(error))
        raise Invalid(
            f"the request is not an inference request: {error}",
            field=found[1] if found and found[1] else "body",
            next_step='send {"inputs": [{"name", "shape", "datatype", "data"}]}',
        ) from error
    except RecursionError as error:
        raise Invalid("the body is nested too deeply", field="body", next_step="send [n] or [n, 1]") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"the body is not JSON: {error}", field="body", next_step="send JSON in UTF-8") from error


def column_of(tensor: Tensor) -> list[Any]:
    """A tensor's values as one column; JSON null is a missing value.

    Raises:
        Invalid: naming the tensor, when shape, datatype and data do not agree.
    """
    shape = tensor.shape
    if not (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)):
        raise _invalid(tensor, f"has shape {shape}", "send one tensor a column, shape [n] or [n, 1]")
    if tensor.datatype not in DATATYPES:
        raise _invalid(tensor, f"has datatype {tensor.datatype!r}", f"use {', '.join(DATATYPES)}")
    if not isinstance(tensor.data, list):
        raise _invalid(tensor, "has no data", "send a flat or nested list")
    data: list[Any] = tensor.data
    if data and isinstance(data[0], list):
        if any(not isinstance(row, list) or len(row) != 1 for row in data):
            raise _invalid(tensor, "nests rows of another length than 1", "send [[a], [b], ...] or [a, b, ...]")
        data = [row[0] for row in data]
    if len(data) != shape[0]:
        raise _invalid(tensor, f"has {len(data)} elements, its shape {shape} says {shape[0]}", "mend shape or data")
    return _checked(tensor, data)


def _checked(tensor: Tensor, data: list[Any]) -> list[Any]:
    wanted = DATATYPES[tensor.datatype]
    kinds = set(map(type, data)) - {type(None)}
    if not kinds <= wanted.kinds:
        wrong = next(value for value in data if value is not None and type(value) not in wanted.kinds)
        raise _invalid(tensor, f"is {tensor.datatype} but holds {wrong!r:.60}", "mend datatype or data")
    if wanted.low is not None and any(value is not None and not wanted.low <= value <= wanted.high for value in data):
        raise _invalid(tensor, f"holds a value outside {tensor.datatype}", "use a wider datatype")
    if float in kinds:  # NaN comes in binary tensors only, where there is no null
        return [None if type(value) is float and math.isnan(value) else value for value in data]
    return data


def _invalid(tensor: Tensor, what: str, next_step: str) -> Invalid:
    return Invalid(f"input {tensor.name!r} {what}", field=tensor.name, next_step=next_step)


def _is_binary(request: InferRequest, output: Output | None) -> bool:
    everywhere = bool((request.parameters or {}).get("binary_data_output", False))
    return bool((output.parameters or {}).get("binary_data", everywhere)) if output else everywhere


def _head(request: InferRequest, reply: PredictReply) -> dict[str, Any]:
    head: dict[str, Any] = {"model_name": reply.endpoint}
    if reply.only_version is not None:
        head["model_version"] = str(reply.only_version)
    if request.id:
        head["id"] = request.id
    parameters = {"versions": reply.versions, "arms": reply.arms, "request_ids": reply.request_ids}
    return head | {"parameters": parameters}


def _tensor(name: str, reply: PredictReply) -> dict[str, Any]:
    return {"name": name, "datatype": "FP64" if name == "score" else "BYTES", "shape": [len(reply.scores)]}


def _values(name: str, reply: PredictReply) -> list[Any]:
    return reply.scores if name == "score" else reply.request_ids
