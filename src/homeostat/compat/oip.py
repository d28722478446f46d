"""Open Inference Protocol v2 over REST: tensors in JSON, or binary behind a JSON head (KServe, Triton, MLServer).

One tensor a column, or one tensor for all of them; the reply has `score` (FP64) and `request_id` (BYTES).
"""

import json
import re
from collections.abc import Callable, Collection
from typing import Any

import msgspec

from homeostat.compat.oip_binary import pack_floats, pack_texts, take_tensors
from homeostat.compat.oip_tensors import rows_of
from homeostat.compat.oip_types import FloatRequest, InferReply, InferRequest, Output, OutputTensor
from homeostat.ground.errors import HomeostatError, Invalid
from homeostat.serving.outputs import NAMES, NamedOutput, outputs_of
from homeostat.serving.types import Decoded, Encoded, PredictReply, WrongContentType

HEAD_LENGTH = "inference-header-content-length"

_FLOATS = frozenset({"FP64", "FP32"})
_FRONT = 4096
"""Bytes in which it mostly shows whether all tensors are floats; if not, there is no use in reading them as such."""
# The third is what curl says of -d, and some clients say nothing else.
_TYPES = ("application/json", "application/octet-stream", "application/x-www-form-urlencoded")
_JSON = ("content-type", "application/json")
_BINARY = ("content-type", "application/octet-stream")
_decode = msgspec.json.Decoder(InferRequest).decode
_decode_floats = msgspec.json.Decoder(FloatRequest).decode
_encode = msgspec.json.Encoder().encode
_WHERE = re.compile(r" - at `\$\.?(.*)`$")


class OpenInference:
    """Translates `POST /v2/models/NAME/infer`."""

    protocol = "oip"

    def decode(self, body: bytes, header: Callable[[str], str | None]) -> Decoded:
        """Rows from tensors.

        Raises:
            WrongContentType: for a body that says it is something else.
            Invalid: naming the tensor or the part of the body that is wrong.
        """
        _check_type(header("content-type"))
        head_length = header(HEAD_LENGTH)
        if head_length is None:
            request = read_head(body)
        else:
            if not (head_length.isascii() and head_length.isdecimal() and int(head_length[:20]) <= len(body)):
                raise Invalid(
                    f"{HEAD_LENGTH} is {head_length!r:.40}, the body has {len(body)} bytes",
                    field=HEAD_LENGTH,
                    next_step="send the length of the JSON head in bytes",
                )
            request = read_head(body[: int(head_length)])
            take_tensors(request.inputs, memoryview(body)[int(head_length) :])
        check_asked(request.outputs, NAMES)
        return rows_of(request.inputs, request)

    def encode(self, reply: PredictReply, wish: Any) -> Encoded:
        """The reply's tensors, binary where they were asked for so.

        Raises:
            Invalid: when an output was asked for that the model does not have.
        """
        request: InferRequest = wish
        everywhere = bool(request.parameters and request.parameters.get("binary_data_output"))
        tail: list[bytes] = []
        outputs = []
        for output, asked in asked_outputs(reply, request.outputs):
            if _is_binary(asked, everywhere=everywhere):
                tail.append(pack(output))
                size = {"binary_data_size": len(tail[-1])}
                outputs.append(
                    OutputTensor(name=output.name, datatype=output.datatype, shape=output.shape, parameters=size)
                )
            else:
                outputs.append(
                    OutputTensor(name=output.name, datatype=output.datatype, shape=output.shape, data=_flat(output))
                )
        version = reply.only_version
        head = _encode(
            InferReply(
                model_name=reply.endpoint,
                model_version=None if version is None else str(version),
                id=request.id or None,
                parameters={"versions": reply.versions, "arms": reply.arms, "request_ids": reply.request_ids},
                outputs=outputs,
            )
        )
        if not tail:
            return Encoded(body=head, headers=[_JSON])
        return Encoded(body=b"".join([head, *tail]), headers=[_BINARY, (HEAD_LENGTH, str(len(head)))])

    def encode_error(self, error: HomeostatError, status: int) -> bytes:  # noqa: ARG002  its body does not tell it
        """`{"error": text}`, which every OIP client reads, and our own fields beside it."""
        return _encode(error.as_dict())


