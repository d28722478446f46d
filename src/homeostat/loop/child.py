"""The training child: collect, train, evaluate, compile, each reported as one JSON line as soon as it is done.

It runs the user's code, so it may raise, hang or die; the server process only reads its lines. It ends by itself when
its parent goes away, and it never writes to the catalogue.
"""

import os
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np

from homeostat.datasets.frames import put_dataset, read_fragments
from homeostat.datasets.types import DatasetVersion
from homeostat.evaluation.gates import NoSliceWorse
from homeostat.evaluation.judge import evaluate, judge
from homeostat.evaluation.named import named_metric, own_metric
from homeostat.evaluation.types import Evaluation, GateResult
from homeostat.features.compiled import FeatureSet
from homeostat.features.encoding import encode_frame, fit_columns
from homeostat.features.offline import training_frame
from homeostat.features.plain import PlainReader
from homeostat.features.sources import load_source
from homeostat.features.texts import TextTable
from homeostat.ground.clock import to_iso
from homeostat.ground.errors import HomeostatError, Invalid, UserCodeFailed
from homeostat.ground.records import FeatureColumn, Signature
from homeostat.ground.settings import Settings
from homeostat.loop.compiling import compile_package
from homeostat.loop.job import Job, Report
from homeostat.loop.reference_rows import training_rows
from homeostat.loop.served import version_features
from homeostat.loop.training import TrainingRun, TrainingSet
from homeostat.loop.types import ModelSpec
from homeostat.loop.usercode import load_function, load_model
from homeostat.monitoring.bins import fit_bins
from homeostat.monitoring.types import Accuracy
from homeostat.registry.keys import trusted
from homeostat.registry.loading import load_version
from homeostat.registry.packaging import package_model, store_package
from homeostat.registry.scorers import load_scorer
from homeostat.registry.types import ModelVersion, StoredPackage
from homeostat.registry.versions import get_version
from homeostat.store.blobs import BlobStore
from homeostat.store.database import open_database

TIME, KNOWN, LABEL = "_time", "_known_at", "_label"
SLICE = "_slice."


