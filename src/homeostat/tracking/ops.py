"""What a client's spool holds: the operations, the stretches in which they are shipped, and the server's reply."""

from typing import Any

import msgspec

from homeostat.tracking.types import DatasetInput, Ending

Plain = dict[str, Any]


class StartRun(msgspec.Struct, frozen=True, array_like=True, tag="start"):
    """A run begins, or the one with this id is joined."""

    id: str
    project: str
    name: str
    started: int
    actor: str = ""
    """Who, where the server does not know it better."""
    cause: str = "person"
    parent: str | None = None
    code: Plain = {}
    environment: Plain = {}


class ResumeRun(msgspec.Struct, frozen=True, array_like=True, tag="resume"):
    """A run that had ended goes on."""

    run: str


class Params(msgspec.Struct, frozen=True, array_like=True, tag="params"):
    """Parameters."""

    run: str
    values: Plain


class Tags(msgspec.Struct, frozen=True, array_like=True, tag="tags"):
    """Tags."""

    run: str
    values: dict[str, str]


class Series(msgspec.Struct, frozen=True, array_like=True, tag="series"):
    """Points of one series: three little-endian arrays of one length."""

    run: str
    key: str
    steps: bytes
    """int64."""
    at: bytes
    """int64, microseconds UTC."""
    values: bytes
    """float64."""


class Files(msgspec.Struct, frozen=True, array_like=True, tag="file"):
    """A file of the run; its bytes are stored under `digest` already."""

    run: str
    path: str
    digest: str
    size: int


class Inputs(msgspec.Struct, frozen=True, array_like=True, tag="inputs"):
    """Dataset versions that the run reads."""

    run: str
    digests: list[str]


class Datasets(msgspec.Struct, frozen=True, array_like=True, tag="datasets"):
    """Data sets that the run reads, as the client describes them."""

    run: str
    inputs: list[DatasetInput]


class EndRun(msgspec.Struct, frozen=True, array_like=True, tag="end"):
    """A run ends."""

    run: str
    status: Ending
    ended: int
    error: str = ""


Op = StartRun | ResumeRun | Params | Tags | Series | Files | Inputs | Datasets | EndRun


class IngestBatch(msgspec.Struct, frozen=True):
    """A stretch of a spool, `start` to `end` (bytes, `end` not included), as the operations it holds."""

    spool: str
    start: int
    end: int
    ops: list[Op]


class Rejected(msgspec.Struct, frozen=True):
    """An operation that can never be taken in; the ones around it were."""

    index: int
    error: str
    field: str


class IngestReply(msgspec.Struct, frozen=True):
    """How far the spool has been taken in, and what was wrong in this stretch."""

    position: int
    rejected: list[Rejected] = []
