"""What each route needs: one table over all parts of the server. A route without an entry is denied.

Our own handlers carry theirs: `opt={"needs": "read"}`, and for tokens of some projects only, `"project"`: the path part
that names the project (a model belongs to the project of its name), or `HANDLER` when the verb asks the identity.
Without it such tokens are denied.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any, Literal

import msgspec

from homeostat.ground.access import Permission

Needs = Permission | Literal["public"]

HANDLER = "by the handler"
"""Value of `project`: the handler itself sees to the projects of a token."""


class Rule(msgspec.Struct, frozen=True):
    """What a matched route asks for. `needs` None: the route has no entry, so nobody may."""

    needs: Needs | None
    project: str | None = None
    """The project that the request is about, or `HANDLER`; None when that cannot be told."""
    takes_uploads: bool = False
    """Its body is streamed to disk, so the larger limit holds."""
    but_json: bool = False
    """Except JSON, which is read whole."""
    methods: frozenset[str] = frozenset()
    """Set when the path is known and the method is not: the ones that are."""


Lookup = Callable[[str, str], Rule | None]
"""`(method, path)` to its rule; None when it is not a route of theirs."""


class _Pattern(msgspec.Struct, frozen=True):
    path: re.Pattern[str]
    methods: dict[str, Rule]


class PermissionTable:
    """Finds the rule of a request; first our handlers, then what other parts of the server say of theirs."""

    def __init__(self, *lookups: Lookup) -> None:
        self._lookups = lookups
        self._fixed: dict[str, dict[str, Rule]] = {}
        self._patterns: list[_Pattern] = []

    def add_litestar(self, routes: Iterable[Any]) -> None:  # Litestar's routes have no common public type
        """Take in the routes of a Litestar application."""
        for route in routes:
            methods = {method: _rule(handler.opt) for method, handler in _handlers(route)}
            if all(isinstance(part, str) for part in route.path_components):
                self._fixed.setdefault(_bare(route.path), {}).update(methods)
            else:
                self._patterns.append(_Pattern(_expression(route.path_components), methods))

    def find(self, method: str, path: str) -> Rule | None:
        """The rule of a request; None when no part of the server has such a path."""
        for lookup in self._lookups:
            if (rule := lookup("GET" if method == "HEAD" else method, path)) is not None:
                return rule
        bare = _bare(path)
        if (methods := self._fixed.get(bare)) is not None:
            return _of_method(methods, method, {})
        for pattern in self._patterns:
            if (match := pattern.path.fullmatch(bare)) is not None:
                return _of_method(pattern.methods, method, match.groupdict())
        return None

    def entries(self) -> list[tuple[str, str, Needs | None]]:
        """Every route of ours as `(method, path, needs)`; for the test that walks them."""
        fixed = [(path, methods) for path, methods in self._fixed.items()]
        all_methods = fixed + [(pattern.path.pattern, pattern.methods) for pattern in self._patterns]
        return [(method, path, rule.needs) for path, methods in all_methods for method, rule in methods.items()]


def _handlers(route: Any) -> list[tuple[str, Any]]:
    handlers = getattr(route, "route_handler_map", None)
    if handlers is not None:
        # Litestar hands out (handler, its arguments' model).
        return [(method, entry[0] if isinstance(entry, tuple) else entry) for method, entry in handlers.items()]
    return [("GET", route.route_handler)]


def _rule(opt: dict[str, Any]) -> Rule:
    uploads = bool(opt.get("takes_uploads"))
    return Rule(opt.get("needs"), opt.get("project"), takes_uploads=uploads, but_json=bool(opt.get("but_json")))


def _of_method(methods: dict[str, Rule], method: str, parts: dict[str, str]) -> Rule:
    rule = methods.get(method) or (methods.get("GET") if method == "HEAD" else None)
    if rule is None:
        return Rule(None, methods=frozenset(methods) - {"OPTIONS"})
    named = parts.get(rule.project, rule.project) if rule.project else None
    return msgspec.structs.replace(rule, project=named)


def _expression(components: Iterable[Any]) -> re.Pattern[str]:
    parts = []
    for part in components:
        if isinstance(part, str):
            parts.append(re.escape(part))
        else:
            parts.append(f"(?P<{part.name}>{'.+' if part.full.endswith(':path') else '[^/]+'})")
    return re.compile("/" + "/".join(parts), re.DOTALL)


def _bare(path: str) -> str:
    return path.rstrip("/") or "/"


PUBLIC = frozenset({"/", "/favicon.ico", "/health", "/version", "/ping", "/api/health"})
"""The page's shell and what load balancers ask; nothing of it tells of data."""


def plain_rule(method: str, path: str) -> Rule | None:
    """Routes that belong to no handler of ours: the public ones, the page's files and the API's description."""
    if method == "GET" and (_bare(path) in PUBLIC or path.startswith("/assets/")):
        return Rule("public", HANDLER)
    if method == "GET" and (path == "/api/schema" or path.startswith("/api/schema/")):
        return Rule("read", HANDLER)
    return None


def prediction_rule(_method: str, path: str) -> Rule | None:
    """Predictions need `read`, loading and unloading `deploy`.

    An endpoint belongs to the project of its name; a bare /invocations names none.
    """
    match path.split("/"):
        case ["", "v2", "health", _]:
            return Rule("public", HANDLER)
        case ["", "v2", "repository", "models", name, _]:  # taking a model out of service is no reader's business
            return Rule("deploy", name)
        case ["", "v2", "models", name, *_] | ["", "endpoints" | "predict", name, *_] if name:
            return Rule("read", name)
        case ["", "v2" | "invocations" | "endpoints", *_]:
            return Rule("read")
    return None


def mlflow_rule(needs: Callable[[str, str], Permission | None]) -> Lookup:
    """MLflow's endpoints by what their own table says; their translators see to the projects of a token."""

    def find(method: str, path: str) -> Rule | None:
        permission = needs(method, path)
        if permission is None:
            return None
        uploads = method in {"PUT", "POST"} and ("/mlflow-artifacts/" in path or path.endswith("/upload-artifact"))
        # What an admin does there reaches beyond any project: a webhook hears of all of them.
        return Rule(permission, None if permission == "admin" else HANDLER, takes_uploads=uploads)

    return find
