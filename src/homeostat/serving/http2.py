"""HTTP/2 for the data plane (RFC 9113, on h2): gRPC needs it, and whoever speaks HTTP/2 unasked may send anything else.

A connection knows streams and flow control. What is said on a stream is its handler's affair: an ordinary request goes
where HTTP/1.1's go (`http2_requests`), gRPC brings its own.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
from hyperframe.frame import GoAwayFrame

from homeostat.serving.http import IDLE_SECONDS, READ_SECONDS, WRITE_SECONDS, Headers

MAX_STREAMS = 128
"""Requests of one connection at a time."""
WINDOW = 1 << 20
"""Bytes a caller may send on one stream before we took them in."""
MAX_HELD = 4
"""How many of the largest bodies one connection may have us hold at a time."""

_CODE = h2.settings.SettingCodes
_CANCEL, _REFUSED = h2.errors.ErrorCodes.CANCEL, h2.errors.ErrorCodes.REFUSED_STREAM


class Handler(Protocol):
    """What is said on one stream."""

    @property
    def held(self) -> int:
        """Bytes it keeps of what was sent and is not whole yet."""
        ...

    @property
    def is_owed(self) -> bool:
        """The caller has begun to say something and is to end it."""
        ...

    def on_data(self, data: bytes) -> None: ...

    def on_end(self) -> None: ...

    def on_cancel(self) -> None: ...

    def on_drained(self) -> None:
        """The caller has taken all that was said so far."""
        ...

    def on_excess(self) -> None:
        """The connection as a whole holds too much: refuse, and let go of what is held."""
        ...


class Stream:
    """One request of a connection and the way back to its caller. What is said to a caller who left is dropped."""

    def __init__(self, connection: "Http2Connection", number: int, headers: dict[str, str], since: float) -> None:
        self.number = number
        self.headers = headers
        """Lower-case names, pseudo-headers (`:path`) among them."""
        self.since = since
        """When the caller began what it has not ended yet, on the event loop's clock."""
        self.handler: Handler | None = None
        self.is_paused = False
        self.out: deque[memoryview] = deque()
        """Bytes that wait until the caller takes them."""
        self.trailers: Headers | None = None
        """What follows them, perhaps nothing; None while more may be said."""
        self._connection = connection
        self._unacknowledged = 0

    def send_headers(self, headers: Headers, *, is_last: bool = False) -> None:
        """Begin the answer, or give it whole when there is nothing but headers."""
        self._connection.send_headers(self, headers, is_last=is_last)

    def send(self, data: bytes) -> None:
        """More of the answer; it is sent as fast as the caller takes it."""
        self.out.append(memoryview(data))
        self._connection.pump(self)

    def end(self, trailers: Headers) -> None:
        """What was said so far is all."""
        self.trailers = trailers
        self._connection.pump(self)

    def touch(self) -> None:
        """The caller begins something."""
        self.since = asyncio.get_running_loop().time()

    def pause(self) -> None:
        """Take in no more than the caller may send already."""
        self.is_paused = True

    def resume(self) -> None:
        """Take in more again."""
        self.is_paused = False
        self.took(0)

    def took(self, size: int) -> None:
        """Bytes came in; the caller may send as many again unless this stream is paused."""
        self._unacknowledged += size
        if not self.is_paused and self._unacknowledged:
            self._connection.acknowledge(self, self._unacknowledged)
            self._unacknowledged = 0


