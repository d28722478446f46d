"""What an MLflow server says of itself, and where its old pages' links lead."""

from typing import Any

import msgspec

from homeostat.compat.mlflow.wire import Context, Raw, Route

VERSION = "3.17.2"
"""The MLflow whose protocol this is. Clients compare it with their own to decide what they may call (traces v3 need
3.x), so it is MLflow's version and not ours."""


class Nothing(msgspec.Struct):
    """A request that says nothing."""


def health(_context: Context, _body: Nothing) -> Raw:
    """For load balancers."""
    return Raw(b"OK", "text/plain; charset=utf-8")


def version(_context: Context, _body: Nothing) -> Raw:
    """For clients that compare it with their own."""
    return Raw(VERSION.encode(), "text/plain; charset=utf-8")


def server_info(_context: Context, _body: Nothing) -> dict[str, Any]:
    """What clients may use beyond the basics."""
    return {
        "store_type": "SqlStore",
        "workspaces_enabled": False,
        "trace_archival_enabled": False,
        "multipart_uploads_enabled": False,
        "multipart_downloads_enabled": False,
        "presigned_upload_run_id_supported": False,
        "presigned_upload_model_id_supported": False,
        "features_enabled": {"gateway": False},
    }


def to_page(_context: Context, _body: Nothing) -> Raw:
    """From an old page's address to ours."""
    # MLflow's links hold their place in the fragment, which browsers keep over a redirect; our page reads it there.
    return Raw(b"", "text/plain", 302, (("location", "/"),))


_OLD_PAGES = ("/experiments", "/experiments/{artifact_path}", "/models", "/models/{artifact_path}")

ROUTES = [
    Route(("GET",), "/health", Nothing, health, "read"),
    Route(("GET",), "/version", Nothing, version, "read"),
    Route(("GET",), "/mlflow/server-info", Nothing, server_info, "read", version="3.0"),
    *(Route(("GET",), path, Nothing, to_page, "read") for path in _OLD_PAGES),
]
