"""What an MLflow endpoint is made of: a path, the struct it reads, and the translator that answers.

Each subject (`experiments.py`, `runs.py`, ...) lists its own in `ROUTES`; `app.py` gathers and dispatches them.
"""

from collections.abc import Callable, Mapping
from typing import IO, Any

import msgspec

from homeostat.ground.access import Identity, Permission
from homeostat.ground.clock import Clock
from homeostat.loop.inspection import Inspection
from homeostat.registry.keys import Trust
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database


class Context(msgspec.Struct, frozen=True):
    """What a translator works with: the home, the time, and who asks."""

    database: Database
    blobs: BlobStore
    clock: Clock
    identity: Identity
    webhook_allow: frozenset[str] = frozenset()
    """Private addresses that webhooks may reach all the same."""
    signing_key: Callable[[], Any] | None = None
    """The project's private key, read when something is registered; without one nothing is signed."""
    trust: Callable[[], Trust] | None = None
    """Whose packages may be fetched; without it only their bytes are checked."""
    inspection: Inspection | None = None
    """Looks at a version before it goes into service; without it only versions that are known do."""


class Raw(msgspec.Struct, frozen=True):
    """An answer that is no JSON."""

    body: bytes
    media_type: str = "application/octet-stream"
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


class FileAnswer(msgspec.Struct, frozen=True):
    """An answer whose bytes are sent as they are read; the stream is closed afterwards."""

    stream: IO[bytes]
    size: int
    name: str
    """What a browser saves it as, and what tells its type."""


class Received(msgspec.Struct, frozen=True):
    """A body that was stored while it came in, as the blob it is now."""

    digest: str
    size: int


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
    conflict: str = "RESOURCE_ALREADY_EXISTS"
    """MLflow's error code for our `Conflict`: it says INVALID_PARAMETER_VALUE where nothing is doubled."""
    stores_body: bool = False
    """The body becomes a blob as it comes in; `reads` finds it as `received`."""
    before: Callable[[Mapping[str, str]], Any] | None = None
    """Looks at the path's parts before the body is read, and raises for those that would be refused anyway."""
    takes_bytes: bool = False
    """The body is no JSON; `reads` finds it as `content`, beside the `headers` (names in lower case)."""
    takes_headers: bool = False
    """`reads` finds the `headers` beside what else it reads."""


class Tag(msgspec.Struct, frozen=True):
    """MLflow's key and value, as tags and params travel."""

    key: str = ""
    value: str = ""
