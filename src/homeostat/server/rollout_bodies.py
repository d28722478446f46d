"""The bodies of the rollouts' routes. `actor` counts where no tokens are asked for; with tokens it is their name."""

import msgspec


class StartBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A version to be rolled out."""

    model: str
    version: int | str
    """Its number, or an alias."""
    plan: str = ""
    """As `homeostat rollout start --plan` takes it; empty: as the model declares it, else shadow and canary."""
    reason: str = ""
    actor: str = "person"
    force: bool = False
    """Although callers will have to send or read something else than now."""


class WordBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A person's word on a rollout."""

    reason: str = ""
    actor: str = "person"


class SkipBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A promotion by hand."""

    reason: str = ""
    actor: str = "person"
    full: bool = False
    """Straight to the promotion, not only past this step."""
    force: bool = False
    """Although guards lean against it, or it was held; recorded with the numbers."""


class SplitBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Shares of the traffic by hand."""

    weights: dict[int, float] = {}
    """Per cent by version; the champion takes the rest. None: the champion takes all."""
    reason: str = ""
    actor: str = "person"
    force: bool = False


class SimulateBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A plan to be tried on simulated traffic."""

    plan: str = ""
    model: str = ""
    """Whose recorded traffic gives the rates that `world` does not; and whose plan, when none is given."""
    world: dict[str, float | int] = {}
    """Fields of `World` by name."""
    repetitions: int = 500
    seed: int = 0
    limit: float | None = None
    """Minutes after which every step ends undecided."""
