"""The nouns of serving: arms, endpoints, requests, replies, and the translator a wire protocol brings."""

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from homeostat.ground.errors import HomeostatError, Invalid
from homeostat.ground.ports import Served
from homeostat.ground.records import Signature

FULL = 10_000
"""All of an endpoint's traffic; weights are parts of it, so 500 is 5 %."""


class Arm(msgspec.Struct, frozen=True, kw_only=True):
    """A version that answers a part of an endpoint's requests."""

    version: int
    weight: int
    """Parts of 10,000."""
    arm: str = "stable"
    """'stable' or 'canary'."""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A served name: which versions answer, and which only score along (shadows)."""

    name: str
    model: str
    arms: tuple[Arm, ...]
    shadows: tuple[int, ...] = ()
    shadow_share: int = FULL
    """Parts of 10,000 of the requests that shadows score, drawn by request id."""
    salt: str = ""
    """Decides which keys meet the canary; the same salt keeps them, a new one draws anew."""
    sticky: str = ""
    """Input column whose value keeps a row on its arm; empty means each request id is drawn alone."""
    generation: int = 0
    """Grows with every change of any endpoint."""

    @property
    def stable(self) -> Arm:
        """The arm that answers whatever the others do not."""
        return next(arm for arm in self.arms if arm.arm == "stable")

    @property
    def versions(self) -> tuple[int, ...]:
        """Every version a worker has to hold for this endpoint, answering ones first."""
        return tuple(dict.fromkeys([arm.version for arm in self.arms] + list(self.shadows)))


class PredictRequest(msgspec.Struct, kw_only=True):
    """Rows to score, whichever protocol brought them.

    Columns named `request_id` and `request_time` give each row's id and event time and are not features.
    """

    endpoint: str
    inputs: dict[str, list[Any]]
    matrix: Any = None
    """Instead of `inputs`: float64 rows x columns, laid on the signature's input columns in their order."""
    request_ids: list[str] | None = None
    times: list[int] | None = None
    """Event time of each row, microseconds UTC."""
    protocol: str = ""
    version_override: int | None = None
    is_text: bool = False
    """True when every value is text (CSV) and is to be read by its column's type; empty text is a missing value."""
    received: int = 0
    """Machine time at which the request was read, microseconds UTC."""
    started: int = 0
    """`time.perf_counter_ns()` at that moment; latencies count from here."""


class ShadowWork(msgspec.Struct, kw_only=True):
    """Rows that shadow versions score once the reply is out."""

    endpoint: str
    served: tuple[Served, ...]
    inputs: dict[str, list[Any]]
    matrix: Any = None
    """Instead of `inputs`: all versions take these columns as they are."""
    is_text: bool = False
    request_ids: list[str]
    times: list[int]
    received: int
    protocol: str
    signature: Signature | None = None
    """Of the one version that answered all rows: a shadow with an equal one sees the same vectors, read only once."""
    checked: dict[str, list[Any]] = {}
    """The rows as that version's features read them."""
    vectors: bytes = b""


class PredictReply(msgspec.Struct, kw_only=True):
    """One score a row, and which version and arm gave it."""

    endpoint: str
    model: str
    scores: list[float]
    """Probability or value; of several classes the index of the likeliest, of several outputs the first."""
    request_ids: list[str]
    versions: list[int]
    arms: list[str]
    table: Any = None
    """float64 rows x outputs, for a model with several classes or outputs; None for one number a row."""
    signature: Signature | None = None
    """Of the (first) version that answered: names of outputs and classes."""
    shadow: ShadowWork | None = None

    @property
    def only_version(self) -> int | None:
        """The version that answered every row; None when several did."""
        versions = self.versions
        return versions[0] if len(versions) == 1 or len(set(versions)) == 1 else None


class Decoded(msgspec.Struct, kw_only=True):
    """What a translator read from a request body."""

    inputs: dict[str, list[Any]] = {}
    matrix: Any = None
    """Instead of `inputs`: a float64 array, rows x columns, of a request that names no columns."""
    request_ids: list[str] | None = None
    is_text: bool = False
    wish: Any = None
    """Whatever the translator needs again to write the reply, such as the outputs asked for."""


class Encoded(msgspec.Struct, kw_only=True):
    """A response body and what belongs to it."""

    body: bytes
    headers: list[tuple[str, str]]


class Translator(Protocol):
    """A wire protocol: bytes to columns, scores to bytes, errors to its own shape. No rules inside."""

    protocol: str

    def decode(self, body: bytes, header: Callable[[str], str | None]) -> Decoded: ...

    def encode(self, reply: PredictReply, wish: Any) -> Encoded: ...

    def encode_error(self, error: HomeostatError, status: int) -> bytes: ...


class WrongContentType(Invalid):
    """The body is of a kind this route does not read; HTTP 415."""

    code = "wrong_content_type"


class NotAcceptable(Invalid):
    """None of the formats the caller takes is one we write; HTTP 406."""

    code = "not_acceptable"
