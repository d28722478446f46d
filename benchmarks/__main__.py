"""Runs one suite, or all of them: `python -m benchmarks [SUITE]`."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SUITES = ("startup", "demo")
OUT = Path(__file__).parent / "out"


def main() -> None:
    """Run the suites named on the command line."""
    names = sys.argv[1:] or list(SUITES)
    for name in names:
        if name not in SUITES:
            sys.exit(f"there is no suite {name!r}; suites: {', '.join(SUITES)}")
        lines: Iterator[dict[str, Any]] = importlib.import_module(f"benchmarks.{name}").run()
        done = []
        for line in lines:
            print(json.dumps(line), flush=True)
            done.append(line)
        OUT.mkdir(exist_ok=True)
        (OUT / f"{name}.json").write_text(json.dumps(done, indent=2) + "\n")


if __name__ == "__main__":
    main()
