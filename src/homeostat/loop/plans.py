"""How a version goes into service: the declared plan, or the usual one of a model that was registered by hand."""

from sqlalchemy.engine import Connection

from homeostat.ground.errors import NotFound
from homeostat.loop.declaration import get_declaration
from homeostat.registry.versions import get_version
from homeostat.rollout.types import Plan, canary, shadow


def plan_of(conn: Connection, model: str) -> Plan:
    """The plan that a new version of a model walks when nobody gives another."""
    try:
        return get_declaration(conn, model).rollout
    except NotFound:
        return shadow() >> canary(5, 25, 100)


def task_of(conn: Connection, model: str, version: int) -> str:
    """What a version answers: 'binary', 'multiclass' or 'regression'; empty when nobody has looked at it yet."""
    return get_version(conn, model, version).signature.task
