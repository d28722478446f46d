"""The child that looks at a version: loads its package, asks it a row or two, prints what it takes and gives.

A model's own reader runs here, and with it whatever a crafted file makes of it; the parent only reads one line.
"""

import os
import sys

import msgspec

from homeostat.ground.errors import HomeostatError
from homeostat.ground.records import Signature
from homeostat.loop.inspection import Question
from homeostat.loop.served import looked_at
from homeostat.registry.keys import trusted
from homeostat.registry.versions import get_version
from homeostat.store.blobs import BlobStore
from homeostat.store.database import open_database


def look(question: Question) -> Signature:
    """The version's signature; one with an obstacle when it cannot be loaded, or cannot answer."""
    database = open_database(question.settings.database_url)
    try:
        with database.read() as conn:
            version = get_version(conn, question.model, question.version)
    finally:
        database.close()
    try:
        return looked_at(BlobStore(question.settings.blobs_url), version, trusted(question.settings))
    except HomeostatError as error:
        return msgspec.structs.replace(version.signature, task="", obstacle=str(error))


def main() -> None:
    """Read the question from standard input, answer on standard output; what the model prints goes to the log."""
    answer = os.dup(1)
    os.dup2(2, 1)
    signature = look(msgspec.json.decode(sys.stdin.buffer.read(), type=Question))
    os.write(answer, msgspec.json.encode(signature))
    os._exit(0)  # taking the libraries down would cost as long as a small model's loading


if __name__ == "__main__":
    main()
