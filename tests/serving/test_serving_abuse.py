"""A real worker under a shower of bad requests: it answers, it lives, and it does not grow."""

import contextlib
import gzip
import io
import json
import random
import socket
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import polars as pl
import psutil
import pytest
from serving_door import saved
from serving_helpers import Worker, endpoint, infer_body, route, rows
from serving_http2 import GRPC, Http2Caller

from homeostat.compat.oip import HEAD_LENGTH
from homeostat.store.database import Database

pytestmark = pytest.mark.slow

GROWTH = 100 << 20
"""Bytes by which the worker may grow; the shower claims terabytes."""
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
INFER = "/inference.GRPCInferenceService/ModelInfer"


@pytest.fixture
def worker(sqlite_database: Database, start_worker: Callable[..., Worker]) -> Iterator[Worker]:
    """A worker that must be alive and slim at the end."""
    route(sqlite_database, endpoint(1))
    started = start_worker()
    process = psutil.Process(started.process.pid)
    for _ in range(50):
        started.infer(rows())
    before = process.memory_info().rss
    yield started
    assert started.infer(rows()).status_code == 200
    assert process.memory_info().rss - before < GROWTH


def refused(reply: httpx.Response) -> None:
    assert 400 <= reply.status_code < 500, reply.text
    assert reply.json()["error"]


def written(frame: pl.DataFrame) -> bytes:
    out = io.BytesIO()
    frame.write_parquet(out)
    return out.getvalue()


def test_bodies_that_claim_to_be_huge_cost_what_they_are(worker: Worker) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    bomb = b"".join(packer.compress(b"[" * (1 << 20)) for _ in range(1_000)) + packer.flush()
    shape = {"name": "distance", "datatype": "FP64", "shape": [1 << 40, 1 << 20], "parameters": {"binary_data_size": 8}}
    head = json.dumps({"inputs": [shape]}).encode()
    claims = saved([[1.0, 2.0]]).replace(b"(1, 2)", b"(%d, 9)" % (1 << 50))
    rows_of_zeros = written(pl.DataFrame({"a": [0.0] * 3_000_000}))
    bodies: list[tuple[str, bytes, dict[str, str]]] = [
        ("/v2/models/late/infer", bomb, {"content-encoding": "gzip"}),
        ("/v2/models/late/infer", head + b"x" * 8, {HEAD_LENGTH: str(len(head))}),
        ("/invocations", claims, {"content-type": "application/x-npy"}),
        ("/invocations", rows_of_zeros, {"content-type": "application/vnd.apache.parquet"}),
        ("/invocations", b'{"inputs": ' + b"[" * 1_000_000, {}),
        ("/predict/late", b'{"inputs": {"distance": ' + b"9" * 1_000_000 + b"}}", {}),
        ("/invocations", b'"' * 1_000_000, {"content-type": "text/csv"}),
    ]
    for _ in range(15):
        for path, body, headers in bodies:
            refused(worker.client.post(path, content=body, headers=headers))


def test_large_bodies_are_let_go_once_they_are_answered(worker: Worker) -> None:
    many = infer_body(rows(5_000))
    for _ in range(60):
        assert worker.client.post("/v2/models/late/infer", content=many).status_code == 200


def test_mutated_requests_of_every_protocol(worker: Worker) -> None:
    chance = random.Random(5)
    good = [
        ("/v2/models/late/infer", "application/json", infer_body(rows(3))),
        ("/invocations", "application/json", json.dumps({"inputs": rows(3)}).encode()),
        ("/invocations", "application/vnd.apache.parquet", written(pl.DataFrame(rows(3)))),
        ("/invocations", "text/csv", b"distance,carrier,dep,paid\n1,AA,,true\n"),
        ("/predict/late", "application/json", json.dumps({"inputs": rows(3)}).encode()),
    ]
    for _ in range(1_500):
        path, kind, body = chance.choice(good)
        changed = bytearray(body)
        for _ in range(chance.choice((1, 2, 8))):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        reply = worker.client.post(path, content=bytes(changed), headers={"content-type": kind})
        assert reply.status_code < 500, (path, kind, bytes(changed), reply.text)


def test_connections_that_speak_nothing_that_is_known(worker: Worker) -> None:
    chance = random.Random(6)
    begins = [
        b"",
        PREFACE,
        b"POST /invocations HTTP/1.1\r\nhost: x\r\n",
        b"GET /v2 HTTP/1.1\r\n",
        b"\x16\x03\x01\x02\0\1",
    ]
    for _ in range(300):
        with socket.create_connection(("127.0.0.1", worker.port), timeout=5) as connection:
            connection.sendall(chance.choice(begins) + chance.randbytes(chance.randrange(400)))
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(1 << 16):
                    pass


def test_grpc_that_begins_and_never_ends(worker: Worker) -> None:
    callers = [Http2Caller(socket.create_connection(("127.0.0.1", worker.port), timeout=5)) for _ in range(20)]
    for caller in callers:
        for _ in range(100):
            number = caller.begin(INFER)
            caller.say(number, b"\0" + (15 << 20).to_bytes(4) + b"x" * 1_000)
    packed = gzip.compress(b"\0" * (200 << 20))
    with Http2Caller(socket.create_connection(("127.0.0.1", worker.port), timeout=5)) as caller:
        for _ in range(20):
            reply = caller.call("ModelInfer", packed, headers=(*GRPC, ("grpc-encoding", "gzip")), flag=1)
            assert reply.status == 8
    assert worker.infer(rows()).status_code == 200
    for caller in callers:
        caller.close()


def test_what_is_logged_of_all_this_can_be_read(worker: Worker, tmp_path: Path) -> None:
    refused(worker.client.post("/predict/late", json={"inputs": {"distance": "\x00far" * 100}}))
    rejected = [batch for batch in worker.logged() if batch.status == "rejected"]
    assert rejected[-1].detail.startswith("distance: ")
    assert len(rejected[-1].detail) <= 1_000
    assert any(tmp_path.rglob("*.wal"))
