"""Errors to answers: the one place where the control plane decides on a status and a body."""

import sys
import traceback
from typing import Any

import msgspec
from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException, ValidationException

from homeostat.ground.errors import HomeostatError, http_status


def answer_ours(_request: Request[Any, Any, Any], error: HomeostatError) -> Response[dict[str, Any]]:
    """Our own errors carry code, field and next step."""
    return Response(error.as_dict(), status_code=http_status(error), media_type=MediaType.JSON)


def answer_validation(_request: Request[Any, Any, Any], error: ValidationException) -> Response[dict[str, Any]]:
    """A body or query that does not fit its struct: the message names the field."""
    details = error.extra if isinstance(error.extra, list) else []
    first = details[0] if details and isinstance(details[0], dict) else {}
    field = str(first.get("key", ""))
    text = str(first.get("message", error.detail))
    body = {"error": f"{field}: {text}" if field else text, "code": "invalid", "field": field}
    return Response({key: value for key, value in body.items() if value}, status_code=400, media_type=MediaType.JSON)


def answer_http(_request: Request[Any, Any, Any], error: HTTPException) -> Response[dict[str, Any]]:
    """Unknown routes, wrong methods, malformed JSON, bodies over the limit."""
    codes = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}
    body = {"error": error.detail, "code": codes.get(error.status_code, "invalid")}
    return Response(body, status_code=error.status_code, media_type=MediaType.JSON)


def answer_decoding(_request: Request[Any, Any, Any], error: msgspec.DecodeError) -> Response[dict[str, Any]]:
    """A body that is no JSON."""
    return Response({"error": str(error), "code": "invalid"}, status_code=400, media_type=MediaType.JSON)


def answer_recursion(_request: Request[Any, Any, Any], _error: RecursionError) -> Response[dict[str, Any]]:
    """A body that nests beyond what any decoder follows."""
    body = {"error": "the body nests too deep; send flatter data", "code": "invalid", "field": "body"}
    return Response(body, status_code=400, media_type=MediaType.JSON)


def answer_unknown(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    """A fault of ours: the traceback goes to our log, not to the caller."""
    text = "".join(traceback.format_exception(error))
    sys.stderr.write(f"{request.method} {request.url.path}: {text}")
    body = {"error": f"internal error: {type(error).__name__}; see the server's log", "code": "error"}
    return Response(body, status_code=500, media_type=MediaType.JSON)
