"""What SageMaker adds to /invocations: its formats, the answer's by Accept, its headers."""

import io
from typing import Any

import msgspec
import numpy as np
import pytest

from homeostat.compat.mlflow_scoring import MlflowScoring
from homeostat.ground.errors import Invalid
from homeostat.ground.records import Signature
from homeostat.serving.types import Decoded, Encoded, NotAcceptable, PredictReply

REPLY = PredictReply(
    endpoint="late",
    model="late",
    scores=[0.5, 0.25],
    request_ids=["a", "b"],
    versions=[3, 4],
    arms=["stable", "canary"],
)
PAIR = msgspec.structs.replace(
    REPLY,
    table=np.array([[0.2, 0.8], [0.6, 0.4]]),
    signature=Signature(task="regression", inputs=(), columns=(), feature_hash="", outputs=("low", "high")),
)


def read(body: bytes, kind: str, **more: str) -> Decoded:
    given = {"content-type": kind} | {name.replace("_", "-"): value for name, value in more.items()}
    return MlflowScoring().decode(body, given.get)


def write(reply: PredictReply, **headers: str) -> Encoded:
    return MlflowScoring().encode(reply, read(b'{"inputs": [[1]]}', "application/json", **headers).wish)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"1.5,2\n,4e0\r\n", "text/csv"),
        (b"1.5,2\n,4\n", "text/csv; header=absent"),
        (b"1.5, 2\n, 4\n", "text/csv; label_size=0"),
    ],
)
def test_csv_without_a_header_line_is_a_matrix_by_position(body: bytes, kind: str) -> None:
    np.testing.assert_array_equal(read(body, kind).matrix, [[1.5, 2.0], [np.nan, 4.0]])


def test_csv_with_a_header_line_has_named_columns() -> None:
    assert read(b"a,b\n1,x\n", "text/csv").inputs == {"a": ["1"], "b": ["x"]}
    assert read(b"0,1\n5,6\n", "text/csv; header=present").inputs == {"0": ["5"], "1": ["6"]}


def test_a_first_line_that_can_be_either_is_asked_about() -> None:
    with pytest.raises(Invalid) as refused:
        read(b"0,1\n5,6\n", "text/csv")
    assert (refused.value.field, "header=absent" in str(refused.value)) == ("content-type", True)
    assert read(b"0,1\n5,6\n", "text/csv; header=absent").matrix.tolist() == [[0.0, 1.0], [5.0, 6.0]]
    assert read(b"0,1\n", "text/csv").matrix.tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"1,2\n3\n", "text/csv"),
        (b"1,2\n3,x\n", "text/csv"),
        (b"a,b\n1,2\n", "text/csv; header=absent"),
        (b"1,2\n", "text/csv; header=perhaps"),
        (b"", "text/csv; header=absent"),
        (b'"', "text/csv"),
        (b"\xff", "text/csv"),
        (b"x" * 200_000 + b",1\n1,2", "text/csv"),
    ],
)
def test_malformed_csv_is_refused(body: bytes, kind: str) -> None:
    with pytest.raises(Invalid):
        read(body, kind)


@pytest.mark.parametrize(
    "body",
    [
        b"[1.5, 2]\n[null, 4]\n",
        b'{"features": [1.5, 2]}\n\n{"features": [NaN, 4]}',
    ],
)
def test_json_lines_of_lists_are_a_matrix(body: bytes) -> None:
    np.testing.assert_array_equal(read(body, "application/jsonlines").matrix, [[1.5, 2.0], [np.nan, 4.0]])


def test_json_lines_of_objects_have_named_columns() -> None:
    body = b'{"a": 1, "b": "x"}\n{"a": 2, "b": null}\n'
    assert read(body, "application/jsonlines").inputs == {"a": [1, 2], "b": ["x", None]}


@pytest.mark.parametrize(
    "body", [b"", b"{", b"3", b"[1]\n{}", b"[1]\n[1, 2]", b'{"a": 1}\n{"b": 1}', b'{"a": 1}\n[1]', b"{}"]
)
def test_malformed_json_lines_are_refused(body: bytes) -> None:
    with pytest.raises(Invalid):
        read(body, "application/jsonlines")


