"""A process that stores a blob, appends an event that names it, and only then says so; a test kills it at any moment.

python killed_writer.py DATABASE_URL BLOBS_URL
"""

import random
import sys

from homeostat.store.blobs import BlobStore
from homeostat.store.database import open_database
from homeostat.store.events import append_event


def main() -> None:
    database, blobs = open_database(sys.argv[1]), BlobStore(sys.argv[2])
    while True:
        digest = blobs.put(random.randbytes(random.randrange(1, 1 << 19)))
        with database.write() as conn:
            append_event(conn, "blob.stored", subject=digest, at=0, actor="killed_writer")
        sys.stdout.write(digest + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
