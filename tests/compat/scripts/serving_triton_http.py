"""tritonclient's HTTP client with its default settings: binary tensors in and out, the index with an empty body."""
# ruff: noqa: ANN001, ANN002, ANN201, PT017, T201  a user's script, which is no test of ours

import asyncio
import json
import os
from pathlib import Path

import numpy as np
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

address = os.environ["SERVING_ADDRESS"]
expected = json.loads(Path(os.environ["SERVING_EXPECTED"]).read_text())
client = triton.InferenceServerClient(address, concurrency=4)
rows, scores = np.array(expected["twenty"]["rows"]), expected["twenty"]["score"]


def matrix(values, datatype="FP64", *, binary=True, dtype="f8", name="input-0"):
    tensor = triton.InferInput(name, list(values.shape), datatype)
    tensor.set_data_from_numpy(values.astype(dtype), binary_data=binary)
    return [tensor]


def column(name, values, datatype, dtype, *, binary=True):
    tensor = triton.InferInput(name, [len(values)], datatype)
    tensor.set_data_from_numpy(np.array(values, dtype), binary_data=binary)
    return tensor


def refused(call, status, *words):
    try:
        call()
    except InferenceServerException as error:
        assert error.status() == status, error
        assert all(word in error.message() for word in words), error.message()
    else:
        raise AssertionError("was not refused")


# Health and metadata
assert client.is_server_live() and client.is_server_ready()
assert client.is_model_ready("twenty") and client.is_model_ready("twenty", "1")
assert not client.is_model_ready("nobody") and not client.is_model_ready("twenty", "9")
assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
metadata = client.get_model_metadata("late")
assert {one["name"]: one["datatype"] for one in metadata["inputs"]} == {"distance": "FP64", "carrier": "BYTES"}
assert client.get_model_metadata("iris")["outputs"][2]["shape"] == [-1, 3]
index = client.get_model_repository_index()
assert {one["name"] for one in index} == set(expected) and {one["state"] for one in index} == {"READY"}

# A matrix, in every form of number
result = client.infer("twenty", matrix(rows), request_id="77")
np.testing.assert_allclose(result.as_numpy("score"), scores, rtol=1e-9)
assert result.get_response()["id"] == "77" and result.get_response()["model_version"] == "1"
assert result.as_numpy("request_id").shape == (len(rows),)
np.testing.assert_allclose(
    client.infer("twenty", matrix(rows, "FP32", dtype="f4")).as_numpy("score"), scores, rtol=1e-4
)
np.testing.assert_allclose(
    client.infer("twenty", matrix(rows, "FP16", dtype="f2")).as_numpy("score"), scores, atol=0.02
)
np.testing.assert_allclose(client.infer("twenty", matrix(rows, binary=False)).as_numpy("score"), scores, rtol=1e-9)
assert client.infer("twenty", matrix(np.round(rows), "INT64", dtype="i8")).as_numpy("score").shape == (len(rows),)
assert client.infer("twenty", matrix(rows), model_version="1").get_response()["model_version"] == "1"
for algorithm in ("gzip", "deflate"):
    packed = client.infer("twenty", matrix(rows), request_compression_algorithm=algorithm)
    np.testing.assert_allclose(packed.as_numpy("score"), scores, rtol=1e-9)

# Named columns with texts, binary and not
for binary in (True, False):
    late = client.infer(
        "late",
        [
            column("distance", expected["late"]["distance"], "FP64", "f8", binary=binary),
            column("carrier", expected["late"]["carrier"], "BYTES", object, binary=binary),
        ],
    )
    np.testing.assert_allclose(late.as_numpy("score"), expected["late"]["score"], rtol=1e-6)

# Chosen outputs, each in its own form
wanted = [
    triton.InferRequestedOutput("probabilities", binary_data=True),
    triton.InferRequestedOutput("class", binary_data=False),
]
iris = client.infer("iris", matrix(np.array(expected["iris"]["rows"])), outputs=wanted)
np.testing.assert_allclose(iris.as_numpy("probabilities"), expected["iris"]["probabilities"], atol=1e-6)
assert iris.as_numpy("class").tolist() == expected["iris"]["class"] and iris.as_numpy("score") is None

# Many at once
waiting = [client.async_infer("twenty", matrix(rows[[place % 5]]), request_id=str(place)) for place in range(50)]
for place, one in enumerate(waiting):
    answer = one.get_result()
    assert answer.get_response()["id"] == str(place)
    np.testing.assert_allclose(answer.as_numpy("score"), [scores[place % 5]], rtol=1e-9)

# Errors are read as such
refused(lambda: client.infer("nobody", matrix(rows)), "404", "nobody")
refused(lambda: client.infer("twenty", matrix(rows), model_version="9"), "404", "9")
refused(lambda: client.infer("twenty", matrix(rows[:, :3])), "400", "20")
refused(lambda: client.infer("late", matrix(rows)), "400", "carrier")
refused(lambda: client.infer("late", [column("distance", [1.0], "FP64", "f8")]), "400", "carrier", "missing")
refused(lambda: client.infer("late", [*matrix(rows[:1, 0], name="distnace")]), "400", "distnace")
refused(lambda: client.infer("twenty", matrix(rows * np.nan)), "400", "x0")
refused(lambda: client.infer("twenty", matrix(rows), outputs=[triton.InferRequestedOutput("no")]), "400", "no")
refused(lambda: client.infer("twenty", matrix(np.zeros((10_001, 20)))), "413", "10000")
refused(lambda: client.load_model("nobody"), "404", "nobody")
refused(lambda: client.load_model("value", config="{}"), "400", "config")

# Out of service and back
client.unload_model("value")
assert not client.is_model_ready("value")
assert {one["name"]: one["state"] for one in client.get_model_repository_index()}["value"] == "UNAVAILABLE"
refused(lambda: client.infer("value", matrix(rows[:, :3])), "404", "unloaded")
client.load_model("value")
assert client.is_model_ready("value")
np.testing.assert_allclose(
    client.infer("value", matrix(rows[:, :3])).as_numpy("score"), expected["value"]["score"], rtol=1e-9
)
client.close()


async def asynchronously():
    async with triton_aio.InferenceServerClient(address) as other:
        answers = await asyncio.gather(*[other.infer("twenty", matrix(rows)) for _ in range(20)])
        for answer in answers:
            np.testing.assert_allclose(answer.as_numpy("score"), scores, rtol=1e-9)


asyncio.run(asynchronously())
print("ok")
