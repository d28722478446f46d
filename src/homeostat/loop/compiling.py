"""Compiling a package where its model may be loaded: a training child, or a child of its own; never in a server."""

from collections.abc import Mapping

from homeostat.ground.ports import Scorer
from homeostat.ground.records import Signature
from homeostat.loop.compile_job import Outcome, left_alone
from homeostat.registry.fitted import fitted_model
from homeostat.serving.compiling.compiler import compile_scorer
from homeostat.serving.compiling.questions import Reference
from homeostat.serving.compiling.ways import Subject
from homeostat.store.blobs import BlobStore


def compile_package(
    blobs: BlobStore,
    flavor: str,
    files: Mapping[str, bytes],
    signature: Signature,
    native: Scorer,
    reference: Reference,
    *,
    allow_pickle: bool,
    thorough: bool = False,
) -> Outcome:
    """Compile a package's model and store the artifact. Never raises: what stands in the way is in the report."""
    if any(column.kind == "text" for column in signature.columns):
        return left_alone("it takes texts, which no compiled scorer reads", signature.task)
    try:
        fitted = fitted_model(flavor, files, allow_pickle=allow_pickle)
        subject = Subject(library=fitted.library, model=fitted.model, task=signature.task)
        compiled = compile_scorer(subject, native, reference, thorough=thorough)
        if compiled.data is None:
            return Outcome(report=compiled.report)
        return Outcome(report=compiled.report, blob=blobs.put(compiled.data), size=len(compiled.data))
    except Exception as error:  # noqa: BLE001  a model must not lose its registration over this
        return left_alone(f"compiling it raised {type(error).__name__}: {error!s:.300}", signature.task)
