"""ModelInferRequest to rows, rows to ModelInferResponse: raw when the request was raw, else typed."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from homeostat.compat.grpc_messages import message_classes
from homeostat.compat.oip import asked_outputs, check_asked, pack
from homeostat.compat.oip_binary import unpack
from homeostat.compat.oip_tensors import rows_of
from homeostat.compat.oip_types import Output, Tensor
from homeostat.ground.errors import Invalid
from homeostat.serving.outputs import NAMES
from homeostat.serving.types import Decoded, PredictReply

_TYPED = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


class Wish(msgspec.Struct, gc=False):
    """What the reply needs to know of the request."""

    id: str
    is_raw: bool
    outputs: list[Output] | None


def decoded_of(request: Any) -> Decoded:
    """The rows of a ModelInferRequest.

    Raises:
        Invalid: naming the tensor or the part of the message that is wrong.
    """
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise Invalid(
            f"{len(raw)} raw_input_contents for {len(request.inputs)} inputs",
            field="raw_input_contents",
            next_step="send one for each input, in their order, or none",
        )
    tensors = [
        _raw_tensor(tensor, raw[place]) if raw else _typed_tensor(tensor) for place, tensor in enumerate(request.inputs)
    ]
    outputs = [Output(output.name) for output in request.outputs] or None
    check_asked(outputs, NAMES)
    return rows_of(tensors, Wish(request.id, bool(raw), outputs))


def response_of(reply: PredictReply, wish: Wish) -> Any:
    """The reply as a ModelInferResponse.

    Raises:
        Invalid: when an output was asked for that the model does not have.
    """
    version = reply.only_version
    response = message_classes()["ModelInferResponse"](
        model_name=reply.endpoint, model_version="" if version is None else str(version), id=wish.id
    )
    # A parameter holds no list here; of several rows on several arms the two are in the order of the rows.
    arms = reply.arms[:1] if len(set(reply.arms)) == 1 else reply.arms
    response.parameters["arm"].string_param = ",".join(arms)
    if version is None:
        response.parameters["versions"].string_param = ",".join(map(str, reply.versions))
    for output, _ in asked_outputs(reply, wish.outputs):
        tensor = response.outputs.add(name=output.name, datatype=output.datatype, shape=output.shape)
        if wish.is_raw:
            response.raw_output_contents.append(pack(output))
        elif output.datatype == "BYTES":
            tensor.contents.bytes_contents.extend([value.encode() for value in output.values])
        else:
            tensor.contents.fp64_contents.extend(np.ravel(output.values))
    return response


def _raw_tensor(tensor: Any, content: bytes) -> Tensor:
    if tensor.HasField("contents"):
        raise Invalid(
            f"input {tensor.name!r:.80} has contents beside raw_input_contents",
            field=tensor.name,
            next_step="send one of the two",
        )
    found = Tensor(tensor.name, list(tensor.shape), tensor.datatype)
    found.data = unpack(found, content)
    return found


def _typed_tensor(tensor: Any) -> Tensor:
    field = _TYPED.get(tensor.datatype)
    found = Tensor(tensor.name, list(tensor.shape), tensor.datatype)
    if field is None:
        known = tensor.datatype in {"FP16", "BF16"}
        raise Invalid(
            f"input {tensor.name!r:.80} has datatype {tensor.datatype!r:.40}"
            + (", which has no typed form" if known else ""),
            field=tensor.name,
            next_step="send it in raw_input_contents" if known else f"use {', '.join(_TYPED)}",
        )
    others = [other for other, _ in tensor.contents.ListFields() if other.name != field]
    if others:
        raise Invalid(
            f"input {tensor.name!r:.80} is {tensor.datatype} and has {others[0].name}",
            field=tensor.name,
            next_step=f"send {field}",
        )
    values: Sequence[Any] = getattr(tensor.contents, field)
    if field == "bytes_contents":
        found.data = _texts(tensor.name, values)
    elif field.startswith("fp"):
        found.data = np.fromiter(values, np.float64, len(values))
    else:
        found.data = list(values)
    return found


def _texts(name: str, values: Sequence[bytes]) -> list[str]:
    try:
        return [value.decode() for value in values]
    except UnicodeDecodeError as error:
        raise Invalid(f"input {name!r:.80} holds bytes that are not UTF-8", field=name, next_step="mend it") from error
