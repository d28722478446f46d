"""gRPC frame by frame: what is answered, refused, bounded, cut off. The real clients are in tests/compat."""

import socket
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving_door import MAX_BODY, Door, encoded
from serving_helpers import infer_body, rows
from serving_http2 import GRPC, Http2Caller

from homeostat.compat.grpc_messages import message_classes
from homeostat.compat.oip_binary import pack_floats, pack_texts
from homeostat.serving.routes import WORKER_KEY

OK, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND, RESOURCE_EXHAUSTED, UNIMPLEMENTED = 0, 3, 4, 5, 8, 12


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    made = Door(tmp_path_factory.mktemp("door"))
    yield made
    made.close()


@pytest.fixture
def caller(door: Door) -> Iterator[Http2Caller]:
    made = Http2Caller(door.connect())
    yield made
    made.close()


def infer(model: str = "numbers", *, raw: bool = True, **more: Any) -> bytes:
    """A good request of two rows with some of it replaced."""
    request = message_classes()["ModelInferRequest"](model_name=model, id="7")
    tensor = request.inputs.add(name="x", datatype="FP64", shape=[2, 3])
    if raw:
        request.raw_input_contents.append(pack_floats([1e3, 0, 0, 0, 0, 0]))
    else:
        tensor.contents.fp64_contents.extend([1e3, 0, 0, 0, 0, 0])
    for name, value in more.items():
        if name in {"name", "datatype"}:
            setattr(tensor, name, value)
        elif name == "shape":
            tensor.shape[:] = value
        elif name == "raws":
            request.raw_input_contents[:] = value
        else:
            setattr(request, name, value)
    return bytes(request.SerializeToString())


def response(data: bytes) -> Any:
    return message_classes()["ModelInferResponse"].FromString(data)


def test_a_raw_request_gets_a_raw_reply_and_a_typed_one_a_typed_one(caller: Http2Caller) -> None:
    reply = caller.call("ModelInfer", infer())
    assert (reply.status, reply.headers["content-type"]) == (OK, "application/grpc")
    raw = response(reply.messages[0])
    assert (raw.model_name, raw.model_version, raw.id) == ("numbers", "1", "7")
    assert [output.name for output in raw.outputs] == ["score", "request_id"]
    np.testing.assert_allclose(np.frombuffer(raw.raw_output_contents[0], "<f8"), [np.tanh(1), 0])
    typed = response(caller.call("ModelInfer", infer(raw=False)).messages[0])
    assert list(typed.raw_output_contents) == []
    np.testing.assert_allclose(typed.outputs[0].contents.fp64_contents, [np.tanh(1), 0])
    assert len(typed.outputs[1].contents.bytes_contents) == 2


def test_named_columns_of_every_typed_form_are_read(caller: Http2Caller) -> None:
    request = message_classes()["ModelInferRequest"](model_name="late")
    for name, datatype, field, values in (
        ("distance", "FP32", "fp32_contents", [100.0]),
        ("carrier", "BYTES", "bytes_contents", [b"AA"]),
        ("dep", "INT64", "int64_contents", [5]),
        ("paid", "BOOL", "bool_contents", [True]),
    ):
        tensor = request.inputs.add(name=name, datatype=datatype, shape=[1])
        getattr(tensor.contents, field).extend(values)
    reply = caller.call("ModelInfer", request.SerializeToString())
    assert reply.status == OK
    [score] = response(reply.messages[0]).outputs[0].contents.fp64_contents
    assert round(score, 6) in {1.0001, 2.0001}


@pytest.mark.parametrize(
    ("message", "status", "word"),
    [
        (b"\xff\xff", INVALID_ARGUMENT, "ModelInferRequest"),
        (infer("nobody"), NOT_FOUND, "nobody"),
        (infer(""), NOT_FOUND, "endpoint"),
        (infer(model_version="9"), NOT_FOUND, "9"),
        (infer(model_version="x"), NOT_FOUND, "x"),
        (infer(shape=[3, 3]), INVALID_ARGUMENT, "'x'"),
        (infer(shape=[2, 2]), INVALID_ARGUMENT, "'x'"),
        (infer(shape=[-2, -3]), INVALID_ARGUMENT, "'x'"),
        (infer(shape=[1 << 62, 1 << 62]), INVALID_ARGUMENT, "'x'"),
        (infer(shape=[6]), INVALID_ARGUMENT, "'x'"),
        (infer(shape=[]), INVALID_ARGUMENT, "'x'"),
        (infer(datatype="FP128"), INVALID_ARGUMENT, "FP128"),
        (infer(datatype="BYTES"), INVALID_ARGUMENT, "'x'"),
        (infer(raws=[b"123"]), INVALID_ARGUMENT, "'x'"),
        (infer(raws=[b"", b""]), INVALID_ARGUMENT, "raw_input_contents"),
        (infer(raw=False, datatype="FP16"), INVALID_ARGUMENT, "FP16"),
        (infer(raw=False, datatype="FP32"), INVALID_ARGUMENT, "fp32_contents"),
        (infer(raw=False, raws=[pack_floats([1.0] * 6)]), INVALID_ARGUMENT, "beside"),
        (infer(raws=[pack_floats([np.inf] * 6)]), INVALID_ARGUMENT, "'a'"),
        (infer("late"), INVALID_ARGUMENT, "carrier"),
    ],
)
def test_a_bad_request_is_told_by_status_and_name(caller: Http2Caller, message: bytes, status: int, word: str) -> None:
    reply = caller.call("ModelInfer", message)
    assert (reply.status, word in reply.message) == (status, True), reply.message


