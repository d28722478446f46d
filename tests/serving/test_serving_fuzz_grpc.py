"""Anything may be said in HTTP/2 and gRPC: a status, or the end of that one connection, and nobody else notices."""

import contextlib
import random
import socket
from collections.abc import Iterator
from concurrent.futures import Future

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving_door import Door
from serving_helpers import infer_body, rows
from serving_http2 import GRPC, Http2Caller

from homeostat.compat.grpc_call import INTERNAL, Served, status_of
from homeostat.compat.grpc_messages import METHODS, message_classes
from homeostat.compat.oip_binary import pack_floats, pack_texts
from homeostat.compat.oip_grpc import methods_of
from homeostat.ground.errors import HomeostatError

FUZZ = settings(
    max_examples=250, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], database=None
)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """One front for the module; it must be as well at the end as it was at the beginning."""
    made = Door(tmp_path_factory.mktemp("door"))
    yield made
    assert made.ask("POST", "/v2/models/late/infer", infer_body(rows())).status == 200
    made.close()


def good_messages() -> list[bytes]:
    """Requests of every form."""
    raw = message_classes()["ModelInferRequest"](model_name="late", id="1", model_version="1")
    typed = message_classes()["ModelInferRequest"](model_name="numbers")
    for name, datatype in (("distance", "FP32"), ("carrier", "BYTES"), ("dep", "INT64"), ("paid", "BOOL")):
        raw.inputs.add(name=name, datatype=datatype, shape=[1])
    raw.raw_input_contents.extend([b"\0\0\0\0", pack_texts(["AA"]), b"\5" + b"\0" * 7, b"\1"])
    raw.parameters["priority"].int64_param = 3
    raw.outputs.add(name="score")
    typed.inputs.add(name="x", datatype="FP64", shape=[1, 3]).contents.fp64_contents.extend([1.0, 2.0, 3.0])
    matrix = message_classes()["ModelInferRequest"](model_name="numbers")
    matrix.inputs.add(name="x", datatype="FP64", shape=[1, 3])
    matrix.raw_input_contents.append(pack_floats([1.0, 2.0, 3.0]))
    index = message_classes()["RepositoryIndexRequest"](ready=True)
    named = message_classes()["ModelMetadataRequest"](name="late", version="1")
    return [bytes(one.SerializeToString()) for one in (raw, typed, matrix, index, named)]


def run(door: Door, method: str, message: bytes) -> bytes | HomeostatError:
    """A method's answer, past HTTP/2."""
    served: Served = methods_of(door.front)[f"/inference.GRPCInferenceService/{method}"]
    answered: Future[bytes | HomeostatError] = Future()
    door.loop.call_soon_threadsafe(served.run, message, {}, answered.set_result)
    return answered.result(timeout=10)


@FUZZ
@given(
    method=st.sampled_from([*METHODS, "ModelInfer", "ModelInfer", "ModelStreamInfer"]),
    good=st.sampled_from(good_messages()),
    edits=st.lists(st.tuples(st.integers(0, 10_000), st.binary(max_size=3), st.integers(0, 3)), max_size=4),
)
def test_any_message_to_any_method(door: Door, method: str, good: bytes, edits: list[tuple[int, bytes, int]]) -> None:
    message = good
    for place, piece, cut in edits:
        at = place % (len(message) + 1)
        message = message[:at] + piece + message[at + cut :]
    answer = run(door, method, message)
    if isinstance(answer, HomeostatError):
        assert str(answer)
        assert status_of(answer) != INTERNAL, answer


@FUZZ
@given(begin=st.sampled_from([b"", PREFACE, PREFACE[:10]]), garbage=st.binary(min_size=1, max_size=300))
def test_any_bytes_on_a_connection(door: Door, begin: bytes, garbage: bytes) -> None:
    with door.connect() as connection:
        say(connection, begin + garbage)


PATHS = [f"/inference.GRPCInferenceService/{name}" for name in METHODS]


@FUZZ
@given(
    path=st.one_of(st.sampled_from(PATHS), st.text(min_size=1, max_size=20)),
    kind=st.sampled_from(["application/grpc", "application/grpc+proto", "application/json", "x", ""]),
    headers=st.dictionaries(
        st.sampled_from(["grpc-timeout", "grpc-encoding", "te", "x-a"]),
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12),
    ),
    body=st.binary(max_size=60),
)
def test_any_call_ends_with_a_status(door: Door, path: str, kind: str, headers: dict[str, str], body: bytes) -> None:
    with Http2Caller(door.connect()) as caller:
        number = caller.begin(path, headers=[("content-type", kind), *headers.items()])
        caller.say(number, body, end=True)
        reply = caller.reply(number)
        if not (caller.has_ended or reply.was_reset):
            assert int(reply.headers[":status"]) < 500
            assert not kind.startswith("application/grpc") or reply.status not in {INTERNAL, 2}


def test_frames_with_bytes_changed(door: Door) -> None:
    chance = random.Random(3)
    message = good_messages()[2]
    for _ in range(300):
        with Http2Caller(door.connect()) as caller:
            number = caller.frames.get_next_available_stream_id()
            pseudo = [(":method", "POST"), (":scheme", "http"), (":path", PATHS[5]), (":authority", "x")]
            caller.frames.send_headers(number, [*pseudo, *GRPC])
            caller.frames.send_data(number, b"\0" + len(message).to_bytes(4) + message, end_stream=True)
            said = bytearray(caller.frames.data_to_send())
            for _ in range(chance.choice((1, 1, 2, 6))):
                said[chance.randrange(len(said))] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))
            cut = chance.choice((0, 0, chance.randrange(len(said))))
            say(caller.socket, bytes(said[: len(said) - cut]))
    with Http2Caller(door.connect()) as caller:
        assert caller.call("ModelInfer", message).status == 0


def say(connection: socket.socket, data: bytes) -> None:
    """Send it, send no more, and hear what comes until the server hangs up, in whichever way."""
    with contextlib.suppress(ConnectionError, OSError):
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 16):
            pass
