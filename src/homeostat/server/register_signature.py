"""What a client says that its version takes and gives: taken at its word as far as that can be true."""

import msgspec

from homeostat.ground.errors import Invalid
from homeostat.ground.records import Signature
from homeostat.registry.formats.answers import BINARY, MULTICLASS, REGRESSION, TASKS
from homeostat.registry.inference import MOST_COLUMNS, RESERVED
from homeostat.registry.versions import NO_SIGNATURE

_DTYPES = ("number", "string", "boolean", "time")
_KINDS = ("number", "category", "text")
_NAME, _WORDS = 500, 2_000


def said_signature(signature: Signature | None) -> Signature:
    """The signature, if a version could have it.

    Raises:
        Invalid: naming what does not fit together.
    """
    if signature is None:
        return NO_SIGNATURE
    trouble = _trouble_of_columns(signature) or _trouble_of_answers(signature)
    if trouble:
        raise Invalid(
            f"the signature cannot be: {trouble}",
            field="signature",
            next_step="leave it out, and it is found out when the version goes into service",
        )
    return msgspec.structs.replace(signature, obstacle=signature.obstacle[:_WORDS])


def _trouble_of_columns(signature: Signature) -> str:
    names = [column.name for column in signature.inputs]
    if signature.feature_hash:
        return "features are declared, not sent"
    if len(names) != len(signature.columns) or len(names) > MOST_COLUMNS:
        return f"{len(names)} inputs make {len(signature.columns)} columns, of at most {MOST_COLUMNS}"
    if len(set(names)) != len(names) or any(not 0 < len(name) <= _NAME or name in RESERVED for name in names):
        return "a name of a column is empty, stands twice, or belongs to serving"
    dtypes, kinds = {column.dtype for column in signature.inputs}, {column.kind for column in signature.columns}
    if dtypes - set(_DTYPES) or kinds - set(_KINDS):
        return f"columns are {', '.join(_DTYPES)}, coded as {', '.join(_KINDS)}"
    return ""


def _trouble_of_answers(signature: Signature) -> str:
    task, classes, outputs = signature.task, signature.classes, signature.outputs
    if task and task not in TASKS:
        return f"tasks are {', '.join(TASKS)}"
    if len(set(classes)) != len(classes) or (task == BINARY and len(classes) != 2):
        return "two classes have one name, or a binary task has not two"
    if (task == MULTICLASS and len(classes) < 2) or (task == REGRESSION and classes):
        return "classes belong to a classifier, and each has a name"
    if (outputs and task in {BINARY, MULTICLASS}) or len(outputs) == 1 or len(set(outputs)) != len(outputs):
        return "outputs are named when a regression has several, each by its own name"
    return ""
