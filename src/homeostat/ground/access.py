"""Who is asking, and what they may do: handed from the one middleware that decides to whatever answers."""

from typing import Literal

import msgspec

from homeostat.ground.errors import Denied

Permission = Literal["read", "write", "deploy", "admin"]
"""read: look; write: log and register; deploy: move aliases and traffic; admin: tokens, deletion for good, settings."""


class Identity(msgspec.Struct, frozen=True):
    """Somebody who was let in. `projects` None: all of them."""

    name: str
    permissions: frozenset[Permission]
    projects: frozenset[str] | None = None

    def may_touch(self, project: str) -> bool:
        return self.projects is None or project in self.projects

    def require_project(self, project: str) -> None:
        """See that this project is within reach.

        Raises:
            Denied: when the token was made for other projects.
        """
        if not self.may_touch(project):
            raise Denied(
                f"{self.name} may not touch project {project!r}",
                field="project",
                next_step="ask for a token of that project",
            )


EVERYTHING: frozenset[Permission] = frozenset({"read", "write", "deploy", "admin"})

LOCAL = Identity("person", EVERYTHING)
"""This machine's own user, on a server that only this machine can reach."""
