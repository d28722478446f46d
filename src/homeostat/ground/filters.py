"""The filter language of searches: MLflow's grammar and more, from text to a tree.

    metrics.loss < 0.3 and (params.depth in ('3', '4') or not tags.team = 'a')
    min(metrics.loss) < 0.1 and started > now() - 7d and name contains 'forest' and tags.note =~ '^v[0-9]'

What MLflow accepts means here what it means there. Names with spaces or dots go in backticks or double quotes. A
comparison is true or false, never unknown: `params.x != 'a'` wants a run that has x; `not params.x = 'a'` does not.
"""

import re
from collections.abc import Mapping

import msgspec

from homeostat.ground.clock import parse_duration
from homeostat.ground.errors import Invalid

_LENGTH_LIMIT = 20_000
_DEPTH_LIMIT = 50

KINDS = {
    **dict.fromkeys(("metric", "metrics"), "metrics"),
    **dict.fromkeys(("param", "params", "parameter", "parameters"), "params"),
    **dict.fromkeys(("tag", "tags"), "tags"),
    **dict.fromkeys(("attr", "attribute", "attributes", "run"), "attributes"),
    **dict.fromkeys(("dataset", "datasets"), "datasets"),
}
"""Prefix of a key, as people write it, to what it means; a key without one is an attribute."""
ASPECTS = ("last", "min", "max", "at")
_WORD_OPS = {"LIKE", "ILIKE", "CONTAINS", "MATCHES", "RLIKE", "REGEXP", "IN", "IS"}
_SAME_OP = {"==": "=", "<>": "!=", "RLIKE": "MATCHES", "REGEXP": "MATCHES", "=~": "MATCHES"}

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<string>'(?:[^']|'')*')
    | (?P<quoted>"(?:[^"]|"")*"|`(?:[^`]|``)*`)
    | (?P<duration>[-+]?\d+(?:\.\d+)?(?:us|ms|min|s|m|h|d|w)\b)
    | (?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))
    | (?P<sign>[-+](?=\s*(?:inf|\d)))
    | (?P<op><=|>=|!=|<>|==|=~|!~|=|<|>)
    | (?P<mark>[(),])
    | (?P<word>[^\W\d][\w.\-/]*)
    )""",
    re.VERBOSE,
)


class Key(msgspec.Struct, frozen=True):
    """What is compared: a metric, a param, a tag, an attribute, or a data set's field."""

    kind: str
    name: str
    aspect: str = "last"
    """Of a metric: 'last', 'min', 'max', or 'at' a step."""
    step: int | None = None
    position: int = 0

    def __str__(self) -> str:
        return self.name if self.kind == "attributes" else f"{self.kind}.{self.name}"


class Ago(msgspec.Struct, frozen=True):
    """A moment relative to now: `now() - 7d`. Microseconds, negative for the past."""

    offset: int


Value = str | float | Ago


class Compare(msgspec.Struct, frozen=True):
    """One comparison. `op`: = != < <= > >= LIKE ILIKE CONTAINS MATCHES IN, or IS (with no value: is null)."""

    key: Key
    op: str
    values: tuple[Value, ...]


class And(msgspec.Struct, frozen=True):
    """All of them."""

    parts: tuple["Node", ...]


class Or(msgspec.Struct, frozen=True):
    """Any of them."""

    parts: tuple["Node", ...]


class Not(msgspec.Struct, frozen=True):
    """Not that."""

    part: "Node"


Node = Compare | And | Or | Not


class OrderKey(msgspec.Struct, frozen=True):
    """One column of an order."""

    key: Key
    descending: bool = False


class _Token(msgspec.Struct, frozen=True):
    kind: str
    text: str
    position: int

    @property
    def word(self) -> str:
        return self.text.upper() if self.kind == "word" else self.text


def parse_filter(text: str | None, *, kinds: Mapping[str, str] = KINDS) -> Node | None:
    """The tree of a filter; None when it is empty. `kinds`: the prefixes of keys, where they are not those of runs.

    Raises:
        Invalid: saying where, what was found there, and what was expected.

    >>> parse_filter("metrics.loss < 0.5").op
    '<'
    """
    if text is None or not text.strip():
        return None
    parser = _Parser(text, field="filter", kinds=kinds)
    node = parser.any_of(0)
    parser.end()
    return node