def test_an_output_that_there_is_not_is_refused(caller: Http2Caller) -> None:
    request = message_classes()["ModelInferRequest"].FromString(infer())
    request.outputs.add(name="label")
    assert caller.call("ModelInfer", request.SerializeToString()).status == INVALID_ARGUMENT
    request.outputs[0].name = "score"
    assert [
        one.name for one in response(caller.call("ModelInfer", request.SerializeToString()).messages[0]).outputs
    ] == ["score"]


def test_errors_in_other_scripts_arrive_whole(caller: Http2Caller) -> None:
    assert "%C3%BC" in caller.call("ModelInfer", infer("ü")).message


def test_unknown_methods_and_services_are_unimplemented(caller: Http2Caller) -> None:
    assert caller.call("ModelStatistics", b"").status == UNIMPLEMENTED
    number = caller.begin("/grpc.health.v1.Health/Check")
    assert caller.reply(number).status == UNIMPLEMENTED
    number = caller.begin("/inference.GRPCInferenceService/ServerLive", method="GET")
    assert caller.reply(number).status == UNIMPLEMENTED


def test_a_message_over_the_limit_is_refused_before_it_has_come(caller: Http2Caller) -> None:
    number = caller.begin("/inference.GRPCInferenceService/ModelInfer")
    caller.say(number, b"\0" + (MAX_BODY + 1).to_bytes(4) + b"x")
    assert caller.reply(number).status == RESOURCE_EXHAUSTED
    assert caller.call("ModelInfer", infer()).status == OK


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_compressed_messages_are_read_within_the_limit(caller: Http2Caller, encoding: str) -> None:
    def packed(data: bytes) -> bytes:
        packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS + (16 if encoding == "gzip" else 0))
        return packer.compress(data) + packer.flush()

    headers = (*GRPC, ("grpc-encoding", encoding))
    assert caller.call("ModelInfer", packed(infer()), headers=headers, flag=1).status == OK
    bomb = packed(b"\0" * (20 * MAX_BODY))
    assert caller.call("ModelInfer", bomb, headers=headers, flag=1).status == RESOURCE_EXHAUSTED
    assert caller.call("ModelInfer", packed(infer())[:-2], headers=headers, flag=1).status == INVALID_ARGUMENT
    assert caller.call("ModelInfer", b"no", headers=headers, flag=1).status == INVALID_ARGUMENT
    assert caller.call("ModelInfer", infer(), flag=1).status == UNIMPLEMENTED
    assert caller.call("ModelInfer", infer(), headers=(*GRPC, ("grpc-encoding", "br")), flag=1).status == UNIMPLEMENTED


def test_a_call_that_never_ends_its_message_ends_at_its_deadline(caller: Http2Caller) -> None:
    number = caller.begin("/inference.GRPCInferenceService/ModelInfer", headers=(*GRPC, ("grpc-timeout", "100m")))
    caller.say(number, b"\0" + len(infer()).to_bytes(4) + infer()[:10])
    begun = time.monotonic()
    assert caller.reply(number).status == DEADLINE_EXCEEDED
    assert 0.05 < time.monotonic() - begun < 3
    for timeout in ("", "x", "1", "-1S", "999999999S"):
        assert caller.call("ServerLive", b"", headers=(*GRPC, ("grpc-timeout", timeout))).status == INVALID_ARGUMENT


def test_a_call_without_a_message_or_with_two_is_refused(caller: Http2Caller) -> None:
    assert caller.call("ModelInfer").status == INVALID_ARGUMENT
    number = caller.begin("/inference.GRPCInferenceService/ModelInfer")
    caller.say(number, b"\0\0\0", end=True)
    assert caller.reply(number).status == INVALID_ARGUMENT
    twice = caller.call("ServerLive", b"", b"")
    assert twice.status in {OK, INVALID_ARGUMENT}  # the first may be answered before the second has come


