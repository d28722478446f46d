"""The child that recomputes served vectors: the declared on-demand functions run here, and nowhere in the server."""

import os
import sys

import msgspec

from homeostat.ground.errors import HomeostatError
from homeostat.loop.parity import check_logged_vectors
from homeostat.loop.parity_watch import Answer, Question
from homeostat.serving.log import FOLDER
from homeostat.store.blobs import BlobStore
from homeostat.store.database import open_database


def answer(question: Question) -> Answer:
    """The report, or what went wrong in words."""
    settings = question.settings
    database = open_database(settings.database_url)
    try:
        report = check_logged_vectors(
            database,
            BlobStore(settings.blobs_url),
            settings.home_path / FOLDER,
            question.model,
            sample=question.sample,
            start=question.start,
            end=question.end,
        )
    except HomeostatError as error:
        return Answer(error=str(error)[:500])
    finally:
        database.close()
    return Answer(report=report)


def main() -> None:
    """Read the question from standard input, answer on standard output; what the file prints goes to the log."""
    out = os.dup(1)
    os.dup2(2, 1)
    found = answer(msgspec.json.decode(sys.stdin.buffer.read(), type=Question))
    with os.fdopen(out, "wb") as stream:
        stream.write(msgspec.json.encode(found))
    os._exit(0)  # taking the libraries down would cost as long as loading them


if __name__ == "__main__":
    main()
