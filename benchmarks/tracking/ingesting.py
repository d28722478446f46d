"""What our client's sender does, without the client: stretches of a spool to `POST /api/ingest`."""

from collections.abc import Iterable, Sequence
from contextlib import closing

from homeostat.ground.ids import new_id
from homeostat.tracking.ops import IngestBatch, Op
from homeostat.tracking.spool.http_target import HttpTarget


def ingest(url: str, stretches: Iterable[Sequence[Op]]) -> None:
    """Send operations, a request a stretch; a refused one is an error."""
    spool, position = new_id(), 0
    with closing(HttpTarget(url)) as target:
        for ops in stretches:
            reply = target.ship(IngestBatch(spool, position, position + len(ops), list(ops)))
            if reply.rejected:
                raise RuntimeError(f"refused: {reply.rejected[:3]}")
            position = reply.position