def test_many_calls_on_one_connection_are_answered_each_with_its_own(caller: Http2Caller) -> None:
    numbers = []
    for place in range(100):
        number = caller.begin("/inference.GRPCInferenceService/ModelInfer")
        values = pack_floats([float(place), 0, 0])
        message = infer(shape=[1, 3], raws=[values], id=str(place))
        caller.say(number, b"\0" + len(message).to_bytes(4) + message, end=True)
        numbers.append(number)
    for place, number in enumerate(numbers):
        answer = response(caller.reply(number).messages[0])
        assert answer.id == str(place)
        np.testing.assert_allclose(np.frombuffer(answer.raw_output_contents[0], "<f8"), [np.tanh(place / 1e3)])


def test_a_stream_answers_in_order_and_an_error_ends_only_its_own_request(caller: Http2Caller) -> None:
    messages = [infer("nobody" if place == 3 else "numbers", id=str(place)) for place in range(200)]
    reply = caller.call("ModelStreamInfer", *messages)
    assert (reply.status, len(reply.messages)) == (OK, 200)
    stream = message_classes()["ModelStreamInferResponse"]
    answers = [stream.FromString(message) for message in reply.messages]
    assert [answer.infer_response.id for answer in answers] == [str(place) for place in range(200)]
    assert [place for place, answer in enumerate(answers) if answer.error_message] == [3]
    assert caller.call("ModelStreamInfer").status == OK


def test_a_stream_of_tiny_messages_does_not_stall_the_others(door: Door, caller: Http2Caller) -> None:
    number = caller.begin("/inference.GRPCInferenceService/ModelStreamInfer")
    caller.say(number, b"\0\0\0\0\0" * 20_000)
    other = Http2Caller(door.connect())
    begun = time.monotonic()
    assert other.call("ModelInfer", infer()).status == OK
    assert time.monotonic() - begun < 1
    other.close()


def test_a_reply_larger_than_the_callers_window_is_sent_as_it_reads(door: Door) -> None:
    caller = Http2Caller(door.connect(), window=1_000)
    count = 5_000
    message = infer(shape=[count, 3], raws=[pack_floats([0.0] * (3 * count))])
    answer = response(caller.call("ModelInfer", message).messages[0])
    assert len(answer.raw_output_contents[0]) == 8 * count
    caller.close()


def test_a_caller_who_reads_nothing_is_told_no_more_than_it_takes(door: Door) -> None:
    caller = Http2Caller(door.connect())
    caller.acknowledges = False
    count = 4_000
    message = infer(shape=[count, 3], raws=[pack_floats([0.0] * (3 * count))])
    number = caller.begin("/inference.GRPCInferenceService/ModelStreamInfer")
    framed = (b"\0" + len(message).to_bytes(4) + message) * 300
    caller.socket.settimeout(1)
    with pytest.raises(TimeoutError):  # the server stops taking in what it cannot answer
        caller.say(number, framed)
    caller.close()
    assert door.ask("GET", "/v2/health/live").status == 200


def test_ordinary_requests_come_over_http2_too(caller: Http2Caller) -> None:
    number = caller.begin("/v2/models/late/infer", headers=(("content-type", "application/json"),))
    caller.say(number, infer_body(rows(2)), end=True)
    reply = caller.reply(number)
    assert reply.headers[":status"] == "200"
    assert b'"score"' in reply.body
    number = caller.begin("/v2/health/live", method="GET", headers=())
    caller.say(number, b"", end=True)
    assert b'"live":true' in caller.reply(number).body
    number = caller.begin("/v2/models/late/infer", headers=())
    caller.say(number, b" " * (MAX_BODY + 1))
    assert caller.reply(number).headers[":status"] == "413"


