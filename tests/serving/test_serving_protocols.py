"""The wire protocols' translators: what they read, what they write, what they refuse."""

import struct
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving_helpers import infer_body, rows

from homeostat.compat.mlflow_scoring import MlflowScoring
from homeostat.compat.oip import HEAD_LENGTH, OpenInference
from homeostat.compat.oip_binary import pack_floats, pack_texts
from homeostat.ground.errors import Invalid, NotFound
from homeostat.ground.records import Signature
from homeostat.serving.outputs import announced
from homeostat.serving.types import Decoded, PredictReply, WrongContentType

REPLY = PredictReply(
    endpoint="late",
    model="late",
    scores=[0.5, 0.25],
    request_ids=["a", "b"],
    versions=[3, 3],
    arms=["stable", "stable"],
)


def headers(**given: str) -> Callable[[str], str | None]:
    return {name.replace("_", "-"): value for name, value in given.items()}.get


def read_oip(body: Any, tail: bytes = b"") -> Decoded:
    head = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return OpenInference().decode(head + tail, {HEAD_LENGTH: str(len(head))}.get if tail else headers())


def tensor(name: str = "distance", datatype: str = "FP64", **more: Any) -> dict[str, Any]:
    return {"inputs": [{"name": name, "datatype": datatype, "shape": [2], "data": [1, 2.5]} | more]}


