"""The bare echo: our HTTP server, an Open Inference body parsed into a typed struct, a fixed reply encoded.

No model, no log, no metrics, no routing: what is left is what any server on this stack pays. `python echo.py PORT`.
"""

import asyncio
import sys

import msgspec
import uvloop

from homeostat.serving.http import HttpRequest, HttpServer, Respond

_JSON = [("content-type", "application/json")]


class Tensor(msgspec.Struct):
    """An input."""

    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class Body(msgspec.Struct):
    """A request."""

    inputs: list[Tensor]
    id: str = ""


_decode = msgspec.json.Decoder(Body).decode
_encode = msgspec.json.Encoder().encode


def echo(request: HttpRequest, respond: Respond) -> None:
    """One number a row, as many rows as came."""
    if request.method != "POST":
        respond(200, _JSON, b"{}")
        return
    rows = _decode(request.body).inputs[0].shape[0]
    output = {"name": "score", "datatype": "FP64", "shape": [rows], "data": [0.5] * rows}
    respond(200, _JSON, _encode({"model_name": "echo", "model_version": "1", "outputs": [output]}))


async def serve(port: int) -> None:
    """Answer until the process is ended."""
    server = HttpServer(echo, max_body=16 << 20)
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", port, backlog=1024)
    await listening.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
