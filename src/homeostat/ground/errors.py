"""Every error a user can meet.

HomeostatError
├── Invalid         what was given is wrong            (field names it)
├── NotFound        there is no such thing
├── Conflict        it is there already, or moved meanwhile
├── Denied          not allowed
├── Refused         a rule says no: a gate, a leak, an unsafe format
├── TooLarge        over a stated limit
├── Unavailable     try again later
├── TimedOut        did not end within its limit
├── MissingExtra    an optional dependency is not installed
├── Corrupt         stored bytes are not what was stored
└── UserCodeFailed  the declared function raised, hung or was killed

A negative result (a failed gate, no drift) is a value, not an error.
"""

from typing import Any, ClassVar


class HomeostatError(Exception):
    """What went wrong, what it is about, and what to do next."""

    code: ClassVar[str] = "error"

    def __init__(self, message: str, *, field: str = "", next_step: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.message}; {self.next_step}" if self.next_step else self.message

    def as_dict(self) -> dict[str, Any]:
        """The body every interface shows: `{"error": text, "code": ..., "field": ..., "next_step": ...}`."""
        body = {"error": str(self), "code": self.code, "field": self.field, "next_step": self.next_step}
        return {key: value for key, value in body.items() if value}


class Invalid(HomeostatError):
    """What was given is wrong; `field` names the part."""

    code = "invalid"


class NotFound(HomeostatError):
    """There is no such thing."""

    code = "not_found"


class Conflict(HomeostatError):
    """It exists already, or somebody moved it meanwhile."""

    code = "conflict"


class Denied(HomeostatError):
    """Not allowed."""

    code = "denied"


class Unauthenticated(Denied):
    """No token was sent, or one that does not hold."""

    code = "unauthenticated"


class Refused(HomeostatError):
    """A rule says no: a leak, a cycle, a format that could run code."""

    code = "refused"


class TooLarge(HomeostatError):
    """Over a stated limit."""

    code = "too_large"


class Unavailable(HomeostatError):
    """Not now; the same call may succeed later."""

    code = "unavailable"


class TimedOut(HomeostatError):
    """Did not end within its limit."""

    code = "timed_out"


class MissingExtra(HomeostatError):
    """An optional dependency is not installed; the message holds the install line."""

    code = "missing_extra"


class Corrupt(HomeostatError):
    """Stored bytes are not what was stored."""

    code = "corrupt"


class UserCodeFailed(HomeostatError):
    """The declared function raised, hung past its limit, or was killed."""

    code = "user_code_failed"


HTTP_STATUS: dict[type[HomeostatError], int] = {
    Invalid: 400,
    Unauthenticated: 401,
    Denied: 403,
    NotFound: 404,
    Conflict: 409,
    TooLarge: 413,
    Refused: 422,
    MissingExtra: 500,
    Corrupt: 500,
    UserCodeFailed: 500,
    Unavailable: 503,
    TimedOut: 504,
}

EXIT_CODE: dict[type[HomeostatError], int] = {
    Refused: 1,
    UserCodeFailed: 1,
    Corrupt: 1,
    Invalid: 2,
    NotFound: 2,
    Conflict: 2,
    Denied: 2,
    TooLarge: 2,
    MissingExtra: 2,
    Unavailable: 3,
    TimedOut: 3,
}


def http_status(error: HomeostatError) -> int:
    """The one place where an error becomes an HTTP status."""
    return next((HTTP_STATUS[kind] for kind in type(error).__mro__ if kind in HTTP_STATUS), 500)


def exit_code(error: HomeostatError) -> int:
    """The one place where an error becomes an exit code: 1 a rule said no, 2 wrong use, 3 try again later."""
    return next((EXIT_CODE[kind] for kind in type(error).__mro__ if kind in EXIT_CODE), 1)
