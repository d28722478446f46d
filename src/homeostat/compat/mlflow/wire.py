"""What an MLflow endpoint is made of: a path, the struct it reads, and the translator that answers.

Each subject (`experiments.py`, `runs.py`, ...) lists its own in `ROUTES`; `app.py` gathers and dispatches them.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from homeostat.ground.access import Identity, Permission
from homeostat.ground.clock import Clock
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database


class Context(msgspec.Struct, frozen=True):
    """What a translator works with: the home, the time, and who asks."""

    database: Database
    blobs: BlobStore
    clock: Clock
    identity: Identity


class Raw(msgspec.Struct, frozen=True):
    """An answer that is no JSON."""

    body: bytes
    media_type: str = "application/octet-stream"
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


Answer = Callable[[Context, Any], Any]


class Route(msgspec.Struct, frozen=True):
    """One endpoint of MLflow's."""

    methods: tuple[str, ...]
    path: str
    """Below `/api/2.0` and `/ajax-api/2.0` (or 3.0), such as `/mlflow/runs/create`; may hold `{name}` parts."""
    reads: type[Any]
    """Filled by path parts, query and JSON body together; unknown fields are ignored, as MLflow does."""
    answer: Answer
    """`(context, reads-instance)` to a struct, dict or `Raw`; it opens its own transaction on `context.database`."""
    needs: Permission
    version: str = "2.0"


class Tag(msgspec.Struct, frozen=True):
    """MLflow's key and value, as tags and params travel."""

    key: str = ""
    value: str = ""
