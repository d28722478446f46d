"""Carrying imports to a server over HTTP."""

import tempfile
from pathlib import Path
from typing import IO

import msgspec
from blake3 import blake3

from homeostat.compat.importers.batch import ImportReply
from homeostat.compat.importers.intake import Batch
from homeostat.tracking.spool.http_target import HttpTarget

_CHUNK = 1 << 20
_MSGPACK = {"Content-Type": "application/msgpack"}


class RemoteSink(HttpTarget):
    """A server; what it has of a file already is not sent again."""

    def take_in(self, batch: Batch) -> ImportReply:
        answer = self._ask("POST", "/api/imports", msgspec.msgpack.encode(batch), _MSGPACK)
        return msgspec.json.decode(answer, type=ImportReply)

    def put(self, source: IO[bytes]) -> tuple[str, int]:
        with tempfile.NamedTemporaryFile() as held:
            hasher, size = blake3(), 0
            while chunk := source.read(_CHUNK):
                hasher.update(chunk)
                size += held.write(chunk)
            held.flush()
            digest = hasher.hexdigest()
            self._upload(digest, Path(held.name))
        return digest, size
