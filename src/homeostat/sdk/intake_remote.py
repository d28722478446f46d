"""Models that are served elsewhere, watched by a running server."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from homeostat.sdk.http import Http
from homeostat.sdk.intake import Plain, monitor_body, plain_rows
from homeostat.sdk.label_rows import content_type

Rows = str | Path | Sequence[Mapping[str, Any]]


class RemoteMonitors:
    """The methods over HTTP."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def watch(self, name: str, *, reference: Rows | None = None, **said: Any) -> Plain:
        body = monitor_body(name, said)
        if isinstance(reference, str | Path):
            query = {"monitor": msgspec.json.encode(body).decode()}
            return self._upload("/api/monitors", Path(reference), query)
        rows = {"reference": plain_rows(reference)} if reference is not None else {}
        return self._http.ask("POST", "/api/monitors", body=body | rows, timeout=300.0)  # type: ignore[no-any-return]

    def tables(self, *, model: str | None = None) -> list[Plain]:
        return self._http.ask("GET", "/api/tables", query={"model": model} if model else None)  # type: ignore[no-any-return]

    def list(self) -> list[Plain]:
        return self._http.ask("GET", "/api/monitors")  # type: ignore[no-any-return]

    def get(self, name: str) -> Plain:
        return self._http.ask("GET", f"/api/monitors/{quote(name, safe='')}")  # type: ignore[no-any-return]

    def remove(self, name: str) -> Plain:
        return self._http.ask("DELETE", f"/api/monitors/{quote(name, safe='')}")  # type: ignore[no-any-return]

    def send(self, name: str, rows: Rows, *, partial: bool = False) -> Plain:
        if isinstance(rows, str | Path):
            return self._upload("/api/predictions", Path(rows), {"model": name, "partial": partial})
        body = {"model": name, "rows": plain_rows(rows)}
        query = {"partial": partial}
        return self._http.ask("POST", "/api/predictions", query=query, body=body, timeout=300.0)  # type: ignore[no-any-return]

    def add_table(self, name: str, url: str, *, model: str, **said: Any) -> Plain:
        body = {"name": name, "url": url} | {key: value for key, value in said.items() if value is not None}
        path = f"/api/monitors/{quote(model, safe='')}/tables"
        return self._http.ask("POST", path, body=body)  # type: ignore[no-any-return]

    def remove_table(self, name: str) -> Plain:
        return self._http.ask("DELETE", f"/api/tables/{quote(name, safe='')}")  # type: ignore[no-any-return]

    def read_table(self, name: str) -> Plain:
        path = f"/api/tables/{quote(name, safe='')}/read"
        return self._http.ask("POST", path, body={}, timeout=900.0)  # type: ignore[no-any-return]

    def _upload(self, path: str, source: Path, query: Mapping[str, Any]) -> Plain:
        return self._http.upload(path, source, query=query, kind=content_type(source))  # type: ignore[no-any-return]
