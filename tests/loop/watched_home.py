"""A home with a declared model, its log and its loop on a driven clock: what is watched, and nothing is served."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from homeostat.ground.clock import DAY, from_iso, to_iso
from homeostat.ground.records import FeatureColumn, InputColumn, Label, PredictionBatch, Signature
from homeostat.ground.settings import Settings
from homeostat.loop.declaration import Declaration, save_declaration
from homeostat.loop.engine import Engine
from homeostat.loop.triggers import older_than, when
from homeostat.monitoring.bins import fit_bins
from homeostat.monitoring.labels import record_labels
from homeostat.monitoring.types import Watch, quality
from homeostat.registry.aliases import set_alias
from homeostat.registry.models import create_model
from homeostat.registry.types import StoredPackage
from homeostat.registry.versions import register_version
from homeostat.rollout.types import shadow
from homeostat.server.service import Service
from homeostat.serving.log import FOLDER, PredictionLog

BEGIN = from_iso("2024-01-01")
SHOPS = ("north", "south", "west")
SIGNATURE = Signature(
    task="binary",
    inputs=(InputColumn(name="weight", dtype="number"), InputColumn(name="shop", dtype="string")),
    columns=(
        FeatureColumn(name="weight", kind="number"),
        FeatureColumn(name="shop", kind="category", categories=SHOPS),
    ),
    feature_hash="",
)
Floats = npt.NDArray[np.float64]


class WatchedHome:
    """Model `parcel@1` in service; `answer` is what a worker would have logged."""

    def __init__(self, folder: Path, *watch: Watch, source: bytes = b"") -> None:
        self.settings = Settings(home=str(folder / "home"), clock=to_iso(BEGIN))
        self.service = Service(self.settings)
        self.rng = np.random.default_rng(5)
        self.engine = Engine(self.service.database, self.service.blobs, self.settings, self.service.clock)
        self.log = PredictionLog(self.settings.home_path / FOLDER)
        digest = self.service.blobs.put(source or b"none")
        bins = fit_bins(SIGNATURE.columns, self.vectors(3000), scores=self.rng.uniform(size=3000))
        declaration = Declaration(
            model="parcel",
            task="binary",
            examples="parcels",
            label="late",
            known_at="arrived",
            features=("weight", "shop"),
            feature_hash="",
            inputs=SIGNATURE.inputs,
            sources=(),
            gate=(),
            rollout=shadow(),
            watch=watch or (quality(),),
            retrain=when(older_than("1d")),
            train_window=70 * DAY,
            evaluation_window=7 * DAY,
            train_timeout=None,
            sticky=None,
            file_digest=digest,
            file_name="parcels.py",
            root=str(folder),
        )
        with self.service.database.write() as conn:
            create_model(conn, "parcel", at=BEGIN, actor="test")
            register_version(
                conn,
                model="parcel",
                run_id=None,
                package=StoredPackage("onnx", {}, None),
                signature=SIGNATURE,
                bins=bins,
                evaluation={"evaluation": {"challenger": {"log_loss": 0.5}}},
                at=BEGIN,
                actor="test",
            )
            set_alias(conn, "parcel", "champion", 1, at=BEGIN, actor="test")
            save_declaration(conn, declaration, at=BEGIN, actor="test")

    def vectors(self, rows: int) -> Floats:
        return np.column_stack([self.rng.normal(10, 3, rows), self.rng.integers(0, 3, rows)])

    def answer(
        self, day: float, vectors: Floats, scores: Sequence[float] | None = None, *, name: str = "r"
    ) -> list[str]:
        """Log rows evenly over a day; returns their request ids."""
        rows = len(vectors)
        ids = [f"{name}{day:g}-{place}" for place in range(rows)]
        times = [BEGIN + int((day + place / rows) * DAY) for place in range(rows)]
        shops = [SHOPS[int(code)] if code >= 0 else None for code in np.nan_to_num(vectors[:, 1], nan=-1)]
        weights = [None if value != value else float(value) for value in vectors[:, 0]]  # noqa: PLR0124  NaN
        batch = PredictionBatch(
            endpoint="parcel",
            model="parcel",
            version=1,
            arm="stable",
            status="ok",
            request_ids=ids,
            times=times,
            received=times[0],
            latency_us=250,
            inputs={"weight": weights, "shop": shops},
            vectors=np.ascontiguousarray(vectors, dtype="<f8").tobytes(),
            scores=list(scores) if scores is not None else [0.5] * rows,
        )
        self.log.append([batch])
        return ids

    def seal(self) -> None:
        """What is logged so far becomes a segment when the loop looks."""
        self.log.close()
        self.log = PredictionLog(self.settings.home_path / FOLDER)

    def refuse(self, day: float, times: int, detail: str) -> None:
        """Log requests that were refused."""
        at = BEGIN + int(day * DAY)
        batches = [
            PredictionBatch(
                endpoint="parcel",
                model="parcel",
                version=1,
                arm="stable",
                status="rejected",
                request_ids=[f"no{day:g}-{place}"],
                times=[at],
                received=at,
                latency_us=10,
                detail=detail,
            )
            for place in range(times)
        ]
        self.log.append(batches)

    def label(self, ids: Sequence[str], values: Any, day: float) -> None:
        at = BEGIN + int(day * DAY)
        rows = [Label(request_id=one, value=float(value), at=at) for one, value in zip(ids, values, strict=True)]
        with self.service.database.write() as conn:
            record_labels(conn, "parcel", rows, recorded=at)

    def move(self, day: float) -> None:
        """The clock stands at that day, and the loop looks."""
        self.service.move_clock(to_iso(BEGIN + int(day * DAY)))
        self.engine.tick()

    def alarms(self, kind: str) -> list[dict[str, Any]]:
        found = self.service.alarms.list(state="all")
        return [one for one in found if one["kind"] == kind]

    def close(self) -> None:
        self.log.close()
        self.service.close()
