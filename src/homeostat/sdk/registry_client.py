"""The registry's methods, the same on a home and over HTTP; each names its verb."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from homeostat.registry.stages import Stage

Plain = dict[str, Any]
Tags = Mapping[str, str | None]
ASKED = "asked for by a person"


class RegistryClient(Protocol):
    """`hs.connect(...).registry`.

    A `ref` is `NAME@4`, `NAME@champion` or `models:/NAME/4`. `actor` says who did it where no tokens are asked for;
    with tokens it is who the token says.
    """

    def models(self) -> list[Plain]: ...

    def model(self, name: str) -> Plain:
        """Versions, aliases, ledger, cycles, what is in service."""
        ...

    def create(self, name: str, *, description: str = "", tags: Mapping[str, str] | None = None) -> Plain:
        """Make a model without versions; `register` makes one by itself."""
        ...

    def register(
        self,
        model: Any,
        name: str,
        *,
        inputs: Sequence[str] | None = None,
        example: Any = None,
        task: str = "",
        classes: Sequence[Any] = (),
        outputs: Sequence[str] = (),
        run: Any = None,
        evaluation: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
        description: str = "",
        allow_pickle: str = "",
    ) -> Plain:
        """Package a fitted model in a safe format and register it under `name`, signed.

        What it takes and gives is found out by asking it; where it does not say, you do: `inputs` are the names of
        its columns in order, `example` some rows (a data frame, a dict of lists, an array), `task` 'binary',
        'multiclass' or 'regression', `classes` and `outputs` their names.

        `run` is a run or its id  [default: the current one]; `evaluation` are metrics, which stages may require;
        `allow_pickle` says why a pickle will do where no safe format does.
        """
        ...

    def versions(self, name: str) -> list[Plain]:
        """Newest first."""
        ...

    def version(self, ref: str) -> Plain:
        """A version with signature, evaluation, lineage, tags, and the aliases on it."""
        ...

    def history(self, model: str, *, alias: str | None = None) -> list[Plain]:
        """The ledger, oldest first: who moved which alias when, from where to where, why, on what evidence."""
        ...

    def at(self, model: str, alias: str = "champion", time: str | int | datetime | None = None) -> Plain:
        """Where an alias stood at a time (ISO text, datetime, microseconds; now): `version`, `ref`, and the `move`.

        `version` and `ref` are None when it stood on none.
        """
        ...

    def inspect(self, ref: str) -> Plain:
        """What a version takes and gives; found out now, in a process of its own, when it is not known."""
        ...

    def set_alias(
        self,
        model: str,
        alias: str,
        version: int | str,
        *,
        reason: str = "",
        actor: str = "person",
        force: bool = False,
    ) -> Plain:
        """Move an alias to a version, or to where another alias stands. The champion is what is in service.

        `force` puts it into service although callers will have to send or read something else; the ledger says so.
        """
        ...

    def remove_alias(self, model: str, alias: str, *, reason: str = "", actor: str = "person") -> Plain: ...

    def rollback(
        self,
        model: str,
        *,
        alias: str = "champion",
        to: int | None = None,
        reason: str = ASKED,
        actor: str = "person",
    ) -> Plain:
        """Move an alias back to the version that held it before, or to an earlier holder `to`."""
        ...

    def retire(self, model: str, *, reason: str = ASKED, actor: str = "person") -> Plain:
        """Take a model out of service: rollouts stop, its endpoints go, its champion stands down."""
        ...

    def stages(self, model: str) -> list[Plain]: ...

    def declare_stages(
        self, stages: Sequence[Stage | str], *, model: str | None = None, actor: str = "person"
    ) -> list[Plain]:
        """Declare the stages of a model, or of every model that declares none, in order."""
        ...

    def promote(self, ref: str, stage: str, *, reason: str = "", actor: str = "person", force: bool = False) -> Plain:
        """`{"move": ..., "request": ...}`: the version is in the stage, or a request waits for somebody else.

        Whatever the stages are, `champion` is in service; `force` as for `set_alias`.
        """
        ...

    def requests(self, model: str, *, pending: bool = False) -> list[Plain]: ...

    def approve(self, request: str, *, comment: str = "", actor: str = "person") -> Plain:
        """Agree to somebody else's request."""
        ...

    def reject(self, request: str, *, comment: str = "", actor: str = "person") -> Plain: ...

    def allowed_actions(self, ref: str, *, actor: str | None = None) -> list[Plain]:
        """What could be done with a version now; what is refused says why and what would mend it."""
        ...

    def set_tags(self, ref: str, tags: Tags) -> Plain:
        """Set tags of a version (`NAME@4`) or a model (`NAME`); a tag that becomes None is taken away."""
        ...

    def describe(self, ref: str, text: str) -> Plain:
        """Describe a version (`NAME@4`) or a model (`NAME`) anew."""
        ...

    def rename(self, model: str, new_name: str) -> Plain: ...

    def delete_version(self, ref: str) -> Plain:
        """Take `NAME@4` out of sight; its number is never given again."""
        ...

    def delete_model(self, name: str) -> Plain:
        """Into the trash; the name is free."""
        ...

    def restore_model(self, name: str) -> Plain: ...
