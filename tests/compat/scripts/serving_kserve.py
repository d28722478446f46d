"""KServe's SDK: its REST client (v2) and its gRPC client, with typed contents and with binary ones."""
# ruff: noqa: ANN001, ANN201, PT017, T201  a user's script, which is no test of ours

import asyncio
import json
import os
from pathlib import Path

import grpc
import httpx
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

address = os.environ["SERVING_ADDRESS"]
expected = json.loads(Path(os.environ["SERVING_EXPECTED"]).read_text())
rows, scores = np.array(expected["twenty"]["rows"]), expected["twenty"]["score"]


def request(model, values, *, binary, datatype="FP64", dtype="f8"):
    tensor = InferInput("input-0", list(values.shape), datatype)
    tensor.set_data_from_numpy(values.astype(dtype), binary_data=binary)
    return InferRequest(model_name=model, request_id="77", infer_inputs=[tensor])


def typed(model, values):
    tensor = InferInput("input-0", list(values.shape), "FP32", data=values.ravel().tolist())
    return InferRequest(model_name=model, infer_inputs=[tensor])


def columns(*, binary):
    late = expected["late"]
    distance = InferInput("distance", [len(late["distance"])], "FP64")
    distance.set_data_from_numpy(np.array(late["distance"]), binary_data=binary)
    carrier = InferInput("carrier", [len(late["carrier"])], "BYTES")
    carrier.set_data_from_numpy(np.array(late["carrier"], dtype=object), binary_data=binary)
    return InferRequest(model_name="late", infer_inputs=[distance, carrier])


def output(response, name):
    [found] = [one for one in response.outputs if one.name == name]
    return found.as_numpy()


async def rest():
    url = f"http://{address}"
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    assert await client.is_server_live(url) and await client.is_server_ready(url)
    assert await client.is_model_ready(url, "twenty")
    assert not await client.is_model_ready(url, "nobody")
    for binary in (True, False):
        response = await client.infer(url, request("twenty", rows, binary=binary), model_name="twenty")
        np.testing.assert_allclose(output(response, "score"), scores, rtol=1e-9)
        assert response.id == "77" and response.model_name == "twenty"
        response = await client.infer(url, columns(binary=binary), model_name="late")
        np.testing.assert_allclose(output(response, "score"), expected["late"]["score"], rtol=1e-6)
    half = request("twenty", rows, binary=True, datatype="FP16", dtype="f2")
    np.testing.assert_allclose(output(await client.infer(url, half, model_name="twenty"), "score"), scores, atol=0.02)
    response = await client.infer(url, request("iris", np.array(expected["iris"]["rows"]), binary=True), "iris")
    np.testing.assert_allclose(output(response, "probabilities"), expected["iris"]["probabilities"], atol=1e-6)
    body = {"inputs": [{"name": "x", "shape": [5, 20], "datatype": "FP64", "data": rows.tolist()}]}
    response = await client.infer(url, body, model_name="twenty")
    np.testing.assert_allclose(output(response, "score"), scores, rtol=1e-9)
    for model, status, word in (("nobody", 404, "nobody"), ("late", 400, "carrier")):
        try:
            await client.infer(url, request(model, rows, binary=True), model_name=model)
        except httpx.HTTPStatusError as error:
            assert error.response.status_code == status and word in str(error), error
        else:
            raise AssertionError("was not refused")
    await client.close()


async def over_grpc():
    async with InferenceGRPCClient(url=address) as client:
        assert await client.is_server_live() and await client.is_server_ready()
        assert await client.is_model_ready("twenty")
        response = await client.infer(request("twenty", rows, binary=True))
        np.testing.assert_allclose(output(response, "score"), scores, rtol=1e-9)
        assert response.id == "77" and response.model_version == "1"
        response = await client.infer(typed("twenty", rows))
        np.testing.assert_allclose(output(response, "score"), scores, rtol=1e-4)
        assert response.outputs[0].data and response.outputs[0]._raw_data is None
        for binary in (True, False):
            response = await client.infer(columns(binary=binary))
            np.testing.assert_allclose(output(response, "score"), expected["late"]["score"], rtol=1e-6)
        answers = await asyncio.gather(*[client.infer(request("twenty", rows, binary=True)) for _ in range(50)])
        for answer in answers:
            np.testing.assert_allclose(output(answer, "score"), scores, rtol=1e-9)
        for model, status in (("nobody", grpc.StatusCode.NOT_FOUND), ("late", grpc.StatusCode.INVALID_ARGUMENT)):
            try:
                await client.infer(request(model, rows, binary=True))
            except grpc.RpcError as error:
                assert error.code() == status, error
            else:
                raise AssertionError("was not refused")


asyncio.run(rest())
asyncio.run(over_grpc())
print("ok")
