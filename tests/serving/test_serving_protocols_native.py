"""Our own compact form: named features in, named outputs out, in the shape of what was sent."""

from typing import Any

import msgspec
import numpy as np
import pytest

from homeostat.compat.native import CompactForm
from homeostat.ground.errors import Invalid, NotFound
from homeostat.ground.records import Signature
from homeostat.serving.types import Decoded, PredictReply, WrongContentType

FORM = CompactForm()
MSGPACK = {"content-type": "application/msgpack"}


def read(body: Any, **headers: str) -> Decoded:
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return FORM.decode(data, {name.replace("_", "-"): value for name, value in headers.items()}.get)


def reply(count: int = 2, **more: Any) -> PredictReply:
    given: dict[str, Any] = {
        "endpoint": "late",
        "model": "late",
        "scores": [0.5, 0.25][:count],
        "request_ids": ["a", "b"][:count],
        "versions": [3, 4][:count],
        "arms": ["stable", "canary"][:count],
    }
    return PredictReply(**(given | more))


def answer(body: Any, given: PredictReply, **headers: str) -> Any:
    return msgspec.json.decode(FORM.encode(given, read(body, **headers).wish).body)


def test_one_value_a_feature_is_one_row_and_gets_one_answer() -> None:
    body = {"inputs": {"distance": 640, "carrier": None}, "request_id": "q1", "time": "2026-03-01"}
    assert read(body).inputs == {
        "distance": [640],
        "carrier": [None],
        "request_time": ["2026-03-01"],
        "request_id": ["q1"],
    }
    assert answer(body, reply(1)) == {"outputs": {"score": 0.5}, "request_id": "a", "version": 3, "arm": "stable"}


def test_lists_get_lists() -> None:
    body = {"inputs": {"distance": [640, 90], "carrier": ["AA", "UA"]}, "time": 5}
    assert read(body).inputs == {"distance": [640, 90], "carrier": ["AA", "UA"], "request_time": [5, 5]}
    assert answer(body, reply()) == {
        "outputs": {"score": [0.5, 0.25]},
        "request_id": ["a", "b"],
        "version": [3, 4],
        "arm": ["stable", "canary"],
    }


def test_rows_get_rows() -> None:
    body = {"inputs": [{"distance": 640}, {"distance": 90}], "request_id": ["x", None]}
    assert read(body).inputs == {"distance": [640, 90], "request_id": ["x", None]}
    assert answer(body, reply())["outputs"] == [{"score": 0.5}, {"score": 0.25}]


def test_several_outputs_are_named_by_class_or_value() -> None:
    table = np.array([[0.2, 0.8]])
    signature = Signature(task="multiclass", inputs=(), columns=(), feature_hash="", classes=("no", "yes"))
    many = reply(1, scores=[1.0], table=table, signature=signature)
    assert answer({"inputs": {"a": 1}}, many)["outputs"] == {
        "score": 1.0,
        "class": "yes",
        "probabilities": {"no": 0.2, "yes": 0.8},
    }
    assert answer({"inputs": [{"a": 1}]}, reply(1, table=table))["outputs"] == [{"score": 0.5, "outputs": [0.2, 0.8]}]


def test_message_pack_is_read_and_answered() -> None:
    body = msgspec.msgpack.encode({"inputs": {"distance": 640}})
    decoded = FORM.decode(body, MSGPACK.get)
    assert decoded.inputs == {"distance": [640]}
    encoded = FORM.encode(reply(1), decoded.wish)
    assert msgspec.msgpack.decode(encoded.body)["outputs"] == {"score": 0.5}
    assert encoded.headers == [("content-type", "application/msgpack")]
    as_json = FORM.decode(body, (MSGPACK | {"accept": "application/json"}).get)
    assert FORM.encode(reply(1), as_json.wish).headers == [("content-type", "application/json")]


def test_curls_own_content_type_is_taken_for_json() -> None:
    assert read({"inputs": {"a": 1}}, content_type="application/x-www-form-urlencoded").inputs == {"a": [1]}
    with pytest.raises(WrongContentType):
        read({"inputs": {"a": 1}}, content_type="text/csv")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", "body"),
        (b"\xff", "body"),
        (b"[1]", "body"),
        (b"[" * 100_000, "body"),
        (b'{"inputs": ' + b"[" * 100_000, "inputs[...]"),
        ({}, "body"),
        ({"inputs": 3}, "inputs"),
        ({"inputs": {}}, "inputs"),
        ({"inputs": []}, "inputs"),
        ({"inputs": [{}], "time": 5}, "inputs"),
        ({"inputs": [1]}, "inputs[0]"),
        ({"inputs": [{"a": 1}, {"b": 1}]}, "a"),
        ({"inputs": {"a": 1, "b": [1]}}, "a"),
        ({"input": {"a": 1}}, "input"),
        ({"inputs": {"a": 1}, "id": "x"}, "id"),
        ({"inputs": {"a": 1}, "request_id": 7}, "request_id"),
        ({"inputs": {"a": 1, "request_id": "x"}, "request_id": "y"}, "request_id"),
        ({"inputs": {"a": 1, "request_time": 1}, "time": 2}, "time"),
    ],
)
def test_a_malformed_request_is_refused_naming_the_part(body: Any, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        read(body)
    assert refused.value.field.startswith(field.removesuffix("[...]"))


def test_errors_are_our_own() -> None:
    error = NotFound("no such thing", field="model", next_step="look again")
    assert msgspec.json.decode(FORM.encode_error(error, 404))["error"] == "no such thing; look again"
