"""Runs one suite, or all of them: `python -m benchmarks [SUITE[:CASE,CASE]]`."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SUITES = ("startup", "demo", "tracking", "scorers", "serving", "monitoring")
OUT = Path(__file__).parent / "out"


def main() -> None:
    """Run the suites named on the command line."""
    for asked in sys.argv[1:] or SUITES:
        name, _, cases = asked.partition(":")
        if name not in SUITES:
            sys.exit(f"there is no suite {name!r}; suites: {', '.join(SUITES)}")
        suite = importlib.import_module(f"benchmarks.{name}")
        chosen = cases.split(",") if cases else []
        if unknown := [case for case in chosen if case not in getattr(suite, "CASES", ())]:
            known = ", ".join(getattr(suite, "CASES", ())) or "none"
            sys.exit(f"suite {name!r} has no case {unknown[0]!r}; cases: {known}")
        lines: Iterator[dict[str, Any]] = suite.run(*chosen)
        done = []
        for line in lines:
            print(json.dumps(line), flush=True)
            done.append(line)
        OUT.mkdir(exist_ok=True)
        (OUT / f"{asked.replace(':', '-').replace(',', '-')}.json").write_text(json.dumps(done, indent=2) + "\n")


if __name__ == "__main__":
    main()