class Http2Connection(asyncio.Protocol):
    """One connection. `open_stream` gives a handler for each new request; `group` is told who is connected."""

    def __init__(self, open_stream: Callable[[Stream], Handler], *, max_body: int, group: set[Any]) -> None:
        self._open_stream = open_stream
        self._max_held = MAX_HELD * max_body
        self._group = group
        self._streams: dict[int, Stream] = {}
        self._transport: Any = None
        self._is_full = self._is_leaving = self._flushes = False
        self._since = 0.0
        config = h2.config.H2Configuration(
            client_side=False, validate_outbound_headers=False, normalize_outbound_headers=False
        )
        self._h2 = h2.connection.H2Connection(config)
        self._h2.local_settings = h2.settings.Settings(
            client=False,
            initial_values={
                _CODE.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
                _CODE.INITIAL_WINDOW_SIZE: WINDOW,
                _CODE.MAX_HEADER_LIST_SIZE: h2.connection.H2Connection.DEFAULT_MAX_HEADER_LIST_SIZE,
            },
        )

    # The transport's side --------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._since = self._now()
        self._group.add(self)
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(8 * WINDOW)
        self._flush()

    def data_received(self, data: bytes) -> None:
        try:
            events = self._h2.receive_data(data)
        except Exception:  # noqa: BLE001  ProtocolError mostly; whatever else garbage brings about ends this caller alone
            self._leave()
            return
        for event in events:
            self._take(event)
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        self._group.discard(self)
        self._cancel_all()

    def pause_writing(self) -> None:
        self._is_full = True
        self._since = self._now()

    def resume_writing(self) -> None:
        self._is_full = False
        self._pump_all()

    # What the server asks of it --------------------------------------------------------------------------------------

    def check_time(self, now: float) -> None:
        """Cut off who takes too long."""
        if self._is_full and now - self._since > WRITE_SECONDS:
            self.abort()
        elif not self._streams and now - self._since > IDLE_SECONDS:
            self.close_if_idle()
        for stream in list(self._streams.values()):
            handler = stream.handler
            if handler is not None and handler.is_owed and now - stream.since > READ_SECONDS:
                self._reset(stream, _CANCEL)
                handler.on_cancel()

    def close_if_idle(self) -> None:
        """Tell the caller to ask elsewhere from now on; close when nothing is asked here any more."""
        if not self._is_leaving:
            self._is_leaving = True
            # h2's own way to say it ends the streams that are still to be answered.
            last = self._h2.highest_inbound_stream_id
            self._transport.write(GoAwayFrame(last_stream_id=last, error_code=0).serialize())
        if not self._streams:
            self._transport.close()

    def abort(self) -> None:
        """Cut the connection off."""
        self._transport.abort()

    # What the streams ask of it --------------------------------------------------------------------------------------

    def send_headers(self, stream: Stream, headers: Headers, *, is_last: bool) -> None:
        """Write a stream's headers."""
        if stream.number not in self._streams:
            return
        self._h2.send_headers(stream.number, headers, end_stream=is_last)
        if is_last:
            self._done(stream)
        self._flush_soon()

    def pump(self, stream: Stream) -> None:
        """Write as much of a stream's answer as its caller takes now."""
        number, sender, out = stream.number, self._h2, stream.out
        if number not in self._streams or self._is_full:
            return
        while out and (size := min(sender.local_flow_control_window(number), sender.max_outbound_frame_size)) > 0:
            data = out.popleft()
            if len(data) > size:
                out.appendleft(data[size:])
            sender.send_data(number, data[:size])
        if not out and stream.trailers is None and stream.handler is not None:
            stream.handler.on_drained()
        elif not out and stream.trailers is not None:
            if stream.trailers:
                sender.send_headers(number, stream.trailers, end_stream=True)
            else:
                sender.end_stream(number)
            self._done(stream)
        self._flush_soon()

    def acknowledge(self, stream: Stream, size: int) -> None:
        """Let the caller send as many bytes again."""
        if not self._transport.is_closing():
            self._h2.acknowledge_received_data(size, stream.number)
            self._flush_soon()

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived():
                self._begin(event)
            case h2.events.DataReceived():
                self._feed(event)
            case h2.events.StreamEnded():
                stream = self._streams.get(event.stream_id)
                if stream is not None and stream.handler is not None:
                    stream.handler.on_end()
            case h2.events.StreamReset():
                stream = self._streams.pop(event.stream_id, None)
                if stream is not None and stream.handler is not None:
                    stream.handler.on_cancel()
            case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                self._pump_all()
            case h2.events.ConnectionTerminated():
                self._leave()

    def _begin(self, event: h2.events.RequestReceived) -> None:
        self._since = self._now()
        headers: dict[str, str] = {}
        for name, value in cast(Sequence[tuple[bytes, bytes]], event.headers):
            key, text = name.decode("latin-1"), value.decode("latin-1")
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
        stream = Stream(self, event.stream_id, headers, self._since)
        self._streams[event.stream_id] = stream
        if self._is_leaving:  # it was told that this stream will not be looked at, and asks elsewhere
            self._reset(stream, _REFUSED)
            return
        stream.handler = self._open_stream(stream)

    def _feed(self, event: h2.events.DataReceived) -> None:
        size = event.flow_controlled_length
        stream = self._streams.get(event.stream_id)
        if stream is None or stream.handler is None:
            self._h2.acknowledge_received_data(size, event.stream_id)
            return
        stream.handler.on_data(event.data)
        stream.took(size)
        held = sum(one.handler.held for one in self._streams.values() if one.handler is not None)
        if held > self._max_held:
            stream.handler.on_excess()

    def _done(self, stream: Stream) -> None:
        """Everything is said; a caller who still sends is told to stop."""
        if self._streams.pop(stream.number, None) is None:
            return
        stream.handler = None  # it knows the stream: a circle that the collector would have to find
        self._since = self._now()
        state = self._h2.streams.get(stream.number)
        if state is not None and not state.closed:
            self._h2.reset_stream(stream.number, h2.errors.ErrorCodes.NO_ERROR)
        if self._is_leaving and not self._streams:
            self._flush()
            self._transport.close()

    def _reset(self, stream: Stream, code: h2.errors.ErrorCodes) -> None:
        if self._streams.pop(stream.number, None) is not None:
            self._h2.reset_stream(stream.number, code)
            self._flush_soon()

    def _leave(self) -> None:
        """Nothing can be said on this connection any more."""
        self._cancel_all()
        self._flush()
        self._transport.close()

    def _cancel_all(self) -> None:
        streams, self._streams = list(self._streams.values()), {}
        for stream in streams:
            if stream.handler is not None:
                stream.handler.on_cancel()

    def _pump_all(self) -> None:
        for stream in list(self._streams.values()):
            self.pump(stream)

    def _flush_soon(self) -> None:
        """Answers that come in one turn of the event loop go out in one write."""
        if not self._flushes:
            self._flushes = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushes = False
        data = self._h2.data_to_send()
        if data and not self._transport.is_closing():
            self._transport.write(data)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
