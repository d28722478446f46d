"""Published contract checks, imported by tests and plugins only.

Each function yields pairs of a name and a check; a check takes the thing under test and raises AssertionError when the
contract does not hold:

    for name, check in check_blobs():
        check("s3://bucket/folder")
"""

from homeostat.testing.blobs import check_blobs
from homeostat.testing.database import check_database
from homeostat.testing.events import check_events
from homeostat.testing.outbox import check_outbox

__all__ = ["check_blobs", "check_database", "check_events", "check_outbox"]