def test_columns_come_from_json_tensors_flat_or_nested_with_null_as_missing() -> None:
    assert read_oip(infer_body(rows(3))).inputs == rows(3)
    assert read_oip(tensor(shape=[2, 1], data=[[1.5], [None]])).inputs == {"distance": [1.5, None]}
    assert read_oip(tensor(shape=[2, 1], data=[1.5, 2])).inputs == {"distance": [1.5, 2]}
    assert read_oip(tensor(datatype="BYTES", data=["a", "ü"])).inputs == {"distance": ["a", "ü"]}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", "body"),
        (b"\xff", "body"),
        (b"[" * 100_000, "body"),
        (b'{"inputs": ' + b"[" * 100_000, "inputs[0]"),
        ({}, "body"),
        ({"inputs": 3}, "inputs"),
        ({"inputs": [{"name": "distance", "shape": [1]}]}, "inputs[0]"),
        (tensor(shape=[3]), "distance"),
        (tensor(shape=[]), "distance"),
        (tensor(shape=[1, 2, 1]), "distance"),
        (tensor(shape=[2, 2]), "distance"),
        (tensor(shape=[2, 2], data=[[1, 2], [3]]), "distance"),
        (tensor(shape=[2, 2], data=[[1, 2], 3]), "distance"),
        (tensor(shape=[3, 2], data=[[1, 2, 3], [4, 5, 6]]), "distance"),
        (tensor(shape=[1, 2, 2], data=[[[1, 2], [3, 4]]]), "distance"),
        (tensor(shape=[0, 2], data=[]), "distance"),
        (tensor(shape=[2, 0], data=[]), "distance"),
        (tensor(shape=[-1, -2]), "distance"),
        (tensor(shape=[1 << 62, 1 << 62]), "distance"),
        (tensor(shape=[1 << 62]), "distance"),
        (tensor(shape=[1, 2], datatype="BYTES", data=["a", "b"]), "distance"),
        (tensor(shape=[1, 2], datatype="BOOL", data=[True, False]), "distance"),
        (tensor(shape=[1, 2], datatype="FP64", data=[1.5, "2"]), "distance"),
        (tensor(shape=[1, 2], datatype="INT8", data=[1, 200]), "distance"),
        (tensor(shape=[1, 2], datatype="FP16"), "distance"),
        (tensor(shape=[-1]), "distance"),
        (tensor(data=[[1, 2], [3, 4]]), "distance"),
        (tensor(data=[[1], 2]), "distance"),
        (tensor(data="ab"), "distance"),
        (tensor(data=None), "distance"),
        (tensor(data=[1, "2"]), "distance"),
        (tensor(data=[1, True]), "distance"),
        (tensor(datatype="INT8", data=[1, 200]), "distance"),
        (tensor(datatype="UINT8", data=[-1, 2]), "distance"),
        (tensor(datatype="INT32", data=[1, 2.5]), "distance"),
        (tensor(datatype="BOOL", data=[1, 0]), "distance"),
        (tensor(datatype="BYTES", data=[1, 2]), "distance"),
        (tensor(datatype="BF16"), "distance"),
        (tensor(datatype="FP16"), "distance"),
        (tensor(datatype="FP128"), "distance"),
        (tensor() | {"outputs": [{"name": "label"}]}, "outputs"),
        ({"inputs": tensor()["inputs"] * 2}, "distance"),
        ({"inputs": tensor(shape=[1, 2])["inputs"] + tensor("carrier")["inputs"]}, "distance"),
        ({"inputs": tensor(shape=[1, 2])["inputs"] * 2}, "distance"),
    ],
)
def test_a_malformed_inference_request_is_refused_naming_the_part(body: Any, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_oip(body)
    assert refused.value.field == field


def test_one_tensor_of_two_dimensions_is_a_matrix_without_column_names() -> None:
    flat, nested = [1, None, 2.5, 1e300, 0, -4], [[1, None, 2.5], [1e300, 0, -4]]
    wanted = [[1.0, np.nan, 2.5], [1e300, 0.0, -4.0]]
    for data in (flat, nested):
        decoded = read_oip(tensor("x", shape=[2, 3], data=data))
        assert decoded.inputs == {}
        assert decoded.matrix.dtype == np.float64
        np.testing.assert_array_equal(decoded.matrix, wanted)
    whole = read_oip(tensor("x", datatype="INT64", shape=[1, 2], data=[[3, 4]])).matrix
    assert whole.tolist() == [[3.0, 4.0]]


def test_ids_and_times_may_stand_beside_a_matrix() -> None:
    inputs = [
        *tensor("x", shape=[2, 2], data=[1, 2, 3, 4])["inputs"],
        *tensor("request_id", datatype="BYTES", data=["a", "b"])["inputs"],
        *tensor("request_time", datatype="INT64", data=[5, 6])["inputs"],
    ]
    decoded = read_oip({"inputs": inputs})
    assert decoded.matrix.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert (decoded.request_ids, decoded.inputs) == (["a", "b"], {"request_time": [5, 6]})


def test_nan_in_json_is_a_missing_value_as_pythons_clients_write_it() -> None:
    body = b'{"inputs": [{"name": "distance", "shape": [2], "datatype": "FP32", "data": [NaN, 1.5]}]}'
    assert read_oip(body).inputs == {"distance": [None, 1.5]}
    with pytest.raises(Invalid, match="not JSON"):
        read_oip(body.replace(b"1.5]}]", b"1.5"))


def test_a_body_that_says_it_is_something_else_is_refused() -> None:
    body = msgspec.json.encode(tensor())
    for kind in ("application/json; charset=utf-8", "application/octet-stream", "Application/JSON"):
        assert OpenInference().decode(body, headers(content_type=kind)).inputs == {"distance": [1, 2.5]}
    for kind in ("text/csv", "application/x-npy", ""):
        with pytest.raises(WrongContentType):
            OpenInference().decode(body, headers(content_type=kind))


def test_the_reply_echoes_the_id_and_carries_both_outputs() -> None:
    wish = read_oip(tensor() | {"id": "77"}).wish
    encoded = OpenInference().encode(REPLY, wish)
    body = msgspec.json.decode(encoded.body)
    assert (body["model_name"], body["model_version"], body["id"]) == ("late", "3", "77")
    assert body["outputs"] == [
        {"name": "score", "datatype": "FP64", "shape": [2], "data": [0.5, 0.25]},
        {"name": "request_id", "datatype": "BYTES", "shape": [2], "data": ["a", "b"]},
    ]
    assert body["parameters"] == {"versions": [3, 3], "arms": ["stable", "stable"], "request_ids": ["a", "b"]}
    assert encoded.headers == [("content-type", "application/json")]


def test_only_the_outputs_asked_for_are_given() -> None:
    wish = read_oip(tensor() | {"outputs": [{"name": "score"}]}).wish
    body = msgspec.json.decode(OpenInference().encode(REPLY, wish).body)
    assert [output["name"] for output in body["outputs"]] == ["score"]
    assert "id" not in body


MANY = msgspec.structs.replace(
    REPLY,
    scores=[1.0, 0.0],
    table=np.array([[0.2, 0.8], [0.6, 0.4]]),
    signature=Signature(task="multiclass", inputs=(), columns=(), feature_hash="", classes=("no", "yes")),
)
PAIR = msgspec.structs.replace(
    MANY, signature=Signature(task="regression", inputs=(), columns=(), feature_hash="", outputs=("low", "high"))
)


def test_several_classes_or_values_a_row_come_as_one_more_tensor() -> None:
    wish = read_oip(tensor()).wish
    outputs = msgspec.json.decode(OpenInference().encode(MANY, wish).body)["outputs"]
    assert [(output["name"], output["shape"], output["data"]) for output in outputs] == [
        ("score", [2], [1.0, 0.0]),
        ("class", [2], ["yes", "no"]),
        ("probabilities", [2, 2], [0.2, 0.8, 0.6, 0.4]),
        ("request_id", [2], ["a", "b"]),
    ]
    asked = read_oip(tensor() | {"outputs": [{"name": "outputs", "parameters": {"binary_data": True}}]}).wish
    encoded = OpenInference().encode(PAIR, asked)
    assert encoded.body.endswith(pack_floats([0.2, 0.8, 0.6, 0.4]))
    with pytest.raises(Invalid, match="outputs are score, class, probabilities, request_id"):
        OpenInference().encode(MANY, asked)
    assert [one["name"] for one in announced(MANY.signature)] == ["score", "class", "probabilities", "request_id"]
    assert announced(PAIR.signature)[1] == {"name": "outputs", "datatype": "FP64", "shape": [-1, 2]}


def test_several_versions_in_one_reply_are_told_by_row() -> None:
    mixed = msgspec.structs.replace(REPLY, versions=[3, 4], arms=["stable", "canary"])
    body = msgspec.json.decode(OpenInference().encode(mixed, read_oip(tensor()).wish).body)
    assert "model_version" not in body
    assert body["parameters"]["versions"] == [3, 4]


def binary(*tensors: tuple[str, str, bytes, int], **more: Any) -> tuple[dict[str, Any], bytes]:
    inputs = [
        {"name": name, "datatype": datatype, "shape": [count], "parameters": {"binary_data_size": len(data)}}
        for name, datatype, data, count in tensors
    ]
    return {"inputs": inputs} | more, b"".join(data for _, _, data, _ in tensors)


def test_binary_tensors_are_read_in_order() -> None:
    head, tail = binary(
        ("distance", "FP32", np.array([1.5, np.nan], "<f4").tobytes(), 2),
        ("carrier", "BYTES", pack_texts(["AA", "ü"]), 2),
        ("paid", "BOOL", b"\x01\x00", 2),
        ("dep", "INT64", struct.pack("<2q", -5, 1 << 60), 2),
    )
    assert read_oip(head, tail).inputs == {
        "distance": [1.5, None],
        "carrier": ["AA", "ü"],
        "paid": [True, False],
        "dep": [-5, 1 << 60],
    }


def test_a_binary_matrix_goes_to_numpy_as_it_came() -> None:
    values = np.array([[1.5, np.nan, -2.0], [0.25, 3.0, 65504.0]])
    for datatype, dtype in {"FP16": "<f2", "FP32": "<f4", "FP64": "<f8"}.items():
        head, tail = binary(("x", datatype, values.astype(dtype).tobytes(), 2))
        head["inputs"][0]["shape"] = [2, 3]
        np.testing.assert_array_equal(read_oip(head, tail).matrix, values)
    halves = (values[:, :2].astype("<f4").view("<u4") >> 16).astype("<u2")
    head, tail = binary(("x", "BF16", halves.tobytes(), 2))
    head["inputs"][0]["shape"] = [2, 2]
    np.testing.assert_array_equal(read_oip(head, tail).matrix, values[:, :2])
    assert read_oip(*binary(("x", "FP16", np.array([1.5, np.nan], "<f2").tobytes(), 2))).inputs == {"x": [1.5, None]}


def test_json_and_binary_tensors_mix_in_one_request() -> None:
    head, tail = binary(("distance", "FP64", pack_floats([1.0, 2.0]), 2))
    head["inputs"].insert(0, {"name": "carrier", "datatype": "BYTES", "shape": [2], "data": ["AA", "UA"]})
    assert read_oip(head, tail).inputs == {"carrier": ["AA", "UA"], "distance": [1.0, 2.0]}


@pytest.mark.parametrize(
    ("datatype", "data", "count"),
    [
        ("FP64", b"123", 1),
        ("FP64", pack_floats([1.0]), 2),
        ("BYTES", b"\x05\0\0\0ab", 1),
        ("BYTES", b"\x05\0", 1),
        ("BYTES", b"\x01\0\0\0\xff", 1),
        ("BYTES", b"\xff\xff\xff\xffab", 1),
        ("BF16", b"\0\0\0", 1),
        ("FP16", b"\0", 1),
        ("INT64", b"\0" * 16, -1),
        ("INT64", b"\0" * 16, 1 << 62),
    ],
)
def test_binary_tensors_that_do_not_fit_are_refused_by_name(datatype: str, data: bytes, count: int) -> None:
    with pytest.raises(Invalid) as refused:
        read_oip(*binary(("distance", datatype, data, count)))
    assert refused.value.field == "distance"


def test_bytes_that_no_tensor_announces_are_refused() -> None:
    head, tail = binary(("distance", "FP64", pack_floats([1.0]), 1))
    with pytest.raises(Invalid, match="3 bytes follow"):
        read_oip(head, tail + b"abc")
    head["inputs"][0]["parameters"]["binary_data_size"] = 99
    with pytest.raises(Invalid, match="announces 99"):
        read_oip(head, tail)
    head["inputs"][0] |= {"data": [1.0], "parameters": {"binary_data_size": 8}}
    with pytest.raises(Invalid, match="in JSON and announces"):
        read_oip(head, tail)
    for length in ("99999", "-1", "x", "", "9" * 5_000, "\uff11"):
        with pytest.raises(Invalid, match="inference-header-content-length"):
            OpenInference().decode(b"{}", {HEAD_LENGTH: length}.get)


def test_binary_outputs_are_given_where_asked_for() -> None:
    for asked in (
        {"parameters": {"binary_data_output": True}},
        {"outputs": [{"name": name, "parameters": {"binary_data": True}} for name in ("score", "request_id")]},
    ):
        encoded = OpenInference().encode(REPLY, read_oip(tensor() | asked).wish)
        length = int(dict(encoded.headers)[HEAD_LENGTH])
        sizes = [out["parameters"]["binary_data_size"] for out in msgspec.json.decode(encoded.body[:length])["outputs"]]
        assert sizes == [16, 10]
        assert encoded.body[length:] == pack_floats([0.5, 0.25]) + pack_texts(["a", "b"])
        assert dict(encoded.headers)["content-type"] == "application/octet-stream"


@given(st.lists(st.text(), max_size=5), st.lists(st.floats(allow_nan=False), max_size=5))
def test_what_is_packed_is_unpacked(texts: list[str], numbers: list[float]) -> None:
    head, tail = binary(
        ("t", "BYTES", pack_texts(texts), len(texts)), ("n", "FP64", pack_floats(numbers), len(numbers))
    )
    if tail:
        assert read_oip(head, tail).inputs == {"t": texts, "n": numbers}


def read_mlflow(body: Any, kind: str = "application/json") -> Decoded:
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return MlflowScoring().decode(data, headers(content_type=kind))


WANTED = {"distance": [1.5, None], "carrier": ["AA", "UA"]}
RECORDS = [{"distance": 1.5, "carrier": "AA"}, {"distance": None, "carrier": "UA"}]


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": ["distance", "carrier"], "index": [7, 8], "data": [[1.5, "AA"], [None, "UA"]]}},
        {"dataframe_records": RECORDS},
        {"instances": RECORDS},
        {"instances": WANTED},
        {"inputs": WANTED, "params": {"x": 1}},
        {"inputs": RECORDS},
    ],
)
def test_every_json_form_gives_the_same_columns(body: dict[str, Any]) -> None:
    assert read_mlflow(body).inputs == WANTED
    assert read_mlflow(body, "application/json; charset=UTF-8").inputs == WANTED


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"data": [[1, 2], [None, 4]]}},
        {"dataframe_split": {"columns": [0, 1], "index": [0, 1], "data": [[1, 2], [None, 4]]}},
        {"instances": [[1, 2], [None, 4]]},
        {"instances": [{"x": [1, 2]}, {"x": [None, 4]}]},
        {"inputs": [[1, 2], [None, 4]]},
        {"inputs": {"x": [[1, 2], [None, 4]]}, "client_request_id": "7"},
        b'{"inputs": [[1, 2], [NaN, 4]]}',
    ],
)
def test_lists_without_column_names_are_a_matrix(body: Any) -> None:
    decoded = read_mlflow(body)
    np.testing.assert_array_equal(decoded.matrix, [[1.0, 2.0], [np.nan, 4.0]])
    assert decoded.inputs == {}


