"""Memory: what a candidate adds to a serving worker, against the plan's limit."""

import msgspec

LOOKS_OVER = 2
"""Looks in a row over the limit that roll back: one alone may have met a garbage collection."""


class MemoryUse(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes that the candidate added to the worker that has grown most since before the rollout."""

    limit: int
    """0: no limit."""
    added: int | None = None
    """At the last look; None while no worker has said."""
    most: int = 0
    looks_over: int = 0

    def seen(self, added: int | None) -> "MemoryUse":
        """After a look at the workers; None when none could say."""
        if added is None:
            return self
        over = self.looks_over + 1 if self.limit and added > self.limit else 0
        return msgspec.structs.replace(self, added=added, most=max(self.most, added), looks_over=over)

    @property
    def is_over(self) -> bool:
        return self.looks_over >= LOOKS_OVER
