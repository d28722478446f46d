"""The child that asks a user's metric: loads the declared file, computes, prints values or reasons as JSON."""

import os
import sys
from pathlib import Path

import msgspec
import numpy as np

from homeostat.evaluation.named import own_metric
from homeostat.ground.errors import HomeostatError
from homeostat.loop.own_metrics import Measured, Question
from homeostat.loop.usercode import load_function


def answer(question: Question) -> list[Measured]:
    """Value or reason for each part."""
    try:
        function = load_function(
            question.source, name=question.file_name, root=Path(question.root), function=question.function
        )
    except HomeostatError as error:
        return [(None, str(error)[:300])] * len(question.parts)
    metric = own_metric(question.function, function, greater_is_better=question.greater_is_better)
    return metric.many([(np.frombuffer(y, "<f8"), np.frombuffer(score, "<f8")) for y, score in question.parts])


def main() -> None:
    """Read the question from standard input, answer on standard output; what the file prints goes to the log."""
    out = os.dup(1)
    os.dup2(2, 1)
    found = answer(msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Question))
    with os.fdopen(out, "wb") as stream:
        stream.write(msgspec.json.encode(found))
    os._exit(0)  # taking the libraries down would cost as long as loading them


if __name__ == "__main__":
    main()
