"""What `homeostat up` does with the spools in its own home: runs that were killed, or ended while nobody listened."""

from pathlib import Path

from homeostat.ground.clock import Clock
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database
from homeostat.tracking.spool.catalogue_target import CatalogueTarget
from homeostat.tracking.spool.leftovers import Shipped, ship_leftovers


def take_in_leftovers(
    home: Path, database: Database, blobs: BlobStore, clock: Clock, *, url: str = ""
) -> list[Shipped]:
    """Take in the spools that were meant for this home, or for the server at `url`, which is its own."""
    return ship_leftovers(
        home,
        lambda _: CatalogueTarget(database, blobs, clock=clock),
        accepts=lambda header: header.target.rstrip("/") in ("", url.rstrip("/")),
    )