def test_a_column_may_come_as_a_tensor_of_its_own() -> None:
    assert read_mlflow({"inputs": {"distance": [[1.5], [None]], "carrier": [["AA"], ["UA"]]}}).inputs == WANTED
    assert read_mlflow({"instances": [1, 2.5]}).matrix.tolist() == [[1.0], [2.5]]


def test_nan_in_json_is_read_as_mlflows_client_writes_it() -> None:
    assert str(read_mlflow(b'{"inputs": {"distance": [NaN, 1]}}').inputs) == "{'distance': [nan, 1]}"


def test_csv_gives_columns_of_text() -> None:
    decoded = MlflowScoring().decode(b'distance,carrier\r\n1.5,"A,A"\r\n,UA\r\n', headers(content_type="text/csv"))
    assert decoded.is_text
    assert decoded.inputs == {"distance": ["1.5", ""], "carrier": ["A,A", "UA"]}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", "body"),
        (b"[1]", "body"),
        (b'{"inputs": {"a": ["\\ud800"]}}', "body"),
        ({}, "body"),
        ({"inputs": WANTED, "instances": RECORDS}, "instances"),
        ({"inputs": WANTED, "more": 1}, "more"),
        ({"dataframe_split": [1]}, "dataframe_split"),
        ({"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}, "dataframe_split"),
        ({"dataframe_split": {"columns": ["a"], "data": [1]}}, "dataframe_split"),
        ({"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}}, "a"),
        ({"dataframe_split": {"columns": [1], "data": [[1]]}}, "dataframe_split"),
        ({"dataframe_records": []}, "dataframe_records"),
        ({"dataframe_records": [{"a": 1}, {"b": 1}]}, "a"),
        ({"dataframe_split": {"columns": ["a"], "data": [[1]], "rows": 1}}, "dataframe_split"),
        ({"dataframe_split": {"columns": "a", "data": [[1]]}}, "dataframe_split"),
        ({"dataframe_split": {"columns": [0, 1], "data": []}}, "dataframe_split"),
        ({"instances": [[1, 2], [3]]}, "instances"),
        ({"instances": [[1, 2], 3]}, "instances"),
        ({"instances": [[1, "2"]]}, "instances"),
        ({"instances": [[[1, 2]]]}, "instances"),
        ({"instances": [[True]]}, "instances"),
        ({"instances": []}, "instances"),
        ({"inputs": 1}, "inputs"),
        ({"inputs": {}}, "inputs"),
        (b'{"inputs": [[1' + b"0" * 400 + b"]]}", "inputs"),
        ({"inputs": {"a": 1}}, "inputs"),
    ],
)
def test_a_malformed_invocation_is_refused_naming_the_part(body: Any, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_mlflow(body)
    assert refused.value.field == field


@pytest.mark.parametrize("body", [b"", b"a,b\n1\n", b"a,a\n1,2\n", b"\xff", b'a\n"b\n'])
def test_malformed_csv_is_refused(body: bytes) -> None:
    with pytest.raises(Invalid):
        read_mlflow(body, "text/csv")


@pytest.mark.parametrize(
    "kind",
    [
        "application/x-parquet",
        "text/plain",
        "",
        "application/json; charset=latin-1",
        "application/json; format=pandas-split",
    ],
)
def test_other_content_types_are_refused(kind: str) -> None:
    with pytest.raises(WrongContentType) as refused:
        read_mlflow(b"{}", kind)
    assert refused.value.field == "content-type"


def test_errors_have_each_protocols_shape() -> None:
    error = NotFound("no such thing", field="model", next_step="look again")
    assert msgspec.json.decode(OpenInference().encode_error(error, 404))["error"] == "no such thing; look again"
    body = msgspec.json.decode(MlflowScoring().encode_error(error, 404))
    assert (body["error_code"], body["message"]) == ("RESOURCE_DOES_NOT_EXIST", "no such thing; look again")
    assert (body["error"], body["field"]) == (body["message"], "model")
    wrong = msgspec.json.decode(MlflowScoring().encode_error(Invalid("bad"), 400))
    assert wrong["error_code"] == "BAD_REQUEST"


def test_an_invocation_is_answered_with_predictions_and_ids() -> None:
    body = msgspec.json.decode(MlflowScoring().encode(REPLY, None).body)
    assert (body["predictions"], body["request_ids"]) == ([0.5, 0.25], ["a", "b"])


def test_several_values_a_row_are_named_as_mlflow_names_a_data_frames() -> None:
    wish = read_mlflow({"inputs": WANTED}).wish
    body = msgspec.json.decode(MlflowScoring().encode(PAIR, wish).body)
    assert body["predictions"] == [{"low": 0.2, "high": 0.8}, {"low": 0.6, "high": 0.4}]
    nameless = msgspec.structs.replace(PAIR, signature=None)
    body = msgspec.json.decode(MlflowScoring().encode(nameless, wish).body)
    assert body["predictions"] == [[0.2, 0.8], [0.6, 0.4]]
