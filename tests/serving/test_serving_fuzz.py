"""Anything may be sent to any protocol: no 500, no crash, no error that is not JSON."""

import gzip
import json
import zlib
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving_door import MAX_BODY, Answer, Door, encoded, saved
from serving_helpers import infer_body, rows

from homeostat.compat.oip import HEAD_LENGTH
from homeostat.compat.oip_binary import pack_floats, pack_texts
from homeostat.compat.oip_types import DATATYPES

FUZZ = settings(
    max_examples=250, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], database=None
)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """One front for the module; it must be as well at the end as it was at the beginning."""
    made = Door(tmp_path_factory.mktemp("door"))
    yield made
    assert made.ask("POST", "/v2/models/late/infer", infer_body(rows())).status == 200
    made.close()


def check(answer: Answer) -> None:
    """A result, or an error that says what is wrong."""
    assert answer.status < 500, answer
    if answer.status >= 400:
        assert answer.json()["error"], answer
        assert "Traceback" not in answer.body.decode()


INTEGERS = st.one_of(
    st.integers(-3, 5), st.sampled_from([1 << 31, -(1 << 31), 1 << 62, (1 << 63) - 1, 1 << 64, 10**40])
)
SCALARS = st.one_of(
    st.none(), st.booleans(), INTEGERS, st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=8)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=8,
)
TYPES = st.sampled_from(
    [
        "application/json",
        "application/octet-stream",
        "text/csv",
        "text/csv; header=absent",
        "application/jsonlines",
        "application/x-npy",
        "application/vnd.apache.parquet",
        "application/msgpack",
        "text/plain",
        "",
    ]
)
PATHS = st.sampled_from(
    [
        "/v2/models/late/infer",
        "/v2/models/numbers/infer",
        "/endpoints/late/invocations",
        "/endpoints/numbers/invocations",
        "/predict/late",
        "/predict/numbers",
    ]
)
GOOD: list[tuple[str, str, Any]] = [
    ("/v2/models/late/infer", "application/json", msgspec.json.decode(infer_body(rows(2)))),
    (
        "/v2/models/numbers/infer",
        "application/json",
        {
            "id": "1",
            "inputs": [{"name": "x", "shape": [2, 3], "datatype": "FP64", "data": [1, 2, 3, 4.5, None, 6]}],
            "outputs": [{"name": "score", "parameters": {"binary_data": True}}],
            "parameters": {"binary_data_output": False},
        },
    ),
    ("/endpoints/late/invocations", "application/json", {"dataframe_split": {"columns": ["distance"], "data": [[1]]}}),
    ("/endpoints/late/invocations", "application/json", {"dataframe_records": [{"distance": 1}], "params": {}}),
    ("/endpoints/numbers/invocations", "application/json", {"inputs": {"a": [1], "b": [2], "c": [3]}}),
    ("/endpoints/numbers/invocations", "application/json", {"instances": [[1, 2, 3], [4, 5, 6]]}),
    ("/predict/late", "application/json", {"inputs": {"distance": 1, "carrier": "AA"}, "time": 5, "request_id": "a"}),
    ("/predict/numbers", "application/msgpack", {"inputs": [{"a": 1, "b": 2, "c": 3}]}),
]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, one in inner for place in places(one, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """The value with something else at one place."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


@FUZZ
@given(path=PATHS, kind=TYPES, body=st.binary(max_size=200), accept=st.one_of(st.none(), st.text(max_size=20)))
def test_any_bytes_as_any_type(door: Door, path: str, kind: str, body: bytes, accept: str | None) -> None:
    headers = {"content-type": kind} | ({"accept": accept} if accept is not None else {})
    check(door.ask("POST", path, body, headers))


@FUZZ
@given(path=PATHS, body=VALUES)
def test_any_json(door: Door, path: str, body: Any) -> None:
    check(door.ask("POST", path, encoded_or_text(body), {"content-type": "application/json"}))


@FUZZ
@given(data=st.data(), new=VALUES)
def test_good_requests_with_one_part_replaced(door: Door, data: st.DataObject, new: Any) -> None:
    path, kind, good = data.draw(st.sampled_from(GOOD))
    body = replaced(good, data.draw(st.sampled_from(places(good))), new)
    try:
        written = msgspec.msgpack.encode(body) if kind == "application/msgpack" else encoded_or_text(body)
    except OverflowError:  # over 64 bits: MessagePack has no such number
        return
    check(door.ask("POST", path, written, {"content-type": kind}))


def encoded_or_text(body: Any) -> bytes:
    """JSON of whatever it is; numbers over 64 bits are written by Python."""
    return json.dumps(body, ensure_ascii=False).encode(errors="replace")


TENSORS = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["x", "a", "distance", "request_id", "request_time", ""]),
        "datatype": st.sampled_from([*DATATYPES, "FP128", "bytes"]),
        "shape": st.lists(INTEGERS, max_size=3),
    },
    optional={
        "parameters": st.dictionaries(st.just("binary_data_size"), st.one_of(INTEGERS, SCALARS), max_size=1),
        "data": st.one_of(st.lists(SCALARS, max_size=6), SCALARS),
    },
)


@FUZZ
@given(
    inputs=st.lists(TENSORS, max_size=3),
    tail=st.binary(max_size=60),
    length=st.one_of(st.none(), st.integers(-2, 400).map(str), st.text(max_size=6), st.just("9" * 400)),
    outputs=st.one_of(st.none(), st.lists(st.fixed_dictionaries({"name": st.text(max_size=8)}), max_size=2)),
)
def test_any_head_of_binary_tensors(
    door: Door, inputs: list[Any], tail: bytes, length: str | None, outputs: Any
) -> None:
    head = encoded_or_text({"inputs": inputs} | ({"outputs": outputs} if outputs is not None else {}))
    for path in ("/v2/models/late/infer", "/v2/models/numbers/infer"):
        check(door.ask("POST", path, head + tail, {HEAD_LENGTH: str(len(head)) if length is None else length}))


def binary_request() -> tuple[bytes, int]:
    """A good request of binary tensors and the length of its head."""
    parts = [
        ("distance", "FP32", np.array([100, np.nan], "<f4").tobytes()),
        ("carrier", "BYTES", pack_texts(["AA", "UA"])),
        ("dep", "INT64", np.array([5, 6], "<i8").tobytes()),
        ("paid", "BOOL", b"\x01\x00"),
    ]
    inputs = [
        {"name": name, "datatype": kind, "shape": [2], "parameters": {"binary_data_size": len(data)}}
        for name, kind, data in parts
    ]
    head = encoded({"inputs": inputs, "parameters": {"binary_data_output": True}})
    return head + b"".join(data for _, _, data in parts), len(head)


@FUZZ
@given(
    edits=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.integers(0, 9),
)
def test_binary_tensors_with_bytes_changed(door: Door, edits: list[tuple[int, int]], cut: int) -> None:
    good, head = binary_request()
    assert door.ask("POST", "/v2/models/late/infer", good, {HEAD_LENGTH: str(head)}).status == 200
    body = bytearray(good)
    for place, byte in edits:
        body[place % len(body)] = byte
    check(door.ask("POST", "/v2/models/late/infer", bytes(body[: len(body) - cut]), {HEAD_LENGTH: str(head)}))


@FUZZ
@given(
    shape=st.lists(INTEGERS, min_size=1, max_size=3),
    size=st.sampled_from([0, 1, 7, 8, 24, 48]),
    datatype=st.sampled_from(list(DATATYPES)),
)
def test_shapes_that_claim_more_than_there_is(door: Door, shape: list[int], size: int, datatype: str) -> None:
    tensor = {"name": "x", "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}
    head = encoded_or_text({"inputs": [tensor]})
    answer = door.ask("POST", "/v2/models/numbers/infer", head + b"\1" * size, {HEAD_LENGTH: str(len(head))})
    check(answer)
    if answer.status == 200:
        assert np.prod(shape) * np.dtype(DATATYPES[datatype].numpy).itemsize == size


FILES = [saved(np.ones((2, 3))), saved(np.ones((3, 2), "f4").T), b"1,2,3\n4,5,6\n", b"[1,2,3]\n[4,5,6]\n"]


@FUZZ
@given(
    good=st.sampled_from(FILES),
    kind=TYPES,
    edits=st.lists(st.tuples(st.integers(0, 10_000), st.binary(max_size=3)), max_size=4),
)
def test_files_with_bytes_changed(door: Door, good: bytes, kind: str, edits: list[tuple[int, bytes]]) -> None:
    body = good
    for place, piece in edits:
        at = place % (len(body) + 1)
        body = body[:at] + piece + body[at + len(piece) :]
    check(door.ask("POST", "/endpoints/numbers/invocations", body, {"content-type": kind}))


NAMES = st.one_of(st.sampled_from(["late", "numbers", "nobody", "..", "%00", ""]), st.text(max_size=6))
ROUTES = st.one_of(
    st.sampled_from(
        [
            "/v2",
            "/v2/health/live",
            "/v2/health/ready",
            "/v2/repository/index",
            "/invocations",
            "/ping",
            "/health",
            "/version",
            "/metrics",
            "/models",
            "/",
            "",
        ]
    ),
    st.builds(
        "/v2/models/{}{}{}".format,
        NAMES,
        st.one_of(st.just(""), st.builds("/versions/{}".format, st.one_of(INTEGERS, NAMES))),
        st.sampled_from(["", "/ready", "/infer", "/", "/infer/x"]),
    ),
    st.builds("/v2/repository/models/{}/{}".format, NAMES, st.sampled_from(["load", "unload", "x"])),
    st.builds("/models/{}{}".format, NAMES, st.sampled_from(["", "/invoke"])),
    st.builds("/endpoints/{}/invocations".format, NAMES),
    st.builds("/predict/{}".format, NAMES),
    st.text(max_size=12),
)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "accept",
            "content-encoding",
            "content-type",
            "x-model",
            "x-model-version",
            "x-amzn-sagemaker-target-model",
            "x-amzn-sagemaker-target-variant",
            "x-amzn-sagemaker-inference-id",
            "x-amzn-sagemaker-custom-attributes",
            "inference-header-content-length",
            "traceparent",
            "origin",
        ]
    ),
    st.one_of(
        st.text(max_size=8), st.sampled_from(["1", "9", "canary", "gzip", "late", "application/json", "text/csv"])
    ),
    max_size=4,
)


@FUZZ
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "X"]),
    path=ROUTES,
    query=st.one_of(st.just(""), st.text(max_size=10).map("?model={}".format)),
    headers=HEADERS,
    body=st.one_of(st.just(b""), st.binary(max_size=30), st.sampled_from([encoded(good) for _, _, good in GOOD])),
)
def test_any_method_path_and_headers(
    door: Door, method: str, path: str, query: str, headers: dict[str, str], body: bytes
) -> None:
    check(door.ask(method, path + query, body, headers))


def test_a_body_that_inflates_over_the_limit_is_refused_before_it_does(door: Door) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    bomb = b"".join(packer.compress(b" " * MAX_BODY) for _ in range(200)) + packer.flush()
    answer = door.ask("POST", "/v2/models/late/infer", bomb, {"content-encoding": "gzip"})
    assert (answer.status, answer.json()["field"]) == (413, "body")
    packed = gzip.compress(infer_body(rows()))
    assert door.ask("POST", "/v2/models/late/infer", packed, {"content-encoding": "gzip"}).status == 200
    for encoding, body, status in (("br", packed, 415), ("gzip", b"no", 400), ("gzip", packed[:-9], 400)):
        assert door.ask("POST", "/v2/models/late/infer", body, {"content-encoding": encoding}).status == status


@pytest.mark.parametrize("path", ["/v2/models/numbers/infer", "/endpoints/numbers/invocations", "/predict/numbers"])
def test_a_huge_batch_is_413(door: Door, path: str) -> None:
    count = 10_001
    values = [0.5] * count
    body: dict[str, Any] = {"inputs": {"a": values, "b": values, "c": values}}
    if path.startswith("/v2"):
        body = {"inputs": [{"name": "x", "datatype": "FP64", "shape": [count, 3], "data": values * 3}]}
    data = encoded(body)
    assert len(data) < MAX_BODY
    answer = door.ask("POST", path, data, {"content-type": "application/json"})
    assert (answer.status, answer.json()["code"]) == (413, "too_large")


def test_packed_floats_are_what_they_were(door: Door) -> None:
    head = encoded(
        {"inputs": [{"name": "x", "datatype": "FP64", "shape": [1, 3], "parameters": {"binary_data_size": 24}}]}
    )
    body = head + pack_floats([1e3, 0.0, 0.0])
    answer = door.ask("POST", "/v2/models/numbers/infer", body, {HEAD_LENGTH: str(len(head))})
    assert answer.json()["outputs"][0]["data"] == [float(np.tanh(1.0))]


@pytest.mark.parametrize("model", ["numbers", "features"])
def test_ids_and_times_beside_a_matrix_count_whatever_the_model_reads(door: Door, model: str) -> None:
    def ask(at: int, count: int = 2) -> Answer:
        inputs = [
            {"name": "x", "datatype": "FP64", "shape": [2, 3], "data": [0.0] * 6},
            {"name": "request_id", "datatype": "BYTES", "shape": [2], "data": [f"{model}{at}", f"{model}{at}b"]},
            {"name": "request_time", "datatype": "INT64", "shape": [count], "data": [at] * count},
        ]
        return door.ask("POST", f"/v2/models/{model}/infer", encoded({"inputs": inputs}))

    good = ask(5)
    assert (good.status, good.json()["outputs"][1]["data"]) == (200, [f"{model}5", f"{model}5b"])
    for wrong in (ask(1 << 57), ask(5, count=3)):
        assert (wrong.status, wrong.json()["field"]) == (400, "request_time")