def parse_order(text: str, *, kinds: Mapping[str, str] = KINDS) -> OrderKey:
    """One item of an order: a key, and ASC (when nothing is said) or DESC.

    >>> parse_order("metrics.loss DESC").descending
    True
    """
    parser = _Parser(text, field="order_by", kinds=kinds)
    key = parser.key()
    direction = parser.take_word("ASC", "DESC")
    parser.end()
    return OrderKey(key, descending=direction == "DESC")


class _Parser:
    """A cursor over tokens; each method takes what its name says."""

    def __init__(self, text: str, *, field: str, kinds: Mapping[str, str]) -> None:
        self._text = text
        self._kinds = kinds
        self._field = field
        if len(text) > _LENGTH_LIMIT:
            raise self._wrong(0, f"it has {len(text)} characters, more than {_LENGTH_LIMIT}", "make it shorter")
        self._tokens = self._split(text)
        self._at = 0

    def any_of(self, depth: int) -> Node:
        parts = [self._all_of(depth)]
        while self.take_word("OR"):
            parts.append(self._all_of(depth))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def end(self) -> None:
        if (token := self._peek()) is not None:
            raise self._wrong(token.position, f"{token.text!r:.60} is not expected", "join comparisons with AND or OR")

    def key(self) -> Key:
        token = self._next("a key, such as metrics.loss or params.depth")
        if token.kind == "word" and token.text.lower() in ASPECTS and self._peek_text() == "(":
            return self._aspect(token)
        if token.kind not in ("word", "quoted"):
            raise self._wrong(
                token.position, f"{token.text!r:.60} is no key", "write one like metrics.loss or params.depth"
            )
        return self._named(token)

    def take_word(self, *words: str) -> str | None:
        token = self._peek()
        if token is not None and token.kind == "word" and token.word in words:
            self._at += 1
            return token.word
        return None

    def _all_of(self, depth: int) -> Node:
        parts = [self._one(depth)]
        while self.take_word("AND"):
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _one(self, depth: int) -> Node:
        if depth > _DEPTH_LIMIT:
            raise self._wrong(0, f"it is nested more than {_DEPTH_LIMIT} deep", "make it flatter")
        if self.take_word("NOT"):
            return Not(self._one(depth + 1))
        if self._peek_text() == "(":
            self._at += 1
            node = self.any_of(depth + 1)
            self._mark(")")
            return node
        return self._comparison()

    def _comparison(self) -> Node:
        key = self.key()
        is_not = self.take_word("NOT") is not None
        token = self._next("an operator, such as =, <, LIKE or IN")
        op = _SAME_OP.get(token.word, token.word)
        if op == "!~":
            op, is_not = "MATCHES", not is_not
        if token.kind != "op" and op not in _WORD_OPS and op != "MATCHES":
            raise self._wrong(
                token.position, f"{token.text!r:.60} is no operator", "use = != < <= > >= LIKE ILIKE CONTAINS IN"
            )
        if op == "IS":
            is_not = is_not or self.take_word("NOT") is not None
            if self.take_word("NULL") is None:
                raise self._wrong(token.position, "IS takes only NULL", "write IS NULL or IS NOT NULL")
            node: Node = Compare(key, "IS", ())
        elif op == "IN":
            node = Compare(key, "IN", self._list())
        else:
            node = Compare(key, op, (self._value(),))
        return Not(node) if is_not else node

    def _aspect(self, token: _Token) -> Key:
        aspect = token.text.lower()
        self._mark("(")
        inner = self._named(self._next("a metric"))
        if inner.kind != "metrics":
            raise self._wrong(inner.position, f"{aspect}() is of a metric", f"write {aspect}(metrics.NAME)")
        step = None
        if aspect == "at":
            self._mark(",")
            number = self._next("a step")
            if not re.fullmatch(r"[-+]?\d{1,18}", number.text):
                raise self._wrong(number.position, f"{number.text!r:.60} is no step", "write at(metrics.NAME, 100)")
            step = int(number.text)
        self._mark(")")
        return Key("metrics", inner.name, aspect, step, token.position)

    def _named(self, token: _Token) -> Key:
        if token.kind == "quoted":
            return Key("attributes", _unquoted(token.text), position=token.position)
        prefix, dot, name = token.text.partition(".")
        kind = self._kinds.get(prefix.lower())
        if dot and kind is None:
            known = ", ".join(dict.fromkeys(self._kinds.values()))
            raise self._wrong(token.position, f"{prefix!r:.60} is no kind of key", f"begin with one of {known}")
        if not dot or kind is None:
            return Key("attributes", token.text, position=token.position)
        if not name or name.endswith("."):
            following = self._peek()
            if (
                following is None
                or following.kind != "quoted"
                or following.position != token.position + len(token.text)
            ):
                raise self._wrong(token.position, f"{token.text!r:.60} names nothing", f"write {token.text}NAME")
            self._at += 1
            name += _unquoted(following.text)
        return Key(kind, name, position=token.position)

    def _value(self) -> Value:
        token = self._next("a value")
        if token.kind in ("string", "quoted"):
            return _unquoted(token.text)
        if token.kind == "number":
            return float(token.text)
        if token.kind == "duration":
            return Ago(parse_duration(token.text.lstrip("+-")) * (-1 if token.text.startswith("-") else 1))
        if token.kind == "sign":
            return -self._infinity() if token.text == "-" else self._infinity()
        if token.word == "NOW":
            return self._now()
        if token.word in ("INF", "INFINITY", "NAN"):
            return float(token.text)
        raise self._wrong(token.position, f"{token.text!r:.60} is no value", "put text in quotes: 'text'")

    def _infinity(self) -> float:
        token = self._next("a number")
        if token.word not in ("INF", "INFINITY"):
            raise self._wrong(token.position, f"{token.text!r:.60} is no number", "write a number")
        return float("inf")

    def _now(self) -> Ago:
        self._mark("(")
        self._mark(")")
        token = self._peek()
        if token is None or token.kind not in ("duration", "sign"):
            return Ago(0)
        self._at += 1
        negative = token.text.startswith("-")
        if token.kind == "sign":
            token = self._next("a duration, such as 7d")
        if token.kind != "duration":
            raise self._wrong(token.position, f"{token.text!r:.60} is no duration", "write it like now() - 7d")
        length = parse_duration(token.text.lstrip("+-"))
        return Ago(-length if negative else length)

    def _list(self) -> tuple[Value, ...]:
        self._mark("(")
        values = [self._value()]
        while self._peek_text() == ",":
            self._at += 1
            values.append(self._value())
        self._mark(")")
        return tuple(values)

    def _mark(self, mark: str) -> None:
        token = self._next(repr(mark))
        if token.kind != "mark" or token.text != mark:
            raise self._wrong(token.position, f"{token.text!r:.60} stands where {mark!r} should", f"put {mark!r} there")

    def _peek(self) -> _Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _peek_text(self) -> str:
        token = self._peek()
        return token.text if token is not None and token.kind == "mark" else ""

    def _next(self, wanted: str) -> _Token:
        token = self._peek()
        if token is None:
            raise self._wrong(len(self._text), "it ends too early", f"go on with {wanted}")
        self._at += 1
        return token

    def _split(self, text: str) -> list[_Token]:
        tokens, at = [], 0
        end = len(text.rstrip())
        while at < end:
            match = _TOKEN.match(text, at)
            if match is None or match.lastgroup is None:
                found = text[at:].strip()[:20]
                raise self._wrong(at, f"{found!r} cannot be read", "close what was quoted; quote odd names")
            tokens.append(_Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
            at = match.end()
        return tokens

    def _wrong(self, position: int, what: str, mend: str) -> Invalid:
        return Invalid(
            f"{self._field} {self._text!r:.200} at character {position + 1}: {what}", field=self._field, next_step=mend
        )


def _unquoted(text: str) -> str:
    quote = text[0]
    return text[1:-1].replace(quote * 2, quote)
