"""Compiling a model: every way is tried, checked against the original, measured; the fastest that agrees serves."""

import math
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import msgspec
import numpy as np

from homeostat.ground.errors import HomeostatError
from homeostat.ground.ports import Scorer
from homeostat.serving.compiling.artifact import Artifact, Form, LinearForm, Refusals, encode_artifact, pack
from homeostat.serving.compiling.checking import check, measure
from homeostat.serving.compiling.patience import limited
from homeostat.serving.compiling.questions import Asked, Reference, ask
from homeostat.serving.compiling.refused import CannotCompile
from homeostat.serving.compiling.report import Candidate, Report
from homeostat.serving.compiling.running import proven_scorer, scorer_of
from homeostat.serving.compiling.tolerance import tolerance_of
from homeostat.serving.compiling.ways import Subject, Way, thresholds_of, ways_of

_SAMPLE = 32
"""Rows with answers that travel in the artifact."""
_CLEARLY = 0.8
"""A less exact way has to take at most this share of the time of a more exact one to be preferred."""
_LIBRARIES = ("numpy", "onnx", "onnxruntime", "skl2onnx", "onnxmltools", "treelite", "scikit-learn")


class Compiled(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it; `data` is the artifact's bytes, None when the original serves."""

    report: Report
    data: bytes | None = None


class _Tried(NamedTuple):
    way: Way
    about: Candidate
    artifact: Artifact


def compile_scorer(subject: Subject, native: Scorer, reference: Reference, *, thorough: bool = False) -> Compiled:
    """Compile a model, or say why its original serves. Never raises for what a model or a library does.

    `thorough`: try every way even after one that does the original's own sums has agreed.
    """
    began = time.perf_counter()
    columns = int(np.shape(reference.matrix)[1])
    ways = ways_of(subject, columns)
    try:
        if not ways:
            raise CannotCompile(f"there is no way to compile a model of {subject.library}")
        asked, refusals = ask(native, reference, thresholds_of(subject))
    except CannotCompile as error:
        return Compiled(report=Report(kind="native", why=str(error), task=subject.task))
    tolerance = tolerance_of(asked.answers[~asked.raised], subject.task)
    known = asked.rows[: asked.counts.reference]
    one_row, many_rows = measure(native, known)
    tried: list[_Tried] = []
    candidates: list[Candidate] = []
    for way in ways:
        if not thorough and any(done.way.exact for done in tried):
            candidates.append(Candidate(name=way.name, kind=way.kind, status="not tried", why="an exact one agrees"))
            continue
        about, artifact = _try(way, subject, asked, refusals, tolerance)
        if artifact is not None and about.one_row_us is not None and about.one_row_us >= one_row:
            about = msgspec.structs.replace(about, status="refused", why="it is not faster than the original")
        candidates.append(about)
        if artifact is not None and about.status == "verified":
            tried.append(_Tried(way, about, artifact))
    report = Report(
        kind="native",
        why="",
        task=subject.task,
        rows=asked.counts,
        tolerance=tolerance,
        native_one_row_us=round(one_row, 2),
        native_many_rows_us=round(many_rows, 2),
        candidates=tuple(candidates),
        seconds=round(time.perf_counter() - began, 3),
    )
    return _decided(report, tried)


def _try(
    way: Way, subject: Subject, asked: Asked, refusals: Refusals, tolerance: float
) -> tuple[Candidate, Artifact | None]:
    about = Candidate(name=way.name, kind=way.kind, status="verified")
    try:
        with limited():
            form = way.make()
        artifact = _artifact(form, subject, asked, refusals, tolerance)
        scorer = scorer_of(artifact)
        about = msgspec.structs.replace(about, bytes=len(encode_artifact(artifact)))
        about = check(scorer, asked, tolerance, about)
        if about.status != "verified":
            return about, None
        proven_scorer(artifact)
        one_row, many_rows = measure(scorer, asked.rows[: asked.counts.reference])
    except CannotCompile as error:
        return _refused(about, str(error)), None
    except HomeostatError as error:
        return _refused(about, error.message), None
    except Exception as error:  # noqa: BLE001  converters raise whatever they like; that is why this way is closed
        return _refused(about, f"{type(error).__name__}: {error!s:.300}"), None
    return msgspec.structs.replace(about, one_row_us=round(one_row, 2), many_rows_us=round(many_rows, 2)), artifact


def _refused(about: Candidate, why: str) -> Candidate:
    return msgspec.structs.replace(about, status="refused", why=why)


def _artifact(form: Form, subject: Subject, asked: Asked, refusals: Refusals, tolerance: float) -> Artifact:
    columns = asked.rows.shape[1]
    outputs = asked.answers.shape[1] if asked.answers.ndim == 2 else 0
    answered = np.flatnonzero(~asked.raised)
    sample = answered[np.unique(np.linspace(0, len(answered) - 1, _SAMPLE).astype(int))]
    artifact = Artifact(
        form=form,
        columns=columns,
        outputs=outputs,
        refusals=refusals,
        rows=pack(asked.rows[sample]),
        answers=pack(asked.answers[sample]),
        tolerance=tolerance,
        made_with=_versions(),
    )
    if isinstance(form, LinearForm):
        if refusals.single:
            raise CannotCompile("the original refuses numbers that are large, not infinite")
        return artifact
    return msgspec.structs.replace(artifact, form=_placed(form, artifact, subject.task, asked.rows[sample]))


def _placed(form: Any, artifact: Artifact, task: str, rows: Any) -> Form:
    """The form, told which of its columns is the answer: classifiers give one for each of two classes."""
    table = scorer_of(msgspec.structs.replace(artifact, outputs=1, refusals=Refusals())).score(rows[:1])
    width = int(np.reshape(table, (1, -1)).shape[1])
    wanted = artifact.outputs or 1
    if width == wanted:
        return form  # type: ignore[no-any-return]  # one of Form
    if task == "binary" and (width, wanted) == (2, 1):
        return msgspec.structs.replace(form, place=1)  # type: ignore[no-any-return]  # likewise
    raise CannotCompile(f"it gives {width} numbers a row, the original {wanted}")


def _decided(report: Report, tried: list[_Tried]) -> Compiled:
    if not tried:
        reasons = "; ".join(f"{one.name}: {one.why}" for one in report.candidates)
        return Compiled(report=msgspec.structs.replace(report, why=reasons))
    best = tried[0]
    for other in tried[1:]:
        if _cost(other.about) < _CLEARLY * _cost(best.about):
            best = other
    chosen = msgspec.structs.replace(best.about, status="chosen")
    candidates = tuple(chosen if one is best.about else one for one in report.candidates)
    why = f"agrees with the original on {chosen.rows} rows, at most {chosen.max_abs_diff:.1e} apart"
    done = msgspec.structs.replace(report, kind=best.artifact.kind, why=why, candidates=candidates)
    return Compiled(report=done, data=encode_artifact(best.artifact))


def _cost(about: Candidate) -> float:
    """One row and many count alike."""
    return math.sqrt((about.one_row_us or 0.0) * (about.many_rows_us or 0.0))


def _versions() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
