"""Endpoints in the catalogue: which versions answer under a name, with which weight, and which only score along.

Workers poll `current_generation`, one row, and read the endpoints again when it grew.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Invalid, NotFound
from homeostat.ground.ids import new_id
from homeostat.serving.store import serving_endpoints, serving_generation
from homeostat.serving.types import FULL, Arm, Endpoint
from homeostat.store.dialect import add_up, upsert
from homeostat.store.events import append_event

MAX_NAME = 128


def set_routing(
    conn: Connection,
    name: str,
    *,
    model: str,
    arms: Sequence[Arm],
    shadows: Sequence[int] = (),
    shadow_share: int = FULL,
    sticky: str | None = None,
    salt: str | None = None,
    actor: str,
    reason: str,
    at: int,
) -> int:
    """Route the endpoint anew and return the new generation; appends `endpoint.routed`.

    `sticky` and `salt` stay as they are when not given, so that raising a canary's weight only adds keys to it.

    Raises:
        Invalid: when the arms do not add up or name a version twice.
    """
    _check_name(name)
    check_routing(arms, shadows)
    if not 0 < shadow_share <= FULL:
        raise Invalid(
            f"shadows look at {shadow_share} of {FULL} requests",
            field="shadow_share",
            next_step="give a part above 0, or no shadows",
        )
    before = find_endpoint(conn, name)
    endpoint = Endpoint(
        name=name,
        model=model,
        arms=tuple(arms),
        shadows=tuple(shadows),
        shadow_share=shadow_share,
        salt=salt if salt is not None else (before.salt if before else new_id()),
        sticky=sticky if sticky is not None else (before.sticky if before else ""),
        generation=_next_generation(conn),
    )
    row = msgspec.to_builtins(endpoint)
    upsert(conn, serving_endpoints, [row], key=["name"], update=[column for column in row if column != "name"])
    append_event(
        conn, "endpoint.routed", subject=model, at=at, actor=actor, reason=reason, data=_told(endpoint, before)
    )
    return endpoint.generation


def is_endpoint_name(name: str) -> bool:
    """Whether an endpoint can be called so: what a model may be called, unless that is too long.

    >>> is_endpoint_name("late arrival"), is_endpoint_name("a/b"), is_endpoint_name("x" * 129)
    (True, False, False)
    """
    return 0 < len(name) <= MAX_NAME and name.isprintable() and name.strip() == name and not set(name) & set("/:")


def _check_name(name: str) -> None:
    if not is_endpoint_name(name):
        raise Invalid(
            f"{name!r:.200} cannot be the name of an endpoint",
            field="name",
            next_step=f"use 1 to {MAX_NAME} printable characters without '/' and ':'",
        )


def check_routing(arms: Sequence[Arm], shadows: Sequence[int] = ()) -> None:
    """Refuse a routing that leaves requests without an answer, or one version in two roles.

    Raises:
        Invalid: naming the part that is wrong.
    """
    versions = [arm.version for arm in arms] + list(shadows)
    if sum(arm.arm == "stable" for arm in arms) != 1 or any(arm.arm not in {"stable", "canary"} for arm in arms):
        raise Invalid(
            "an endpoint needs exactly one stable arm, all others canary",
            field="arms",
            next_step="give one arm with arm='stable'",
        )
    if any(not 0 <= arm.weight <= FULL for arm in arms) or sum(arm.weight for arm in arms) != FULL:
        raise Invalid(
            f"the weights {[arm.weight for arm in arms]} do not add up to {FULL}",
            field="arms",
            next_step=f"give the stable arm what the canary leaves of {FULL}",
        )
    if len(set(versions)) != len(versions):
        raise Invalid(
            f"versions {versions} name one version twice",
            field="shadows",
            next_step="a version is an arm or a shadow, once",
        )


def find_endpoint(conn: Connection, name: str) -> Endpoint | None:
    """The endpoint, or None."""
    row = conn.execute(serving_endpoints.select().where(serving_endpoints.c.name == name)).mappings().first()
    return _endpoint(row) if row else None


def get_endpoint(conn: Connection, name: str) -> Endpoint:
    """The endpoint.

    Raises:
        NotFound: when nothing is served under that name.
    """
    endpoint = find_endpoint(conn, name)
    if endpoint is None:
        raise NotFound(f"there is no endpoint {name!r}", field="endpoint", next_step="promote a version of the model")
    return endpoint


def list_endpoints(conn: Connection, *, model: str | None = None) -> list[Endpoint]:
    """All endpoints, or one model's, by name."""
    query = serving_endpoints.select().order_by(serving_endpoints.c.name)
    if model is not None:
        query = query.where(serving_endpoints.c.model == model)
    return [_endpoint(row) for row in conn.execute(query).mappings()]


def remove_endpoint(conn: Connection, name: str, *, actor: str, reason: str, at: int) -> int:
    """Stop serving under that name and return the new generation; appends `endpoint.removed`.

    Raises:
        NotFound: when nothing is served under that name.
    """
    endpoint = get_endpoint(conn, name)
    conn.execute(serving_endpoints.delete().where(serving_endpoints.c.name == name))
    append_event(
        conn, "endpoint.removed", subject=endpoint.model, at=at, actor=actor, reason=reason, data={"endpoint": name}
    )
    return _next_generation(conn)


def current_generation(conn: Connection) -> int:
    """How often any endpoint was changed; 0 before the first."""
    return conn.execute(serving_generation.select().with_only_columns(serving_generation.c.value)).scalar() or 0


def _next_generation(conn: Connection) -> int:
    add_up(conn, serving_generation, [{"id": 1, "value": 1}], key=["id"], add=["value"])
    return current_generation(conn)


def _endpoint(row: Any) -> Endpoint:  # a SQLAlchemy RowMapping; its keys are a subclass of str
    return msgspec.convert({str(name): value for name, value in row.items()}, Endpoint)


def _told(endpoint: Endpoint, before: Endpoint | None) -> dict[str, Any]:
    def arms(of: Endpoint) -> list[dict[str, Any]]:
        return [msgspec.to_builtins(arm) for arm in of.arms]

    data: dict[str, Any] = {"endpoint": endpoint.name, "arms": arms(endpoint), "shadows": list(endpoint.shadows)}
    if before is not None:
        data["before"] = {"arms": arms(before), "shadows": list(before.shadows)}
    return data | {"generation": endpoint.generation}
