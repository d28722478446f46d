"""One cycle: collect, train, evaluate, gate, register, roll out, outcome."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from homeostat.datasets.catalogue import record_dataset
from homeostat.datasets.snapshot import code_snapshot, environment_snapshot
from homeostat.datasets.types import DatasetVersion
from homeostat.evaluation.store import record_evaluation
from homeostat.evaluation.types import Evaluation, GateResult
from homeostat.ground.clock import Clock, parse_duration, to_iso
from homeostat.ground.errors import HomeostatError, NotFound
from homeostat.ground.records import ColumnBins, Signature
from homeostat.ground.settings import Settings
from homeostat.loop import releases
from homeostat.loop.child_process import TrainingChild, TrainingFailed
from homeostat.loop.compile_job import SECONDS, Outcome, left_alone
from homeostat.loop.compile_process import compile_version
from homeostat.loop.compiled import keep_compiled
from homeostat.loop.declaration import Declaration, get_declaration
from homeostat.loop.durable import Attempt, Cycle, End, Step, Wait, submit
from homeostat.loop.job import Job, Report
from homeostat.loop.rollouts import begin_rollout
from homeostat.registry.aliases import set_alias
from homeostat.registry.keys import signing_key
from homeostat.registry.models import create_model
from homeostat.registry.signing import sign_package
from homeostat.registry.types import ModelVersion, StoredPackage
from homeostat.registry.versions import register_version
from homeostat.rollout.store import rollout_of_cycle
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database
from homeostat.tracking import artifacts, runs, series

DEFINITION = ("collect", "train", "evaluate", "gate", "register", "rollout", "outcome")
CHILD_STEPS = ("collect", "train", "evaluate")


def start_cycle(
    conn: Connection,
    model: str,
    *,
    cause: str,
    actor: str,
    as_of: int,
    evidence: dict[str, Any] | None = None,
    params: dict[str, Any] | None = None,
    forced: bool = False,
) -> tuple[Cycle, bool]:
    """Queue a retraining of a declared model; when one is open already, that one is returned (second value False)."""
    get_declaration(conn, model)
    cycle, is_new = submit(
        conn,
        model,
        cause=cause,
        actor=actor,
        as_of=as_of,
        definition=DEFINITION,
        evidence=evidence,
        params=params,
        forced=forced,
    )
    if is_new:
        details = {"cycle": cycle.id, "evidence": cycle.evidence, "params": cycle.params, "forced": forced}
        releases.record(conn, "cycle.started", model, at=as_of, actor=actor, reason=cause, **details)
    return cycle, is_new


class CycleSteps:
    """The handlers of a cycle's steps; each commits its result together with what it changed."""

    def __init__(self, database: Database, blobs: BlobStore, settings: Settings, clock: Clock) -> None:
        self._database = database
        self._blobs = blobs
        self._settings = settings
        self._clock = clock

    def handlers(self) -> dict[str, Step]:
        child = dict.fromkeys(CHILD_STEPS, self.run_child)
        rest: dict[str, Step] = {
            "gate": self.gate,
            "register": self.register,
            "rollout": self.rollout,
            "outcome": self.outcome,
        }
        return child | rest

    def run_child(self, attempt: Attempt) -> None:
        """Collect, train, evaluate and compile in a child process, committing each step as it is reported.

        A child that dies or hangs while it compiles has trained all the same: the original scorer serves.
        """
        job = self._job(attempt)
        timeout = job.declaration.train_timeout or parse_duration(self._settings.train_timeout)
        commits: dict[str, Callable[[Connection, Attempt, Job, Report], None]] = {
            "collect": self._commit_collect,
            "train": self._commit_train,
            "evaluate": self._commit_evaluate,
        }
        with TrainingChild(job, timeout=timeout, lost=attempt.lost) as child:
            try:
                for report in child.reports():
                    with attempt.commit() as conn:
                        if report.step in commits:
                            commits[report.step](conn, attempt, job, report)
                        attempt.record(conn, report.step, report.result)
                    if report.step == CHILD_STEPS[-1]:
                        child.allow(SECONDS)
            except TrainingFailed as error:
                if CHILD_STEPS[-1] not in attempt.results:
                    raise
                with attempt.commit() as conn:
                    outcome = left_alone(f"compiling it failed: {error.message}")
                    attempt.record(conn, "compile", {"outcome": msgspec.to_builtins(outcome)})
            log = child.log()
        if log:
            with attempt.commit() as conn:
                artifacts.log_artifact(conn, self._blobs, job.run, "train.log", log)

    def _job(self, attempt: Attempt) -> Job:
        cycle = attempt.cycle
        with self._database.read() as conn:
            declaration = get_declaration(conn, cycle.model)
            champion = releases.champion_number(conn, cycle.model)
        return Job(
            settings=msgspec.structs.asdict(self._settings)
            | {"home": str(self._settings.home_path), "clock": "system"},
            declaration=declaration,
            cycle=cycle.id,
            run=cycle.run,
            as_of=cycle.as_of,
            params=cycle.params,
            champion=champion,
            done={name: attempt.results[name] for name in CHILD_STEPS if name in attempt.results},
            memory_mb=self._settings.train_memory_mb,
            forced=cycle.forced,
        )

    def _commit_collect(self, conn: Connection, attempt: Attempt, job: Job, report: Report) -> None:
        dataset = msgspec.convert(report.result["dataset"], DatasetVersion)
        self._start_run(conn, attempt.cycle, job.declaration)
        record_dataset(conn, dataset, at=self._clock.now(), actor=attempt.cycle.actor)
        runs.add_input(conn, job.run, dataset.digest)

    def _start_run(self, conn: Connection, cycle: Cycle, declaration: Declaration) -> None:
        runs.start_run(
            conn,
            project=cycle.model,
            name=f"{cycle.model} {to_iso(cycle.as_of)}",
            cause=f"cycle:{cycle.id}",
            at=self._clock.now(),
            actor=cycle.actor,
            run_id=cycle.run,
            code=code_snapshot(Path(declaration.root)) | {"declaration": declaration.file_digest},
            environment=environment_snapshot(),
        )

    def _commit_train(self, conn: Connection, _attempt: Attempt, job: Job, report: Report) -> None:
        result, at = report.result, self._clock.now()
        params = {key: str(value) for key, value in job.params.items()} | result["params"]
        runs.log_params(conn, job.run, params)
        for key, value, step in result["metrics"]:
            series.log_metrics(conn, job.run, {key: value}, step=step, at=at)
        series.log_metrics(conn, job.run, {"train_seconds": result["seconds"]}, step=0, at=at)
        for path, digest in result["artifacts"].items():
            artifacts.log_artifact(conn, self._blobs, job.run, path, self._blobs.get(digest))

    def _commit_evaluate(self, conn: Connection, attempt: Attempt, job: Job, report: Report) -> None:
        at, evaluation = self._clock.now(), report.result["evaluation"]
        digest = attempt.results["collect"]["dataset"]["digest"]
        record_evaluation(
            conn,
            run_id=job.run,
            evaluation=msgspec.convert(evaluation, Evaluation),
            gates=[msgspec.convert(item, GateResult) for item in report.result["gates"]],
            dataset=digest,
            at=at,
            actor=attempt.cycle.actor,
        )
        numbers = {f"eval_{key}": value for key, value in evaluation["challenger"].items() if value is not None}
        series.log_metrics(conn, job.run, numbers, step=0, at=at)

    def gate(self, attempt: Attempt) -> End | None:
        """Go on when every gate passed, or when a person forced the release and said why."""
        cycle, at = attempt.cycle, self._clock.now()
        verdicts = [msgspec.convert(item, GateResult) for item in attempt.results["evaluate"]["gates"]]
        failed = [verdict.line() for verdict in verdicts if not verdict.passed]
        result = {"passed": not failed, "forced": bool(failed) and cycle.forced, "failed": failed}
        reason = "; ".join(failed) or "every gate passed"
        with attempt.commit() as conn:
            releases.record(
                conn, "gate.judged", cycle.model, at=at, actor="gate", reason=reason, cycle=cycle.id, **result
            )
            if failed and not cycle.forced:
                runs.end_run(conn, cycle.run, status="finished", at=at)
                releases.notify(conn, "version.rejected", cycle.model, at=at, reason=reason, cycle=cycle.id)
                self._finish(conn, attempt, "rejected", reason)
                return End(outcome="rejected", reason=reason)
            attempt.record(conn, "gate", result)
        return None

    def register(self, attempt: Attempt) -> None:
        """The package becomes a version, keyed by its run, and the challenger."""
        cycle, at, trained = attempt.cycle, self._clock.now(), attempt.results["train"]
        with attempt.commit() as conn:
            declaration = get_declaration(conn, cycle.model)
            create_model(conn, cycle.model, at=at, actor=cycle.actor)
            version = self._register(conn, attempt, declaration, trained, at)
            if compiled := attempt.results.get("compile", {}).get("outcome"):
                outcome = msgspec.convert(compiled, Outcome)
                keep_compiled(conn, self._blobs, self._settings, version, outcome, at=at, actor=cycle.actor)
            why = f"cycle {cycle.id}: {cycle.cause}"
            set_alias(
                conn,
                cycle.model,
                releases.CHALLENGER,
                version.version,
                at=at,
                actor=cycle.actor,
                reason=why,
                evidence={"cycle": cycle.id},
                key=f"{cycle.id}:challenger",
            )
            runs.end_run(conn, cycle.run, status="finished", at=at)
            attempt.record(conn, "register", {"version": version.version})

    def _register(
        self, conn: Connection, attempt: Attempt, declaration: Declaration, trained: dict[str, Any], at: int
    ) -> ModelVersion:
        cycle, evaluated = attempt.cycle, attempt.results["evaluate"]
        package = msgspec.convert(trained["package"], StoredPackage)
        signed = sign_package(
            signing_key(self._settings),
            self._blobs,
            package,
            model=cycle.model,
            run_id=cycle.run,
            declaration=declaration.file_digest,
            at=at,
            actor=cycle.actor,
        )
        return register_version(
            conn,
            model=cycle.model,
            run_id=cycle.run,
            package=package,
            signature=msgspec.convert(trained["signature"], Signature),
            bins=msgspec.convert(trained["bins"], tuple[ColumnBins, ...]),
            evaluation=evaluated | {"gate": attempt.results["gate"]},
            dataset=attempt.results["collect"]["dataset"]["digest"],
            signed=signed,
            lineage={
                "cycle": cycle.id,
                "cause": cycle.cause,
                "trained_through": trained["trained_through"],
                "file_digest": declaration.file_digest,
                "file_name": declaration.file_name,
                "root": declaration.root,
                "params": cycle.params,
            },
            at=at,
            actor=cycle.actor,
        )

    def rollout(self, attempt: Attempt) -> None:
        """Start walking the plan; the first version of a model goes into service at once."""
        cycle, at = attempt.cycle, self._clock.now()
        version = attempt.results["register"]["version"]
        # Again where the child had no time to: a server that was killed went on without it.
        with suppress(HomeostatError):
            compile_version(self._database, self._blobs, self._settings, cycle.model, version, at=at, actor=cycle.actor)
        with attempt.commit() as conn:
            rollout = begin_rollout(conn, cycle.model, version, cycle_id=cycle.id, at=at, actor=cycle.actor)
            attempt.record(conn, "rollout", {"rollout": rollout.id})

    def outcome(self, attempt: Attempt) -> Wait | End:
        """Wait for the rollout to end, then say how."""
        with attempt.commit() as conn:
            rollout = rollout_of_cycle(conn, attempt.cycle.id)
            if rollout is None:
                raise NotFound(f"the rollout of cycle {attempt.cycle.id} is missing")
            if rollout.state == "running":
                return Wait(f"rollout of version {rollout.candidate}: stage {rollout.stage}")
            self._finish(conn, attempt, rollout.state, rollout.reason, version=rollout.candidate)
        return End(outcome=rollout.state, reason=rollout.reason, version=rollout.candidate)

    def _finish(
        self, conn: Connection, attempt: Attempt, outcome: str, reason: str, *, version: int | None = None
    ) -> None:
        cycle, at = attempt.cycle, self._clock.now()
        releases.record(
            conn,
            "cycle.ended",
            cycle.model,
            at=at,
            actor="loop",
            reason=reason,
            cycle=cycle.id,
            outcome=outcome,
            version=version,
        )

    def on_failure(self, attempt: Attempt, conn: Connection, error: BaseException) -> None:
        """The cycle ends as failed, with the traceback on the run; the champion keeps serving."""
        cycle, at = attempt.cycle, self._clock.now()
        self._start_run(conn, cycle, get_declaration(conn, cycle.model))
        traceback = error.traceback if isinstance(error, TrainingFailed) else ""
        if isinstance(error, TrainingFailed) and error.log:
            artifacts.log_artifact(conn, self._blobs, cycle.run, "train.log", error.log)
        if runs.find_run(conn, cycle.run).status == "running":  # what comes after training cannot fail the run
            runs.end_run(conn, cycle.run, status="failed", error=traceback or str(error), at=at)
        releases.record(
            conn,
            "cycle.ended",
            cycle.model,
            at=at,
            actor="loop",
            reason=str(error),
            cycle=cycle.id,
            outcome="failed",
            version=None,
        )
        releases.notify(conn, "cycle.failed", cycle.model, at=at, reason=str(error), cycle=cycle.id)
