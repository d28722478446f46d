"""Routes for admins: the channels that are told of alarms. What a channel's URL holds is never in an answer."""

from typing import Any

from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody

from homeostat.ground.access import Identity
from homeostat.server.channels import ChannelBody, Channels

ADMIN = {"needs": "admin"}

Plain = dict[str, Any]


def build_notify_routes(channels: Channels) -> list[HTTPRouteHandler]:
    """Every route of channels; `{channel}` is an id or a name."""

    @get("/api/channels", opt=ADMIN, sync_to_thread=True)
    def list_channels() -> list[Plain]:
        return channels.list()

    @post("/api/channels", opt=ADMIN, sync_to_thread=True)
    def add_channel(data: JSONBody[ChannelBody], identity: NamedDependency[Identity]) -> Plain:
        return channels.add(data, actor=identity.name)

    @delete("/api/channels/{channel:str}", opt=ADMIN, status_code=200, sync_to_thread=True)
    def remove_channel(channel: FromPath[str], identity: NamedDependency[Identity]) -> Plain:
        return channels.remove(channel, actor=identity.name)

    @post("/api/channels/{channel:str}/test", opt=ADMIN, status_code=200, sync_to_thread=True)
    def test_channel(channel: FromPath[str]) -> Plain:
        return channels.test(channel)

    return [list_channels, add_channel, remove_channel, test_channel]
