"""What a script prints, kept in a file as a terminal would show it in the end: without colours, bars redrawn once."""

import re
import sys
import threading
from pathlib import Path
from typing import Any, ClassVar, TextIO

LIMIT = 10_000_000
"""Characters of output that are kept."""
_LONGEST_LINE = 100_000
# Colours, cursor moves, titles: what a terminal obeys and does not show.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


class Console:
    """Listens to `sys.stdout` and `sys.stderr` until it is stopped; whole lines are written as they come."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._file: TextIO | None = None
        self._line = ""
        self._kept = 0
        self._is_open = True
        _Tee.listen(self)

    def hear(self, text: str) -> None:
        """Take in what was printed. Never raises: printing has to go on."""
        with self._lock:
            if not self._is_open:
                return
            *lines, self._line = (self._line + text).split("\n")
            self._line = self._line[-_LONGEST_LINE:]
            try:
                for line in lines:
                    self._keep(as_shown(line))
                if lines and self._file:
                    self._file.flush()
            except (OSError, ValueError):  # a full disk loses output, not the run
                self._is_open = False

    def stop(self) -> None:
        """Listen no longer; the last line is kept, finished or not."""
        _Tee.leave(self)
        if self._line:
            self.hear("\n")
        self.forked()

    def forked(self) -> None:
        """Let go of the file."""
        _Tee.leave(self)
        self._is_open = False
        if self._file:
            self._file.close()

    def _keep(self, line: str) -> None:
        if self._kept > LIMIT:
            return
        if self._file is None:
            self._file = self.path.open("a", encoding="utf-8", errors="replace")
        self._kept += len(line) + 1
        self._file.write(f"{line}\n" if self._kept <= LIMIT else f"[cut here: more than {LIMIT} characters]\n")


def as_shown(line: str) -> str:
    r"""What is left on the screen of a line that went back to its beginning and was written over.

    >>> as_shown("10%\r55%\r100%"), as_shown("\x1b[31mred\x1b[0m"), as_shown("abcdef\rxy")
    ('100%', 'red', 'xycdef')
    """
    shown = ""
    for part in _ESCAPES.sub("", line).split("\r"):
        shown = part + shown[len(part) :]
    return _backspaced(shown) if "\b" in shown else shown


def _backspaced(text: str) -> str:
    shown: list[str] = []
    for letter in text:
        if letter != "\b":
            shown.append(letter)
        elif shown:
            shown.pop()
    return "".join(shown)


class _Tee:
    """Stands before a stream while somebody listens; everything but writing is the stream's own."""

    _listeners: ClassVar[list[Console]] = []
    _in_place: ClassVar[dict[str, "_Tee"]] = {}

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        written: int = self.stream.write(text)
        for console in self._listeners[-1:]:  # the innermost run's
            console.hear(text)
        return written

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    @classmethod
    def listen(cls, console: Console) -> None:
        if not cls._listeners:
            for name in ("stdout", "stderr"):
                stream = getattr(sys, name)
                if stream is not None:
                    cls._in_place[name] = cls(stream)
                    setattr(sys, name, cls._in_place[name])
        cls._listeners.append(console)

    @classmethod
    def leave(cls, console: Console) -> None:
        if console not in cls._listeners:
            return
        cls._listeners.remove(console)
        if not cls._listeners:
            for name, tee in cls._in_place.items():
                if getattr(sys, name) is tee:  # somebody who has put a stream of their own before it keeps it
                    setattr(sys, name, tee.stream)
            cls._in_place.clear()