def saved(array: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


def test_numpy_arrays_are_matrices_in_either_order() -> None:
    values = np.array([[1.5, 2.0, 3.0], [np.nan, 4.0, 5.0]])
    for array in (values, np.asfortranarray(values), values.astype("f4"), values.astype(">f8")):
        decoded = read(saved(array), "application/x-npy")
        np.testing.assert_array_equal(decoded.matrix, values)
        assert decoded.matrix.flags.c_contiguous
    assert read(saved(np.array([1, 2], "u1")), "application/x-npy").matrix.tolist() == [[1.0], [2.0]]


def claims(shape: str) -> bytes:
    """A file whose header says another shape than its data have."""
    return saved(np.zeros((1, 2))).replace(b"(1, 2)", shape.encode())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00\xff\xff{",
        b"\x93NUMPY\x01\x00\x10\x27" + b"(" * 10_000,
        saved(np.array(["a"])),
        saved(np.array([{}], dtype=object)),
        saved(np.zeros(3, "c16")),
        saved(np.zeros((2, 2, 2))),
        saved(np.zeros((0, 2))),
        saved(np.zeros((2, 2)))[:-1],
        saved(np.array(3.0)),
        claims("(9, 2)"),
        claims("(4611686018427387904, 4)"),
        claims("(-1, -2)"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused_and_never_unpickled(body: bytes) -> None:
    with pytest.raises(Invalid):
        read(body, "application/x-npy")


def test_the_answer_is_in_the_format_that_is_asked_for() -> None:
    assert write(REPLY, accept="text/csv").body == b"0.5\n0.25\n"
    assert write(PAIR, accept="text/csv").body == b"0.2,0.8\n0.6,0.4\n"
    lines = b'{"score":0.5,"request_id":"a"}\n{"score":0.25,"request_id":"b"}\n'
    assert write(REPLY, accept="application/jsonlines").body == lines
    assert write(PAIR, accept="application/jsonlines").body.startswith(b'{"low":0.2,"high":0.8,"request_id":"a"}\n')
    assert np.load(io.BytesIO(write(REPLY, accept="application/x-npy").body)).tolist() == [0.5, 0.25]
    assert np.load(io.BytesIO(write(PAIR, accept="application/x-npy").body)).shape == (2, 2)
    assert msgspec.json.decode(write(REPLY).body)["predictions"] == [0.5, 0.25]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/json"),
        ("text/html, image/gif, *; q=.2, */*; q=.2", "application/json"),
        ("application/*", "application/json"),
        ("text/*", "text/csv"),
        ("text/csv; charset=utf-8", "text/csv"),
        ("text/csv;q=0.5, application/jsonlines", "application/jsonlines"),
        ("text/csv;q=0, */*", "application/json"),
        ("application/JSON;q=x", "application/json"),
    ],
)
def test_accept_is_read_as_http_means_it(accept: str, kind: str) -> None:
    assert dict(write(REPLY, accept=accept).headers)["content-type"] == kind


def test_a_caller_who_takes_nothing_we_write_is_told_before_anything_is_scored() -> None:
    with pytest.raises(NotAcceptable) as refused:
        write(REPLY, accept="image/png, text/csv;q=0")
    assert refused.value.field == "accept"


def test_the_inference_id_is_the_key_that_labels_join_on() -> None:
    given = {"x_amzn_sagemaker_inference_id": "i7"}
    assert read(b"1,2\n", "text/csv", **given).request_ids == ["i7"]
    assert read(b"1,2\n3,4\n", "text/csv", **given).request_ids == ["i7-0", "i7-1"]
    assert read(b'{"inputs": {"a": [1]}}', "application/json", **given).request_ids == ["i7"]
    own = b'{"inputs": {"a": [1], "request_id": ["mine"]}}'
    assert read(own, "application/json", **given).request_ids is None


def test_the_reply_names_the_variants_and_gives_the_attributes_back() -> None:
    headers = dict(write(REPLY, x_amzn_sagemaker_custom_attributes="trace=1").headers)
    assert headers["x-amzn-invoked-production-variant"] == "stable,canary"
    assert headers["x-amzn-sagemaker-custom-attributes"] == "trace=1"
