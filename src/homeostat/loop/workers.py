"""What the serving workers of this machine say of themselves: what they could not load, and how large they are."""

from collections.abc import Sequence
from typing import Protocol

import msgspec


class WorkerState(msgspec.Struct, frozen=True, kw_only=True):
    """One worker process."""

    pid: int
    rss: int
    """Bytes of memory that it holds."""
    failures: dict[str, str] = {}
    """Endpoints whose newest routing it could not load, with the reason."""
    memory: dict[str, int] = {}
    """Bytes that loading each version (`model@4`) added, where it measures that."""


class Workers(Protocol):
    """Handed in by whoever keeps the workers; without workers here it gives none."""

    def __call__(self, *, closely: bool = False) -> Sequence[WorkerState]:
        """Their sizes; `closely`, the workers themselves are asked, too."""
        ...


def no_workers(*, closely: bool = False) -> Sequence[WorkerState]:  # noqa: ARG001  as `Workers` has it
    """For a home whose workers run elsewhere, or not at all."""
    return ()


class MemoryWatch:
    """What a candidate adds to a worker: what the worker measured when it loaded it, else what it has grown since.

    An estimate, for a worker may serve several models. A worker that was started anew is taken to have begun at its
    size less what the candidate had added to the one before.
    """

    def __init__(self) -> None:
        self._before: dict[int, int] = {}
        self._added: dict[str, int] = {}

    def at_rest(self, states: Sequence[WorkerState]) -> None:
        """Note the workers' sizes while no rollout is open."""
        self._before = {state.pid: state.rss for state in states}
        self._added.clear()

    def added(self, states: Sequence[WorkerState], ref: str) -> int | None:
        """Bytes that a version (`model@4`) added to the worker that it added most to; None when no worker can say."""
        found = [added for state in states if (added := self._added_to(state, ref)) is not None]
        if not found:
            return None
        self._added[ref] = max(found)
        return self._added[ref]

    def _added_to(self, state: WorkerState, ref: str) -> int | None:
        grown = self._grown(state, ref)
        measured = state.memory.get(ref)
        known = [one for one in (grown, measured) if one is not None]
        return max(known) if known else None

    def _grown(self, state: WorkerState, ref: str) -> int | None:
        if state.pid not in self._before:
            if not self._before:  # the first look after a start in mid-rollout: nothing to compare with
                return None
            self._before[state.pid] = state.rss - self._added.get(ref, 0)
        return state.rss - self._before[state.pid]
