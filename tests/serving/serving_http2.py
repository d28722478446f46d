"""A caller that speaks HTTP/2 frame by frame, to say what a well-behaved client never would."""

import socket
from collections.abc import Sequence
from typing import NamedTuple, Self

import h2.config
import h2.connection
import h2.events
import h2.settings

GRPC = (("te", "trailers"), ("content-type", "application/grpc"))


class Reply(NamedTuple):
    """The end of one stream."""

    headers: dict[str, str]
    trailers: dict[str, str]
    body: bytes
    was_reset: bool

    @property
    def status(self) -> int:
        """GRPC's."""
        return int((self.trailers or self.headers)["grpc-status"])

    @property
    def message(self) -> str:
        return (self.trailers or self.headers).get("grpc-message", "")

    @property
    def messages(self) -> list[bytes]:
        """GRPC's messages in the body."""
        found, at = [], 0
        while at < len(self.body):
            size = int.from_bytes(self.body[at + 1 : at + 5])
            found.append(self.body[at + 5 : at + 5 + size])
            at += 5 + size
        return found


class Http2Caller:
    """One connection."""

    def __init__(self, connection: socket.socket, *, window: int | None = None) -> None:
        self.socket = connection
        self._replies: dict[int, Reply] = {}
        self._ended: set[int] = set()
        self.has_ended = False
        """The server hung up."""
        self.acknowledges = True
        config = h2.config.H2Configuration(
            client_side=True, header_encoding="utf-8", validate_outbound_headers=False, normalize_outbound_headers=False
        )
        self.frames = h2.connection.H2Connection(config)
        self.frames.initiate_connection()
        if window is not None:
            self.frames.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.flush()

    def flush(self) -> None:
        try:
            self.socket.sendall(self.frames.data_to_send())
        except ConnectionError:
            self.has_ended = True

    def begin(self, path: str, *, method: str = "POST", headers: Sequence[tuple[str, str]] = GRPC) -> int:
        """Open a stream."""
        number = self.frames.get_next_available_stream_id()
        pseudo = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "x")]
        self.frames.send_headers(number, [*pseudo, *headers])
        self.flush()
        return number

    def say(self, number: int, data: bytes, *, end: bool = False) -> None:
        """Bytes on a stream, as fast as the server takes them."""
        while data:
            size = min(self.frames.local_flow_control_window(number), self.frames.max_outbound_frame_size, len(data))
            if size <= 0:
                self.flush()
                self.read()
                if number in self._ended:
                    return
                continue
            self.frames.send_data(number, data[:size])
            data = data[size:]
        if end:
            self.frames.end_stream(number)
        self.flush()

    def call(self, method: str, *messages: bytes, headers: Sequence[tuple[str, str]] = GRPC, flag: int = 0) -> Reply:
        """A gRPC call from its first byte to its status."""
        number = self.begin(f"/inference.GRPCInferenceService/{method}", headers=headers)
        framed = b"".join(bytes([flag]) + len(message).to_bytes(4) + message for message in messages)
        self.say(number, framed, end=True)
        return self.reply(number)

    def reply(self, number: int) -> Reply:
        """What came on a stream once it has ended."""
        while number not in self._ended and not self.has_ended:
            self.read()
        return self._replies.get(number, Reply({}, {}, b"", was_reset=True))

    def read(self) -> None:
        """Take in whatever the server says next."""
        try:
            data = self.socket.recv(1 << 16)
        except ConnectionError:
            data = b""
        if not data:
            self.has_ended = True
            return
        for event in self.frames.receive_data(data):
            self._take(event)
        self.flush()

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _take(self, event: h2.events.Event) -> None:
        number = getattr(event, "stream_id", None) or 0
        found = self._replies.setdefault(number, Reply({}, {}, b"", was_reset=False))
        match event:
            case h2.events.ResponseReceived():
                self._replies[number] = found._replace(headers=dict(event.headers))  # type: ignore[arg-type]  # decoded
            case h2.events.TrailersReceived():
                self._replies[number] = found._replace(trailers=dict(event.headers))  # type: ignore[arg-type]  # decoded
            case h2.events.DataReceived():
                self._replies[number] = found._replace(body=found.body + event.data)
                if self.acknowledges:
                    self.frames.acknowledge_received_data(event.flow_controlled_length, number)
            case h2.events.StreamEnded():
                self._ended.add(number)
            case h2.events.StreamReset():
                if number not in self._ended:
                    self._replies[number] = found._replace(was_reset=True)
                self._ended.add(number)
            case h2.events.ConnectionTerminated():
                self.has_ended = True