class Workshop:
    """What the three steps share within one child."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.settings = msgspec.convert(job.settings, Settings)
        self.blobs = BlobStore(self.settings.blobs_url)
        declaration = job.declaration
        self.root = Path(declaration.root)
        source = self.blobs.get(declaration.file_digest)
        self.spec: ModelSpec
        self.features: FeatureSet
        self.spec, self.features = load_model(
            source, name=declaration.file_name, root=self.root, model=declaration.model
        )
        self.split = job.as_of - declaration.evaluation_window
        self._frame: Any = None

    def frame(self) -> Any:
        """The dataset of this cycle; read back from its version when another child collected it."""
        if self._frame is None:
            self._frame = read_fragments(self.blobs, self._dataset().fragments)
        return self._frame

    def _dataset(self) -> DatasetVersion:
        return msgspec.convert(self.job.done["collect"]["dataset"], DatasetVersion)

    def rows(self, *, newest: bool) -> Any:
        """The held-out newest window, or the rows whose label was known before it began."""
        import polars as pl

        frame = self.frame()
        return frame.filter(pl.col(TIME) > self.split if newest else pl.col(KNOWN) <= self.split)

    def labelled_examples(self, spec: ModelSpec) -> Any:
        """The examples of the training window whose label is known by now, in the source's order."""
        import polars as pl

        declaration = self.job.declaration
        examples = load_source(spec.examples, self.root, until=self.job.as_of)
        return examples.with_columns(
            pl.col(str(spec.examples.time)).dt.epoch("us").alias(TIME),
            pl.col(declaration.known_at).dt.epoch("us").alias(KNOWN),
            pl.sql_expr(declaration.label).cast(pl.Float64).alias(LABEL),
        ).filter(
            pl.col(TIME) > self.job.as_of - declaration.train_window,
            pl.col(KNOWN) <= self.job.as_of,
            pl.col(LABEL).is_not_null(),
        )

    def collect(self) -> dict[str, Any]:
        """The labelled examples of the training window with their features as of each example's time."""
        import polars as pl

        declaration = self.job.declaration
        examples = self.labelled_examples(self.spec)
        features = training_frame(self.features, examples, times=str(self.spec.examples.time), root=self.root)
        slices = {gate.column for gate in declaration.gate if isinstance(gate, NoSliceWorse)}
        raw = [pl.col(name).alias(SLICE + name) for name in sorted(slices) if name in examples.columns]
        self._frame = pl.concat([examples.select(TIME, KNOWN, LABEL, *raw), features], how="horizontal")
        train, held_out = self.rows(newest=False), self.rows(newest=True)
        for what, rows in (("before", train), ("in", held_out)):
            if len(rows) < 50:
                raise Invalid(
                    f"only {len(rows)} labelled examples lie {what} the newest evaluation window "
                    f"({to_iso(self.split)} to {to_iso(self.job.as_of)})",
                    field="train_window",
                    next_step="widen train_window or evaluation_window, or wait for more labels",
                )
        dataset = put_dataset(self.blobs, self._frame, name=declaration.model)
        return {
            "dataset": msgspec.to_builtins(dataset),
            "train_rows": len(train),
            "evaluation_rows": len(held_out),
            "split": self.split,
        }

    def train(self) -> dict[str, Any]:
        """Call the user's function and package what it returns, without pickle."""
        import polars as pl

        rows = self.rows(newest=False)
        frame = rows.select(self.features.names)
        columns = fit_columns(self.features, frame)
        matrix = encode_frame(columns, frame)
        y = rows[LABEL].to_numpy()
        run = TrainingRun(dict(self.job.params))
        started = time.monotonic()
        try:
            model = self.spec.function(TrainingSet(matrix, y, columns, frame), run)
        except Exception as error:
            raise UserCodeFailed(
                f"the training function of {self.spec.name!r} raised {type(error).__name__}: {error}",
                next_step="see the traceback on the run",
            ) from error
        seconds = time.monotonic() - started
        if model is None:
            raise UserCodeFailed(
                f"the training function of {self.spec.name!r} returned None", next_step="return the fitted model"
            )
        task = self.job.declaration.task
        package = store_package(self.blobs, package_model(model, task=task))
        scores = self._own_scorer(package, task).score(matrix)
        features = self.features
        signature = Signature(
            task=task, inputs=features.inputs, columns=columns, feature_hash=features.hash, keys=features.keys
        )
        known = rows.select(pl.col(KNOWN).max()).item()
        return {
            "package": msgspec.to_builtins(package),
            "signature": msgspec.to_builtins(signature),
            "bins": msgspec.to_builtins(fit_bins(columns, matrix, scores)),
            "baseline": float(np.mean(y)),
            "seconds": round(seconds, 3),
            "trained_through": known,
            "params": run.logged_params,
            "metrics": run.logged_metrics,
            "artifacts": {name: self.blobs.put(content) for name, content in run.artifacts.items()},
        }

    def evaluate(self) -> dict[str, Any]:
        """Score what will be served (the package, read back) and the champion on the same held-out rows."""
        job, rows = self.job, self.rows(newest=True)
        trained, task, gates = job.done["train"], job.declaration.task, job.declaration.gate
        columns = msgspec.convert(trained["signature"], Signature).columns
        package = msgspec.convert(trained["package"], StoredPackage)
        scorer = self._own_scorer(package, task)
        y = rows[LABEL].to_numpy()
        score = scorer.score(encode_frame(columns, rows.select(self.features.names)))
        champion = self._champion_scores(rows) if job.champion is not None else None
        slices = {gate.column: self._slice(rows, gate.column) for gate in gates if isinstance(gate, NoSliceWorse)}
        evaluation = evaluate(
            task, y, score, champion_score=champion, baseline_score=trained["baseline"], slices=slices
        )
        verdicts = judge(gates, task, y, score, champion_score=champion, slices=slices)
        return {
            "evaluation": msgspec.to_builtins(self._with_watched_metrics(evaluation, y, score)),
            "gates": msgspec.to_builtins(verdicts),
            "champion": job.champion if champion is not None else None,
        }

    def _with_watched_metrics(self, evaluation: Evaluation, y: Any, score: Any) -> Evaluation:
        """What later accuracy is held against, where a metric is scikit-learn's or the file's own."""
        declaration = self.job.declaration
        values, notes = dict(evaluation.challenger), dict(evaluation.notes)
        for rule in declaration.watch:
            if not isinstance(rule, Accuracy) or rule.metric in values:
                continue
            if rule.is_own:
                source = self.blobs.get(declaration.file_digest)
                function = load_function(source, name=declaration.file_name, root=self.root, function=rule.metric)
                metric = own_metric(rule.metric, function, greater_is_better=bool(rule.greater_is_better))
            else:
                metric = named_metric(rule.metric, declaration.task)
            ((value, reason),) = metric.many([(y, score)])
            values[rule.metric] = value
            if reason:
                notes[f"challenger.{rule.metric}"] = reason
        return msgspec.structs.replace(evaluation, challenger=values, notes=notes)

    def compile(self) -> dict[str, Any]:
        """A scorer that answers faster, if one agrees with the package on the training rows; unless a gate failed."""
        verdicts = [msgspec.convert(item, GateResult) for item in self.job.done["evaluate"]["gates"]]
        if not all(verdict.passed for verdict in verdicts) and not self.job.forced:
            return {}
        trained = self.job.done["train"]
        signature = msgspec.convert(trained["signature"], Signature)
        package = msgspec.convert(trained["package"], StoredPackage)
        outcome = compile_package(
            self.blobs,
            package.flavor,
            {path: self.blobs.get(file.digest) for path, file in package.manifest.items()},
            signature,
            self._own_scorer(package, signature.task),
            training_rows(signature.columns, self.rows(newest=False).select(self.features.names)),
            allow_pickle=package.permission is not None,
        )
        return {"outcome": msgspec.to_builtins(outcome)}

    def _own_scorer(self, package: StoredPackage, task: str) -> Any:
        """The package this child made: not signed yet, and a pickle only if the training function allowed it."""
        allowed = package.permission is not None
        return load_scorer(self.blobs, package.flavor, package.manifest, task, allow_pickle=allowed)

    def _slice(self, rows: Any, column: str) -> list[Any]:
        name = SLICE + column if SLICE + column in rows.columns else column
        return list(rows[name].to_list())

    def _champion_scores(self, rows: Any) -> Any:
        """The champion on the held-out rows, each with the features it was trained on."""
        assert self.job.champion is not None  # asked for only with a champion
        database = open_database(self.settings.database_url)
        with database.read() as conn:
            version = get_version(conn, self.job.declaration.model, self.job.champion)
        database.close()
        if not version.signature.feature_hash:
            return self._plain_scores(version, rows)
        columns: tuple[FeatureColumn, ...] = version.signature.columns
        scorer = load_version(self.blobs, version, trusted(self.settings), may_run_code=True)
        if version.signature.feature_hash == self.features.hash:
            return scorer.score(encode_frame(columns, rows.select(self.features.names)))
        return scorer.score(encode_frame(columns, self._older_features(version, rows)))

    def _plain_scores(self, version: ModelVersion, rows: Any) -> Any:
        """A champion that was registered by hand, where the features are what it takes; else there is no comparing."""
        signature = version.signature
        names = [column.name for column in signature.inputs]
        if (
            signature.task != self.job.declaration.task
            or signature.outputs
            or not set(names) <= set(self.features.names)
        ):
            return None
        texts = TextTable()
        scorer = load_version(self.blobs, version, trusted(self.settings), may_run_code=True, text_of=texts.text_of)
        values = {name: rows[name].to_list() for name in names}
        return scorer.score(PlainReader(signature, texts).vectors(values, [0] * len(rows)))

    def _older_features(self, version: ModelVersion, rows: Any) -> Any:
        """The champion's own features for the same rows, when the declaration has changed since."""
        import polars as pl

        features = version_features(self.blobs, version)
        examples = self.labelled_examples(self.spec).filter(pl.col(TIME) > self.split)
        if not examples[TIME].equals(rows[TIME]):
            raise Invalid(
                "the held-out examples changed while the cycle ran",
                field="examples",
                next_step="run the cycle again: homeostat train " + self.job.declaration.model,
            )
        return training_frame(features, examples, times=str(self.spec.examples.time), root=self.root)


