"""MLflow's database, read directly and only read: any SQLAlchemy URL, any version of its schema."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from homeostat.compat.importers.column import Column
from homeostat.compat.importers.mlflow_places import Places
from homeostat.compat.importers.mlflow_store import (
    MILLISECOND,
    MODEL_STATUS_NUMBERS,
    STATUSES,
    Experiment,
    StoredModel,
    StoredRun,
)
from homeostat.compat.importers.records import ImportedFile, ImportedModel, ImportedVersion, Losses, ModelLink
from homeostat.ground.errors import Invalid, Unavailable
from homeostat.tracking.points import Points
from homeostat.tracking.types import DatasetInput, Direction, ModelMetric

_PAGE = 500
_INT64 = 2**63


class MlflowDatabase:
    """An open database. Tables and columns that its version of MLflow did not have yet read as empty."""

    def __init__(self, url: str | sa.URL, losses: Losses, *, artifacts: list[Path]) -> None:
        self._losses = losses
        self._engine = _open(url)
        self._connection = self._engine.connect()
        self._tables: dict[str, sa.Table | None] = {}
        self._inspector = sa.inspect(self._engine)
        if not self._inspector.has_table("experiments") or not self._inspector.has_table("runs"):
            self.close()
            raise Invalid(
                "this database is not MLflow's",
                field="source",
                next_step="give the backend store's URL",
            )
        self._places = Places([*artifacts, *_beside(url)], losses)
        self.links: dict[str, list[ModelLink]] = {}
        self._note_traces()

    def close(self) -> None:
        self._connection.close()
        self._engine.dispose()

    def experiments(self) -> list[Experiment]:
        tags = self._texts("experiment_tags", "experiment_id")
        return [
            Experiment(
                id=str(row["experiment_id"]),
                name=row["name"],
                tags=tags.get(row["experiment_id"], {}),
                deleted=row["lifecycle_stage"] == "deleted",
            )
            for row in self._rows("experiments", order="experiment_id")
        ]

    def runs(self, experiment: Experiment) -> Iterator[StoredRun]:
        rows = self._rows("runs", order="start_time", experiment_id=_number(experiment.id))
        for start in range(0, len(rows), _PAGE):
            page = rows[start : start + _PAGE]
            ids = [row["run_uuid"] for row in page]
            params, tags = self._texts("params", "run_uuid", ids), self._texts("tags", "run_uuid", ids)
            datasets = self._datasets(ids)
            self._note_links(ids)
            for row in page:
                run_id = row["run_uuid"]
                yield StoredRun(
                    id=run_id,
                    name=row.get("name") or "",
                    user=row.get("user_id") or "",
                    status=STATUSES.get(row["status"], "finished"),
                    start=row["start_time"] or 0,
                    end=row["end_time"],
                    deleted=row["lifecycle_stage"] == "deleted",
                    artifact_uri=row["artifact_uri"] or "",
                    params=params.get(run_id, {}),
                    tags=tags.get(run_id, {}),
                    datasets=datasets.get(run_id, []),
                )

    def series(self, run: StoredRun) -> Iterator[tuple[str, Points]]:
        table = self._table("metrics")
        if table is None:
            return
        columns = [table.c[name] for name in ("key", "step", "timestamp", "value", "is_nan") if name in table.c]
        query = sa.select(*columns).where(table.c.run_uuid == run.id).order_by(table.c.key)
        streamed = self._connection.execution_options(yield_per=10_000).execute(query)
        for key, rows in groupby(streamed.mappings(), key=lambda row: row["key"]):
            column = Column()
            for row in rows:
                at = row["timestamp"] * MILLISECOND
                if not abs(at) < _INT64:
                    self._losses.add(run.id, f"metric {key!r:.100}", "has a time beyond 64 bits")
                    continue
                value = float("nan") if row.get("is_nan") or row["value"] is None else row["value"]
                column.append(row.get("step") or 0, at, value)
            yield key, column.points()

    def run_files(self, run: StoredRun) -> Iterator[ImportedFile]:
        return self._places.files(run.artifact_uri, subject=run.id)

    def logged_models(self, experiment: Experiment) -> Iterator[StoredModel]:
        number = _number(experiment.id)
        params = self._texts("logged_model_params", "model_id", keys=("param_key", "param_value"), experiment_id=number)
        tags = self._texts("logged_model_tags", "model_id", keys=("tag_key", "tag_value"), experiment_id=number)
        metrics: dict[str, list[ModelMetric]] = {}
        for row in self._rows("logged_model_metrics", experiment_id=number):
            metrics.setdefault(row["model_id"], []).append(_model_metric(row))
        for row in self._rows("logged_models", order="creation_timestamp_ms", experiment_id=number):
            yield StoredModel(
                id=row["model_id"],
                name=row["name"] or "",
                model_type=row["model_type"] or "",
                source_run=row["source_run_id"] or "",
                status=MODEL_STATUS_NUMBERS.get(row["status"], "ready"),
                created=row["creation_timestamp_ms"],
                deleted=row["lifecycle_stage"] == "deleted",
                artifact_uri=row["artifact_location"] or "",
                params=params.get(row["model_id"], {}),
                tags=tags.get(row["model_id"], {}),
                metrics=metrics.get(row["model_id"], []),
            )

    def model_files(self, model: StoredModel) -> Iterator[ImportedFile]:
        return self._places.files(model.artifact_uri, subject=model.id)

    def registered_models(self) -> Iterator[ImportedModel]:
        tags = self._texts("registered_model_tags", "name")
        aliases = self._texts("registered_model_aliases", "name", keys=("alias", "version"))
        for row in self._rows("registered_models", order="name"):
            name = row["name"]
            yield ImportedModel(
                name=name,
                description=row.get("description") or "",
                created=(row["creation_time"] or 0) * MILLISECOND,
                tags=tags.get(name, {}),
                aliases={alias: int(version) for alias, version in aliases.get(name, {}).items()},
                versions=self._versions(name),
            )

    def _versions(self, name: str) -> Iterator[ImportedVersion]:
        tags: dict[int, dict[str, str]] = {}
        for row in self._rows("model_version_tags", name=name):
            tags.setdefault(row["version"], {})[row["key"]] = row["value"] or ""
        for row in self._rows("model_versions", order="version", name=name):
            if row["current_stage"] == "Deleted_Internal":
                continue
            source, run_id = row["source"] or "", row["run_id"] or ""
            place = row.get("storage_location") or source
            yield ImportedVersion(
                number=row["version"],
                source=source,
                run_id=run_id,
                model_id=source.removeprefix("models:/") if source.startswith("models:/m-") else "",
                run_link=row.get("run_link") or "",
                description=row["description"] or "",
                stage=row["current_stage"] or "",
                created=row["creation_time"] * MILLISECOND,
                actor=row["user_id"] or "",
                tags=tags.get(row["version"], {}),
                files=self._places.files(place, subject=f"{name} version {row['version']}"),
            )

    def _datasets(self, run_ids: list[str]) -> dict[str, list[DatasetInput]]:
        inputs, datasets, tags = self._table("inputs"), self._table("datasets"), self._table("input_tags")
        if inputs is None or datasets is None or tags is None:
            return {}
        joined = inputs.join(datasets, inputs.c.source_id == datasets.c.dataset_uuid)
        query = sa.select(inputs.c.input_uuid, inputs.c.destination_id, *datasets.c).select_from(joined)
        query = query.where(inputs.c.source_type == "DATASET", inputs.c.destination_type == "RUN")
        rows = self._connection.execute(query.where(inputs.c.destination_id.in_(run_ids))).mappings().all()
        roles: dict[str, dict[str, str]] = {}
        tagged = tags.c.input_uuid.in_([row["input_uuid"] for row in rows])
        for row in self._connection.execute(tags.select().where(tagged)).mappings():
            roles.setdefault(row["input_uuid"], {})[row["name"]] = row["value"]
        found: dict[str, list[DatasetInput]] = {}
        for row in rows:
            item = DatasetInput(
                name=row["name"],
                digest=row["digest"],
                source_type=row["dataset_source_type"],
                source=row["dataset_source"],
                schema=row["dataset_schema"] or "",
                profile=row["dataset_profile"] or "",
                tags=roles.get(row["input_uuid"], {}),
            )
            found.setdefault(row["destination_id"], []).append(item)
        return found

    def _note_links(self, run_ids: list[str]) -> None:
        table = self._table("inputs")
        if table is None:
            return
        made = sa.and_(table.c.source_type == "RUN_OUTPUT", table.c.source_id.in_(run_ids))
        read = sa.and_(table.c.source_type == "RUN_INPUT", table.c.source_id.in_(run_ids))
        for row in self._connection.execute(table.select().where(sa.or_(made, read))).mappings():
            direction: Direction = "output" if row["source_type"] == "RUN_OUTPUT" else "input"
            link = ModelLink(row["source_id"], direction, row.get("step") or 0)
            self.links.setdefault(row["destination_id"], []).append(link)

    def _note_traces(self) -> None:
        table = self._table("trace_info")
        if table is not None:
            count = self._connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            if count:
                self._losses.add("store", "traces", "are not carried over", count)

    def _texts(
        self,
        name: str,
        owner: str,
        owners: list[str] | None = None,
        /,
        *,
        keys: tuple[str, str] = ("key", "value"),
        **same: Any,
    ) -> dict[Any, dict[str, str]]:
        found: dict[Any, dict[str, str]] = {}
        for row in self._rows(name, within=None if owners is None else (owner, owners), **same):
            value = row[keys[1]]
            found.setdefault(row[owner], {})[row[keys[0]]] = "" if value is None else str(value)
        return found

    def _rows(
        self, name: str, /, *, order: str = "", within: tuple[str, list[str]] | None = None, **same: Any
    ) -> list[dict[str, Any]]:
        table = self._table(name)
        if table is None:
            return []
        query = table.select()
        for column, value in same.items():
            query = query.where(table.c[column] == value)
        if within is not None:
            query = query.where(table.c[within[0]].in_(within[1]))
        if order:
            query = query.order_by(table.c[order])
        return [dict(row) for row in self._connection.execute(query).mappings()]

    def _table(self, name: str) -> sa.Table | None:
        if name not in self._tables:
            is_there = self._inspector.has_table(name)
            self._tables[name] = _reflected(name, self._engine) if is_there else None
        return self._tables[name]


def _reflected(name: str, engine: sa.Engine) -> sa.Table:
    return sa.Table(name, sa.MetaData(), autoload_with=engine, resolve_fks=False)


def _open(url: str | sa.URL) -> sa.Engine:
    try:
        parsed = sa.make_url(url)
        if parsed.get_backend_name() == "sqlite":
            path = Path(parsed.database or "").resolve()
            if not path.is_file():
                raise Unavailable("there is no such database file", field="source", next_step="check the path")
            # Its own file URI, so that SQLite itself refuses to write.
            read_only = sa.URL.create(
                "sqlite", database=f"file:{quote(str(path))}", query={"mode": "ro", "uri": "true"}
            )
            engine = sa.create_engine(read_only)
        else:
            engine = sa.create_engine(parsed, isolation_level="REPEATABLE READ")
        with engine.connect():
            return engine
    except sa.exc.ArgumentError as error:
        raise Invalid(
            "this is no database URL", field="source", next_step="write it like sqlite:///mlflow.db"
        ) from error
    except (sa.exc.NoSuchModuleError, ImportError) as error:
        raise Invalid(
            "there is no driver for this kind of database here",
            field="source",
            next_step="import from the MLflow server instead: homeostat import mlflow http://HOST:PORT",
        ) from error
    except sa.exc.DBAPIError as error:
        raise Unavailable("the database cannot be opened", field="source", next_step="check the URL") from error


def _beside(url: str | sa.URL) -> list[Path]:
    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return []
    folder = Path(parsed.database or "").resolve().parent
    # The folder itself only for what the store names in full: a database in a home folder opens nothing else of it.
    return [folder / "mlartifacts", folder / "mlruns", folder / "artifacts"]


def _model_metric(row: dict[str, Any]) -> ModelMetric:
    return ModelMetric(
        key=row["metric_name"],
        value=float("nan") if row["metric_value"] is None else row["metric_value"],
        at=row["metric_timestamp_ms"] * MILLISECOND,
        step=row["metric_step"],
        run_id=row["run_id"],
        dataset_name=row["dataset_name"] or "",
        dataset_digest=row["dataset_digest"] or "",
    )


def _number(experiment_id: str) -> Any:
    return int(experiment_id) if experiment_id.isdecimal() else experiment_id
