"""Our errors as MLflow's: the one place that decides on error code, status and envelope.

Messages are written by hand or are our own errors'; text of a database, a path or a traceback never gets here.
"""

import errno
import sys
import traceback

import msgspec
import sqlalchemy as sa

from homeostat.ground.errors import (
    Conflict,
    Corrupt,
    Denied,
    HomeostatError,
    Invalid,
    NotFound,
    Refused,
    TimedOut,
    TooLarge,
    Unauthenticated,
    Unavailable,
)

STATUS = {
    "RESOURCE_DOES_NOT_EXIST": 404,
    "RESOURCE_ALREADY_EXISTS": 400,
    "INVALID_PARAMETER_VALUE": 400,
    "BAD_REQUEST": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "ENDPOINT_NOT_FOUND": 404,
    "NOT_FOUND": 404,
    "TEMPORARILY_UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
    "DATA_LOSS": 500,
    "INTERNAL_ERROR": 500,
    "NOT_IMPLEMENTED": 501,
}
_CODES: dict[type[HomeostatError], str] = {
    Invalid: "INVALID_PARAMETER_VALUE",
    NotFound: "RESOURCE_DOES_NOT_EXIST",
    Unauthenticated: "UNAUTHENTICATED",
    Denied: "PERMISSION_DENIED",
    Refused: "PERMISSION_DENIED",  # not INVALID_STATE: its status 500 makes MLflow's client try again for minutes
    TooLarge: "INVALID_PARAMETER_VALUE",
    Unavailable: "TEMPORARILY_UNAVAILABLE",
    TimedOut: "DEADLINE_EXCEEDED",
    Corrupt: "DATA_LOSS",
}
_CLASSES = {"RESOURCE_DOES_NOT_EXIST": "RESOURCE_NOT_FOUND"}
_DISK_FULL = ("database or disk is full", "No space left on device", "could not extend file")


class WireError(HomeostatError):
    """An error that MLflow has its own code for, where none of our classes says as much."""

    code = "mlflow"

    def __init__(self, error_code: str, message: str, *, field: str = "", status: int | None = None) -> None:
        super().__init__(message, field=field)
        self.error_code = error_code
        self.status = status


class Failure(msgspec.Struct, frozen=True):
    """A status and MLflow's envelope."""

    status: int
    error_code: str
    message: str

    def body(self) -> bytes:
        error_class = _CLASSES.get(self.error_code, self.error_code)
        message = self.message.encode("utf-8", "backslashreplace").decode()  # it may quote half a character
        envelope = {"error_code": self.error_code, "message": message, "sqlstate": "KAM00"}
        return msgspec.json.encode(envelope | {"error_class": error_class})


def failure_of(error: BaseException, *, conflict: str, where: str) -> Failure:
    """What a client hears of an error; `where` is for our log."""
    if isinstance(error, WireError):
        return Failure(error.status or STATUS[error.error_code], error.error_code, str(error))
    if isinstance(error, Conflict):
        return Failure(STATUS[conflict], conflict, str(error))
    if isinstance(error, HomeostatError):
        code = next((_CODES[kind] for kind in type(error).__mro__ if kind in _CODES), "INTERNAL_ERROR")
        return Failure(STATUS[code], code, str(error))
    if _says_disk_full(error):
        return Failure(503, "TEMPORARILY_UNAVAILABLE", "the server's disk is full; free some space and try again")
    if isinstance(error, sa.exc.StatementError) and isinstance(error.orig, UnicodeError | OverflowError):
        error = error.orig  # it never reached the database
    if isinstance(error, UnicodeError | sa.exc.DataError):
        return Failure(400, "INVALID_PARAMETER_VALUE", "a text holds NUL or half a character; send plain Unicode")
    if isinstance(error, OverflowError):
        return Failure(400, "INVALID_PARAMETER_VALUE", "a number is beyond 64 bits; send a smaller one")
    sys.stderr.write(f"{where}: {''.join(traceback.format_exception(error))}")
    if isinstance(error, sa.exc.OperationalError):
        return Failure(503, "TEMPORARILY_UNAVAILABLE", "the server's database cannot be reached now; try again")
    return Failure(500, "INTERNAL_ERROR", "internal error; see the server's log")


def _says_disk_full(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno == errno.ENOSPC
    return isinstance(error, sa.exc.DBAPIError) and any(text in str(error.orig) for text in _DISK_FULL)
