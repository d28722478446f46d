"""The alarms' routes: each decodes, calls one verb, encodes. `{alarm}` is an id, or the beginning of one."""

from typing import Annotated, Any

from litestar import get, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from homeostat.ground.access import Identity
from homeostat.server.alarms import AckBody, Alarms, MuteBody, WordBody
from homeostat.server.permissions import HANDLER

READ = {"needs": "read", "project": HANDLER}
WRITE = {"needs": "write", "project": HANDLER}

Who = NamedDependency[Identity]
Plain = dict[str, Any]


def build_alarm_routes(alarms: Alarms) -> list[HTTPRouteHandler]:
    """Every route of alarms; handlers run in threads, for the verbs block on the catalogue."""

    @get("/api/alarms", opt=READ, sync_to_thread=True)
    def list_alarms(
        identity: Who,
        model: FromQuery[str | None] = None,
        in_state: Annotated[str | None, QueryParameter(name="state")] = None,
        severity: FromQuery[str | None] = None,
        limit: FromQuery[int] = 100,
    ) -> list[Plain]:
        return alarms.list(model=model, state=in_state, severity=severity, limit=limit, who=identity)

    @get("/api/alarms/{alarm:str}", opt=READ, sync_to_thread=True)
    def get_alarm(alarm: FromPath[str], identity: Who) -> Plain:
        return alarms.get(alarm, identity)

    @post("/api/alarms/{alarm:str}/ack", opt=WRITE, status_code=200, sync_to_thread=True)
    def acknowledge(alarm: FromPath[str], data: JSONBody[AckBody], identity: Who) -> Plain:
        return alarms.acknowledge(alarm, data, identity)

    @post("/api/alarms/{alarm:str}/mute", opt=WRITE, status_code=200, sync_to_thread=True)
    def mute(alarm: FromPath[str], data: JSONBody[MuteBody], identity: Who) -> Plain:
        return alarms.mute(alarm, data, identity)

    @post("/api/alarms/{alarm:str}/unmute", opt=WRITE, status_code=200, sync_to_thread=True)
    def unmute(alarm: FromPath[str], data: JSONBody[WordBody], identity: Who) -> Plain:
        return alarms.unmute(alarm, data, identity)

    @post("/api/alarms/{alarm:str}/close", opt=WRITE, status_code=200, sync_to_thread=True)
    def close(alarm: FromPath[str], data: JSONBody[WordBody], identity: Who) -> Plain:
        return alarms.close(alarm, data, identity)

    return [list_alarms, get_alarm, acknowledge, mute, unmute, close]
