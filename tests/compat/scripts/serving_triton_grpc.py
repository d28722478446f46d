"""tritonclient's gRPC client with its default settings, on the port of everything else."""
# ruff: noqa: ANN001, ANN002, ANN201, PT017, T201  a user's script, which is no test of ours

import json
import os
import queue
import threading
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

address = os.environ["SERVING_ADDRESS"]
expected = json.loads(Path(os.environ["SERVING_EXPECTED"]).read_text())
client = triton.InferenceServerClient(address)
rows, scores = np.array(expected["twenty"]["rows"]), expected["twenty"]["score"]


def matrix(values, datatype="FP64", dtype="f8"):
    tensor = triton.InferInput("input-0", list(values.shape), datatype)
    tensor.set_data_from_numpy(values.astype(dtype))
    return [tensor]


def column(name, values, datatype, dtype):
    tensor = triton.InferInput(name, [len(values)], datatype)
    tensor.set_data_from_numpy(np.array(values, dtype))
    return tensor


def refused(call, status, *words):
    try:
        call()
    except InferenceServerException as error:
        assert error.status() == f"StatusCode.{status}", error
        assert all(word in error.message() for word in words), error.message()
    else:
        raise AssertionError("was not refused")


# Health and metadata
assert client.is_server_live() and client.is_server_ready()
assert client.is_model_ready("twenty") and client.is_model_ready("twenty", "1")
assert "model_repository" in client.get_server_metadata().extensions
metadata = client.get_model_metadata("iris", as_json=True)
assert metadata["outputs"][2] == {"name": "probabilities", "datatype": "FP64", "shape": ["-1", "3"]}
index = client.get_model_repository_index().models
assert {one.name for one in index} == set(expected) and {one.state for one in index} == {"READY"}

# Rows
result = client.infer("twenty", matrix(rows), request_id="77")
np.testing.assert_allclose(result.as_numpy("score"), scores, rtol=1e-9)
assert (result.get_response().id, result.get_response().model_version) == ("77", "1")
assert result.as_numpy("request_id").shape == (len(rows),)
for datatype, dtype in (("FP32", "f4"), ("FP16", "f2")):
    np.testing.assert_allclose(
        client.infer("twenty", matrix(rows, datatype, dtype)).as_numpy("score"), scores, atol=0.02
    )
for algorithm in ("gzip", "deflate"):
    packed = client.infer("twenty", matrix(rows), compression_algorithm=algorithm)
    np.testing.assert_allclose(packed.as_numpy("score"), scores, rtol=1e-9)
late = client.infer(
    "late",
    [
        column("distance", expected["late"]["distance"], "FP64", "f8"),
        column("carrier", expected["late"]["carrier"], "BYTES", object),
    ],
)
np.testing.assert_allclose(late.as_numpy("score"), expected["late"]["score"], rtol=1e-6)
wanted = [triton.InferRequestedOutput("class"), triton.InferRequestedOutput("probabilities")]
iris = client.infer("iris", matrix(np.array(expected["iris"]["rows"])), outputs=wanted)
assert [one.decode() for one in iris.as_numpy("class")] == expected["iris"]["class"]
np.testing.assert_allclose(iris.as_numpy("probabilities"), expected["iris"]["probabilities"], atol=1e-6)
large = client.infer("twenty", matrix(np.repeat(rows, 2_000, axis=0)))
np.testing.assert_allclose(large.as_numpy("score"), np.repeat(scores, 2_000), rtol=1e-9)

# Many calls at once on one connection
answers = queue.Queue()
for place in range(200):
    client.async_infer(
        "twenty",
        matrix(rows[[place % 5]]),
        lambda result, error, place=place: answers.put((place, result, error)),
    )
for _ in range(200):
    place, result, error = answers.get(timeout=20)
    assert error is None, error
    np.testing.assert_allclose(result.as_numpy("score"), [scores[place % 5]], rtol=1e-9)

# A stream of requests: answers in order, a bad one answered alone
client.start_stream(lambda result, error: answers.put((result, error)))
for place in range(300):
    name = "nobody" if place == 150 else "twenty"
    client.async_stream_infer(name, matrix(rows[[place % 5]]), request_id=str(place))
for place in range(300):
    result, error = answers.get(timeout=20)
    if place == 150:
        assert "nobody" in error.message(), error
    else:
        assert result.get_response().id == str(place), (place, error)
        np.testing.assert_allclose(result.as_numpy("score"), [scores[place % 5]], rtol=1e-9)
client.stop_stream()

# Errors
refused(lambda: client.infer("nobody", matrix(rows)), "NOT_FOUND", "nobody")
refused(lambda: client.get_model_metadata("nobody"), "NOT_FOUND", "nobody")
refused(lambda: client.is_model_ready("nobody"), "NOT_FOUND", "nobody")
refused(lambda: client.infer("twenty", matrix(rows), model_version="9"), "NOT_FOUND", "9")
refused(lambda: client.infer("twenty", matrix(rows[:, :3])), "INVALID_ARGUMENT", "20")
refused(lambda: client.infer("late", [column("distance", [1.0], "FP64", "f8")]), "INVALID_ARGUMENT", "carrier")
refused(lambda: client.infer("twenty", matrix(rows * np.inf)), "INVALID_ARGUMENT", "x0")
refused(lambda: client.infer("twenty", matrix(np.zeros((10_001, 20)))), "RESOURCE_EXHAUSTED", "10000")
refused(lambda: client.infer("twenty", matrix(np.zeros((150_000, 20)))), "RESOURCE_EXHAUSTED", "bytes")
refused(lambda: client.infer("twenty", matrix(np.zeros((9_999, 20))), client_timeout=1e-3), "DEADLINE_EXCEEDED")
refused(lambda: client.get_inference_statistics("twenty"), "UNIMPLEMENTED", "ModelStatistics")
refused(lambda: client.load_model("value", config="{}"), "INVALID_ARGUMENT", "config")

# Out of service and back
client.unload_model("value")
assert not client.is_model_ready("value")
refused(lambda: client.infer("value", matrix(rows[:, :3])), "NOT_FOUND", "unloaded")
client.load_model("value")
assert client.is_model_ready("value")

# Several connections from several threads
failures = []


def ask():
    with triton.InferenceServerClient(address) as other:
        for _ in range(20):
            try:
                np.testing.assert_allclose(other.infer("twenty", matrix(rows)).as_numpy("score"), scores, rtol=1e-9)
            except Exception as error:  # noqa: BLE001
                failures.append(error)


threads = [threading.Thread(target=ask) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert failures == [], failures
client.close()
print("ok")