def check_asked(asked: list[Output] | None, names: Collection[str]) -> None:
    """Refuse an output that there is not.

    Raises:
        Invalid: naming it.
    """
    for output in asked or ():
        if output.name not in names:
            raise Invalid(
                f"there is no output {output.name!r:.80}", field="outputs", next_step=f"outputs are {', '.join(names)}"
            )


def asked_outputs(reply: PredictReply, asked: list[Output] | None) -> list[tuple[NamedOutput, Output | None]]:
    """The outputs that were asked for, in that order, or all of them when none was.

    Raises:
        Invalid: when there is no such output.
    """
    outputs = outputs_of(reply)
    if not asked:
        return [(output, None) for output in outputs]
    by_name = {output.name: output for output in outputs}
    check_asked(asked, by_name)
    return [(by_name[wanted.name], wanted) for wanted in asked]


def pack(output: NamedOutput) -> bytes:
    """An output in binary form."""
    return pack_texts(output.values) if output.datatype == "BYTES" else pack_floats(output.values)


def read_head(body: bytes) -> InferRequest:
    """The JSON part of a request.

    Raises:
        Invalid: naming the part that is wrong.
    """
    try:
        return _read(body)
    except msgspec.ValidationError as error:
        found = _WHERE.search(str(error))
        raise Invalid(
            f"the request is not an inference request: {error}",
            field=found[1] if found and found[1] else "body",
            next_step='send {"inputs": [{"name", "shape", "datatype", "data"}]}',
        ) from error
    except RecursionError as error:
        raise Invalid("the body is nested too deeply", field="body", next_step="send [n] or [n, columns]") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"the body is not JSON: {error}", field="body", next_step="send JSON in UTF-8") from error


def _check_type(content_type: str | None) -> None:
    if content_type is None or content_type == "application/json" or content_type.lower().startswith(_TYPES):
        return
    raise WrongContentType(
        f"content type {content_type!r:.80} is not read here",
        field="content-type",
        next_step="send application/json, or application/octet-stream with binary tensors",
    )


def _read(body: bytes) -> InferRequest:
    find = body.find
    if find(b"BYTES", 0, _FRONT) < 0 and find(b"INT", 0, _FRONT) < 0 and find(b"BOOL", 0, _FRONT) < 0:
        try:
            request = _decode_floats(body)
        except msgspec.DecodeError:
            pass  # whatever is wrong is told below, where every datatype is read
        else:
            inputs = request.inputs
            if (len(inputs) == 1 and inputs[0].datatype in _FLOATS) or all(one.datatype in _FLOATS for one in inputs):
                return request
    try:
        return _decode(body)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        if b"NaN" not in body and b"Infinity" not in body:
            raise
        return _read_lenient(body)


def _read_lenient(body: bytes) -> InferRequest:
    """The same where NaN stands in the JSON, as Python's own encoder writes it."""
    try:
        value = json.loads(body)
        json.dumps(value, ensure_ascii=False).encode()  # half surrogates pass the decoder, and nothing can store them
    except ValueError as error:
        raise Invalid(f"the body is not JSON: {error}", field="body", next_step="send JSON in UTF-8") from error
    return msgspec.convert(value, InferRequest)


def _is_binary(asked: Output | None, *, everywhere: bool) -> bool:
    return bool(asked.parameters.get("binary_data", everywhere)) if asked and asked.parameters else everywhere


def _flat(output: NamedOutput) -> list[Any]:
    """Row-major, as the protocol has it; lists are flat already."""
    return output.values if isinstance(output.values, list) else output.values.ravel().tolist()
