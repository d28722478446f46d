"""Asks over gRPC as fast as it is answered, run by the Python that has Triton's client.

`python grpc_client.py HOST:PORT MODEL ROWS CONNECTIONS SECONDS`. One request at a time on each connection, its bytes
made beforehand; what was answered is one JSON line. This client is far slower than a good server: what counts of a
window is the server's processor time.
"""

import asyncio
import json
import sys
import time
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import InferInput, service_pb2

METHOD = "/inference.GRPCInferenceService/ModelInfer"


def request(model: str, rows: Any) -> bytes:
    """One tensor as raw contents, which is how Triton's client sends it."""
    tensor = InferInput("x", list(rows.shape), "FP64")
    tensor.set_data_from_numpy(rows)
    made = service_pb2.ModelInferRequest(model_name=model, inputs=[tensor._get_tensor()])  # noqa: SLF001  it has no other way
    made.raw_input_contents.append(tensor._get_content())  # noqa: SLF001  likewise
    return made.SerializeToString()


async def press(target: str, body: bytes, connections: int, seconds: float) -> dict[str, float]:
    """Answers and seconds."""
    took: list[float] = []
    begun = time.perf_counter()

    async def ask() -> bytes:
        async with grpc.aio.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            call = channel.unary_unary(METHOD)
            while (at := time.perf_counter()) < begun + seconds:
                answer = await call(body)
                took.append(time.perf_counter() - at)
            return bytes(answer)

    answers = await asyncio.gather(*(ask() for _ in range(connections)))
    seconds = time.perf_counter() - begun
    p50, p99 = np.percentile(took, [50, 99]) * 1000
    return {"answers": len(took), "seconds": seconds, "p50_ms": p50, "p99_ms": p99, "said": said(answers[0])}


def said(answer: bytes) -> list[float]:
    """The last column of the first output, whether it came raw or typed."""
    reply = service_pb2.ModelInferResponse.FromString(answer)
    output = reply.outputs[0]
    raw = reply.raw_output_contents
    data = np.frombuffer(raw[0], "<f8") if raw else np.array(output.contents.fp64_contents)
    return data.reshape(output.shape[0], -1)[:, -1].tolist()


if __name__ == "__main__":
    target, model, count, connections, seconds = sys.argv[1:]
    rows = np.random.default_rng(21).normal(size=(int(count), 20))  # models.asked_rows, which this Python cannot import
    print(json.dumps(asyncio.run(press(target, request(model, rows), int(connections), float(seconds)))))