def test_management_calls_say_what_rest_says(door: Door, caller: Http2Caller) -> None:
    classes = message_classes()

    def ask(method: str, request: Any, answer: str) -> Any:
        reply = caller.call(method, request.SerializeToString())
        assert reply.status == OK, reply.message
        return classes[answer].FromString(reply.messages[0])

    assert ask("ServerLive", classes["ServerLiveRequest"](), "ServerLiveResponse").live
    assert ask("ServerReady", classes["ServerReadyRequest"](), "ServerReadyResponse").ready
    server = ask("ServerMetadata", classes["ServerMetadataRequest"](), "ServerMetadataResponse")
    assert list(server.extensions) == door.ask("GET", "/v2").json()["extensions"]
    named = classes["ModelMetadataRequest"](name="late", version="2")
    model = ask("ModelMetadata", named, "ModelMetadataResponse")
    assert [one.name for one in model.inputs] == ["distance", "carrier", "dep", "paid"]
    assert ask("ModelReady", classes["ModelReadyRequest"](name="late"), "ModelReadyResponse").ready
    index = ask("RepositoryIndex", classes["RepositoryIndexRequest"](ready=True), "RepositoryIndexResponse")
    told = door.ask("POST", "/v2/repository/index", encoded({"ready": True})).json()
    assert [(one.name, one.version) for one in index.models] == [(one["name"], one["version"]) for one in told]
    for method in ("ModelReady", "ModelMetadata", "RepositoryModelLoad"):
        assert caller.call(method, b"").status == INVALID_ARGUMENT
    assert caller.call("ModelReady", classes["ModelReadyRequest"](name="a/b").SerializeToString()).status == NOT_FOUND
    denied = classes["RepositoryModelRequest"](model_name="late").SerializeToString()
    assert caller.call("RepositoryModelUnload", denied).status == 7


def test_a_caller_who_cancels_or_leaves_harms_nobody(door: Door) -> None:
    for _ in range(20):
        caller = Http2Caller(door.connect())
        number = caller.begin("/inference.GRPCInferenceService/ModelInfer")
        caller.say(number, b"\0" + len(infer()).to_bytes(4) + infer())
        caller.frames.reset_stream(number)
        caller.flush()
        caller.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        caller.close()
    other = Http2Caller(door.connect())
    assert other.call("ModelInfer", infer()).status == OK
    other.close()


def test_texts_come_raw_as_triton_packs_them(caller: Http2Caller) -> None:
    request = message_classes()["ModelInferRequest"](model_name="late")
    for name, datatype in (("distance", "FP64"), ("carrier", "BYTES"), ("dep", "INT64"), ("paid", "BOOL")):
        request.inputs.add(name=name, datatype=datatype, shape=[1])
    request.raw_input_contents.extend([pack_floats([1.0]), pack_texts(["AA"]), b"\5" + b"\0" * 7, b"\1"])
    assert caller.call("ModelInfer", request.SerializeToString()).status == OK
    request.raw_input_contents[1] = b"\xff\xff\xff\xffA"
    reply = caller.call("ModelInfer", request.SerializeToString())
    assert (reply.status, "carrier" in reply.message) == (INVALID_ARGUMENT, True)


def test_a_connection_may_have_us_hold_so_much_and_no_more(door: Door) -> None:
    with Http2Caller(door.connect()) as caller:
        numbers = [caller.begin("/inference.GRPCInferenceService/ModelInfer") for _ in range(12)]
        for number in numbers:
            caller.say(number, b"\0" + MAX_BODY.to_bytes(4) + b"x" * (MAX_BODY // 2))
        assert caller.reply(numbers[-1]).status == RESOURCE_EXHAUSTED
        assert caller.call("ModelInfer", infer()).status == OK


def test_a_worker_of_a_server_answers_grpc_to_its_server_alone(tmp_path: Path) -> None:
    door = Door(tmp_path, key="secret")
    with Http2Caller(door.connect()) as caller:
        unauthenticated = 16
        for method in ("ModelInfer", "ServerMetadata", "RepositoryIndex"):
            message = infer() if method == "ModelInfer" else b""
            assert caller.call(method, message).status == unauthenticated
            assert caller.call(method, message, headers=(*GRPC, (WORKER_KEY, "secret"))).status == OK
    door.close()


def test_a_drain_answers_what_was_asked_and_sends_callers_elsewhere(tmp_path: Path) -> None:
    door = Door(tmp_path)
    with Http2Caller(door.connect()) as caller:
        assert caller.call("ServerLive", b"").status == OK
        number = caller.begin("/inference.GRPCInferenceService/ModelInfer")
        message = b"\0" + len(infer()).to_bytes(4) + infer()
        caller.say(number, message[:20])
        drained = door.drain(5.0)
        time.sleep(0.4)  # by now it has said that it is about to leave
        assert not drained.done()
        caller.say(number, message[20:], end=True)
        said = b""
        while part := caller.socket.recv(1 << 16):
            said += part
        data, headers, go_away = 0, 1, 7
        assert [kind for kind, _, _ in frames_of(said) if kind == go_away] == [go_away]
        assert [kind for kind, _, stream in frames_of(said) if stream == number] == [headers, data, headers]
        assert drained.result(timeout=3) is None
    door.close()


def frames_of(data: bytes) -> list[tuple[int, int, int]]:
    """Kind, flags and stream of each frame; h2 itself takes no more once it was told to leave."""
    found, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 3])
        found.append((data[at + 3], data[at + 4], int.from_bytes(data[at + 5 : at + 9])))
        at += 9 + size
    return found
