"""What our client's sender does, without the client: stretches of a spool to `POST /api/ingest`."""

from collections.abc import Iterable, Sequence

import msgspec

from benchmarks.tracking.wire import Wire
from homeostat.ground.ids import new_id
from homeostat.tracking.ingest import IngestBatch, Op


def ingest(wire: Wire, stretches: Iterable[Sequence[Op]]) -> None:
    """Send operations, a request a stretch; a refused one is an error."""
    spool, position = new_id(), 0
    for ops in stretches:
        batch = IngestBatch(spool, position, position + len(ops), list(ops))
        body = msgspec.msgpack.encode(batch)
        reply = msgspec.json.decode(wire.send("POST", "/api/ingest", body, content_type="application/msgpack"))
        if reply.get("rejected"):
            raise RuntimeError(f"refused: {reply['rejected'][:3]}")
        position = batch.end
