"""What a model gives, by name, type and shape: every protocol writes these, and metadata announces them."""

from typing import Any

import msgspec

from homeostat.ground.records import Signature
from homeostat.serving.types import PredictReply

SCORE, CLASS, PROBABILITIES, OUTPUTS, REQUEST_ID = "score", "class", "probabilities", "outputs", "request_id"
NAMES = (SCORE, CLASS, PROBABILITIES, OUTPUTS, REQUEST_ID)
"""Every name an output can have; which of them there are depends on the model."""


class NamedOutput(msgspec.Struct, gc=False):
    """One output for all rows. `datatype` is FP64 or BYTES, as the Open Inference Protocol calls them."""

    name: str
    datatype: str
    shape: list[int]
    values: Any
    """A list of numbers or texts, one a row, or for a shape of two dimensions a float64 array."""


def outputs_of(reply: PredictReply) -> list[NamedOutput]:
    """Every output of the reply, the score first and the ids last.

    `score` is one number a row. A classifier of several classes has the likeliest one's index there, its name in
    `class` and all of them in `probabilities`; a model of several values a row has them all in `outputs`.
    """
    rows = [len(reply.scores)]
    found = [NamedOutput(SCORE, "FP64", rows, reply.scores)]
    if reply.table is not None:
        signature = reply.signature
        if signature is not None and signature.task == "multiclass":
            if len(signature.classes) == reply.table.shape[1]:
                likeliest = [signature.classes[int(score)] for score in reply.scores]
                found.append(NamedOutput(CLASS, "BYTES", rows, likeliest))
            found.append(NamedOutput(PROBABILITIES, "FP64", list(reply.table.shape), reply.table))
        else:
            found.append(NamedOutput(OUTPUTS, "FP64", list(reply.table.shape), reply.table))
    found.append(NamedOutput(REQUEST_ID, "BYTES", rows, reply.request_ids))
    return found


def announced(signature: Signature) -> list[dict[str, Any]]:
    """The outputs as Open Inference metadata; -1 stands for the number of rows."""
    found = [_tensor(SCORE, "FP64", -1)]
    if signature.task == "multiclass":
        if signature.classes:
            found.append(_tensor(CLASS, "BYTES", -1))
        found.append(_tensor(PROBABILITIES, "FP64", -1, len(signature.classes) or -1))
    elif len(signature.outputs) > 1:
        found.append(_tensor(OUTPUTS, "FP64", -1, len(signature.outputs)))
    return [*found, _tensor(REQUEST_ID, "BYTES", -1)]


def column_names(signature: Signature | None, width: int) -> tuple[str, ...]:
    """Names for the columns of `probabilities` or `outputs`; empty when the model does not tell them."""
    if signature is None:
        return ()
    names = signature.classes if signature.task == "multiclass" else signature.outputs
    return names if len(names) == width else ()


def _tensor(name: str, datatype: str, *shape: int) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": list(shape)}
