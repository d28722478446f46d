"""A home as the target of its own runs."""

from homeostat.ground.clock import SystemClock
from homeostat.ground.settings import Settings
from homeostat.store.blobs import BlobStore
from homeostat.store.database import open_database
from homeostat.store.migrate import upgrade
from homeostat.tracking.spool.catalogue_target import CatalogueTarget


def open_home(settings: Settings) -> CatalogueTarget:
    """Open the catalogue and the blobs of a home."""
    database = open_database(settings.database_url)
    upgrade(database)
    return CatalogueTarget(database, BlobStore(settings.blobs_url), clock=SystemClock(), owns_database=True)
