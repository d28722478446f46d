"""A home with a registered model, its prediction log and its loop: what labels meet, without a worker."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from homeostat.ground.clock import MINUTE, SystemClock
from homeostat.ground.records import FeatureColumn, InputColumn, PredictionBatch, Signature
from homeostat.ground.settings import Settings
from homeostat.loop.engine import Engine
from homeostat.registry.models import create_model
from homeostat.registry.types import StoredPackage
from homeostat.registry.versions import register_version
from homeostat.server.service import Service
from homeostat.serving.log import FOLDER, PredictionLog

SIGNATURE = Signature(
    task="binary",
    inputs=(InputColumn(name="shop", dtype="number"), InputColumn(name="item", dtype="string")),
    columns=(
        FeatureColumn(name="shop", kind="number"),
        FeatureColumn(name="item", kind="category", categories=("tea", "milk")),
    ),
    feature_hash="h",
    classes=("late", "on time"),
)


class LabelledHome:
    """Model `parcel`, one version; `answer` is what a worker would have logged."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.settings = Settings(home=str(folder), **settings)
        self.service = Service(self.settings)
        self.now = self.service.clock.now()
        with self.service.database.write() as conn:
            create_model(conn, "parcel", at=1, actor="test")
            package = StoredPackage("onnx", {}, None)
            register_version(
                conn, model="parcel", run_id=None, package=package, signature=SIGNATURE, at=1, actor="test"
            )
        self.engine = Engine(self.service.database, self.service.blobs, self.settings, self.service.clock)
        self.log = PredictionLog(folder / FOLDER)

    def answer(
        self,
        requests: Sequence[str],
        *,
        at: int | None = None,
        shop: float = 7,
        item: str = "tea",
        arm: str = "stable",
        status: str = "ok",
    ) -> int:
        """Log an answered request; returns its event time, ten minutes ago by default."""
        rows, at = len(requests), self.now - 10 * MINUTE if at is None else at
        batch = PredictionBatch(
            endpoint="parcel",
            model="parcel",
            version=1,
            arm=arm,
            status=status,
            request_ids=list(requests),
            times=[at] * rows,
            received=SystemClock().now(),
            latency_us=250,
            protocol="oip",
            inputs={"shop": [shop] * rows, "item": [item] * rows},
            vectors=np.array([[shop, 0.0]] * rows).tobytes() if status == "ok" else b"",
            scores=[0.25] * rows if status == "ok" else [],
        )
        self.log.append([batch])
        return at

    def look(self) -> None:
        self.engine.tick()

    def seal(self) -> None:
        """What is logged so far becomes a segment."""
        self.log.close()
        self.look()

    def close(self) -> None:
        self.log.close()
        self.service.close()
