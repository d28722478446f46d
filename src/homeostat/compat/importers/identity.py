"""Ids that come out the same whenever the same thing is imported again."""

import hashlib
import re
from collections.abc import Iterable

RUN_ID = re.compile(r"[0-9a-f]{32}")


def identity_of(tool: str, parts: Iterable[str]) -> str:
    """The identity of a thing of another tool: a readable head and a digest of all its parts.

    >>> identity_of("wandb", ["team", "project", "abc"]) == identity_of("wandb", ["team", "project", "abc"])
    True
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)  # lengths, so that no two lists join to the same bytes
    return f"{tool}:{digest.hexdigest()}"


def derived_run_id(identity: str, project: str) -> str:
    """The id under which a run is imported into a project, as 32 hex characters in the form of a UUIDv8."""
    digest = identity_of("run", [identity, project]).rpartition(":")[2]
    return f"{digest[:12]}8{digest[13:16]}8{digest[17:]}"