STEPS = ("collect", "train", "evaluate", "compile")


def run_job(job: Job, out: IO[bytes]) -> None:
    """Do the steps that are not done yet, in order, and report each."""
    try:
        workshop = Workshop(job)
        for step in STEPS:
            if step not in job.done:
                job.done[step] = getattr(workshop, step)()
                _send(out, Report(step=step, result=job.done[step]))
    except BaseException as error:  # noqa: BLE001  the parent must hear of everything, SystemExit included
        text = str(error) if isinstance(error, HomeostatError) else f"{type(error).__name__}: {error}"
        _send(out, Report(error=text, traceback="".join(traceback.format_exception(error))))


def _send(out: IO[bytes], report: Report) -> None:
    out.write(msgspec.json.encode(report) + b"\n")
    out.flush()


def _end_with_parent() -> None:
    """The parent holds our standard input open and never writes again; its end is the parent's end."""
    while os.read(0, 4096):
        continue
    os._exit(3)


def main() -> None:
    """Read the job from standard input, do it, report on the file descriptor given as argument."""
    report_fd = int(sys.argv[1])
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    if job.memory_mb:
        import resource

        limit = job.memory_mb << 20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with os.fdopen(report_fd, "wb") as out:
        run_job(job, out)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # everything is reported; tearing down the libraries would cost half a second


if __name__ == "__main__":
    main()
