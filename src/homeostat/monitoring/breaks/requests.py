"""Requests that are refused: a column is missing, or is sent under another name."""

import re
from collections import Counter
from collections.abc import Sequence

from homeostat.monitoring.accuracy_windows.intervals import wilson
from homeostat.monitoring.breaks.shares import Z
from homeostat.monitoring.breaks.types import REQUESTS, Break

LEAST = 20
"""Refused requests below which nobody is called."""
SHOWN = 5

_COLUMN = re.compile(r"column '([^']{1,80})'")


def schema_break(refused: int, requests: int, details: Sequence[str], *, floor: float) -> Break | None:
    """`details` are what callers were told, as far as the log has them."""
    if refused < LEAST or wilson(refused, requests, Z)[0] <= floor:
        return None
    share = refused / requests
    named = Counter(match[1] for text in details if (match := _COLUMN.search(text)))
    said = Counter(text.partition(";")[0][:200] for text in details).most_common(SHOWN)
    about = f", about {', '.join(name for name, _ in named.most_common(SHOWN))}" if named else ""
    return Break(
        check="schema",
        column=REQUESTS,
        text=f"{share:.1%} of the requests are refused{about}",
        numbers={
            "share": round(share, 4),
            "refused": refused,
            "requests": requests,
            "columns": dict(named.most_common(SHOWN)),
            "told": [f"{count} x {text}" for text, count in said],
        },
    )
