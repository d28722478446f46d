"""From method and path to endpoint: a dict for plain paths, expressions for those with `{name}` parts."""

import re
from collections.abc import Iterable, Mapping

import msgspec

from homeostat.compat.mlflow.wire import Route

_API = ("/api/", "/ajax-api/")
_PART = re.compile(r"\{(\w+)\}")
TAIL = frozenset({"artifact_path"})
"""Parts that take the rest of the path, slashes and all."""


class Match(msgspec.Struct, frozen=True):
    """The endpoint of a path. `route` None: the path is there with other methods only."""

    route: Route | None
    parts: Mapping[str, str] = {}
    methods: frozenset[str] = frozenset()


class Router:
    """Endpoints by method and path."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._exact: dict[str, dict[str, Route]] = {}
        self._patterns: list[tuple[re.Pattern[str], dict[str, Route]]] = []
        patterns: dict[str, dict[str, Route]] = {}
        for route in routes:
            for path in paths_of(route):
                table = patterns if "{" in path else self._exact
                table.setdefault(path, {}).update(dict.fromkeys(route.methods, route))
        # The more words a path has, the more it says: /traces/search before /traces/{id}.
        for path in sorted(patterns, key=lambda item: len(_PART.sub("", item)), reverse=True):
            self._patterns.append((_expression(path), patterns[path]))

    def find(self, method: str, path: str) -> Match | None:
        """The endpoint that answers; None when there is no such path."""
        if method == "HEAD":
            method = "GET"
        exact = self._exact.get(path)
        if exact is not None:
            return _among(exact, method, {})
        for expression, table in self._patterns:
            found = expression.fullmatch(path)
            if found is not None:
                return _among(table, method, found.groupdict())
        return None


def paths_of(route: Route) -> list[str]:
    """Where an endpoint is reached: for programs and for browsers; outside of `/mlflow` as it stands."""
    if not route.path.startswith(("/mlflow", "/mlflow-artifacts")):
        return [route.path]
    return [f"{prefix}{route.version}{route.path}" for prefix in _API]


def _among(table: Mapping[str, Route], method: str, parts: Mapping[str, str]) -> Match:
    return Match(table.get(method), parts, frozenset(table))


def _expression(path: str) -> re.Pattern[str]:
    pieces = _PART.split(path)
    text = "".join(
        re.escape(piece) if place % 2 == 0 else f"(?P<{piece}>{'.+' if piece in TAIL else '[^/]+'})"
        for place, piece in enumerate(pieces)
    )
    return re.compile(text, re.DOTALL)
