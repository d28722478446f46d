"""The bodies of tracking's routes."""

import msgspec

from homeostat.tracking.types import View


class ProjectBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A project to be made."""

    name: str
    tags: dict[str, str] = {}


class ProjectPatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to change about a project."""

    name: str | None = None
    tags: dict[str, str] = {}


class CountBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Runs to be counted. No projects: all of them."""

    projects: list[str] = []
    filter: str = ""
    view: View = "active"


class SearchBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Runs to be found. No projects: all of them; `params`, `metrics`, `tags`: the columns wanted, None for all."""

    projects: list[str] = []
    filter: str = ""
    view: View = "active"
    order_by: list[str] = []
    limit: int = 100
    page_token: str | None = None
    params: tuple[str, ...] | None = None
    metrics: tuple[str, ...] | None = None
    tags: tuple[str, ...] | None = None


class HistoriesBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One metric of several runs."""

    runs: list[str]
    key: str
    points: int = 1000
    x: str = "step"


class CompareBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Runs to be put beside each other."""

    runs: list[str]
