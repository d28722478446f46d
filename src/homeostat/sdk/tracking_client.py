"""Reading and tidying what was tracked: the same methods on a home and over HTTP.

Each method names its verb by route; a home answers it in this process, a server over HTTP.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import quote

import msgspec

from homeostat.server.tracking import Tracking
from homeostat.server.tracking_bodies import CompareBody, CountBody, HistoriesBody, ProjectPatch, SearchBody

Plain = dict[str, Any]
Texts = Mapping[str, str]
View = Literal["active", "deleted", "all"]
Kind = Literal["params", "metrics", "tags"]


class TrackingClient(Protocol):
    """`hs.connect(...).tracking`: search, histories, comparison, the trash, files, archives."""

    def search(
        self,
        filter: str = "",  # noqa: A002  what everybody calls it
        *,
        projects: Sequence[str] = (),
        order_by: Sequence[str] = (),
        view: View = "active",
        limit: int = 100,
        page_token: str | None = None,
        params: Sequence[str] | None = None,
        metrics: Sequence[str] | None = None,
        tags: Sequence[str] | None = None,
    ) -> Plain:
        """`{"runs": [...], "next_page_token": ...}`; no projects: all, no columns: all."""
        ...

    def count(self, filter: str = "", *, projects: Sequence[str] = (), view: View = "active") -> int:  # noqa: A002
        """How many runs a filter lets through."""
        ...

    def history(self, run_id: str, key: str, *, points: int | None = None, x: str = "step") -> Plain:
        """A series, thinned out to `points`, along `step`, `time` or another metric."""
        ...

    def histories(self, runs: Sequence[str], key: str, *, points: int = 1000, x: str = "step") -> list[Plain]:
        """One metric of several runs."""
        ...

    def compare(self, runs: Sequence[str]) -> Plain:
        """Params, metrics, code, environment and data of some runs beside each other."""
        ...

    def projects(self, *, view: View = "active") -> list[Plain]: ...

    def change_project(
        self, project_id: int, *, name: str | None = None, tags: Mapping[str, str] | None = None
    ) -> Plain:
        """Rename a project, set its tags, or both."""
        ...

    def delete_project(self, project_id: int) -> Plain:
        """Into the trash, with its runs; the name is free at once."""
        ...

    def restore_project(self, project_id: int) -> Plain: ...

    def delete_run(self, run_id: str) -> Plain:
        """Into the trash."""
        ...

    def restore_run(self, run_id: str) -> Plain: ...

    def keys(self, project: str, kind: Kind, *, containing: str = "") -> list[str]:
        """The names of a project's params, metrics or tags."""
        ...

    def folder(self, run_id: str, path: str = "") -> list[Plain]:
        """The files and folders directly in a folder of a run."""
        ...

    def file(self, run_id: str, path: str) -> bytes:
        """A file of a run."""
        ...

    def gc(self, *, older_than: str = "30d", dry_run: bool = True) -> Plain:
        """Empty the trash of what is older, then remove bytes that nothing names; a dry run only counts."""
        ...

    def export_project(self, name: str, target: Path) -> Plain:
        """Write a whole project into one file."""
        ...

    def import_archive(self, source: Path, *, project: str | None = None) -> Plain:
        """Take in a project's file."""
        ...


class EmbeddedTracking:
    """The methods on a home that is opened in this process."""

    def __init__(self, tracking: Tracking) -> None:
        self._verbs = tracking

    def search(self, filter: str = "", **options: Any) -> Plain:  # noqa: A002
        return self._verbs.search(_search_body(filter, options))

    def count(self, filter: str = "", *, projects: Sequence[str] = (), view: View = "active") -> int:  # noqa: A002
        return int(self._verbs.count(CountBody(list(projects), filter, view))["count"])

    def history(self, run_id: str, key: str, *, points: int | None = None, x: str = "step") -> Plain:
        return self._verbs.history(run_id, key, points=points, x=x)

    def histories(self, runs: Sequence[str], key: str, *, points: int = 1000, x: str = "step") -> list[Plain]:
        return self._verbs.histories(HistoriesBody(list(runs), key, points, x))

    def compare(self, runs: Sequence[str]) -> Plain:
        return self._verbs.compare(runs)

    def projects(self, *, view: View = "active") -> list[Plain]:
        return self._verbs.projects(view)

    def change_project(
        self, project_id: int, *, name: str | None = None, tags: Mapping[str, str] | None = None
    ) -> Plain:
        return self._verbs.change_project(project_id, ProjectPatch(name, dict(tags or {})))

    def delete_project(self, project_id: int) -> Plain:
        return self._verbs.delete_project(project_id)

    def restore_project(self, project_id: int) -> Plain:
        return self._verbs.restore_project(project_id)

    def delete_run(self, run_id: str) -> Plain:
        return self._verbs.delete_run(run_id)

    def restore_run(self, run_id: str) -> Plain:
        return self._verbs.restore_run(run_id)

    def keys(self, project: str, kind: Kind, *, containing: str = "") -> list[str]:
        return self._verbs.keys(project, kind, containing)

    def folder(self, run_id: str, path: str = "") -> list[Plain]:
        return self._verbs.folder(run_id, path)

    def file(self, run_id: str, path: str) -> bytes:
        return self._verbs.file(run_id, path)

    def gc(self, *, older_than: str = "30d", dry_run: bool = True) -> Plain:
        return self._verbs.collect(older_than=older_than, dry_run=dry_run)

    def export_project(self, name: str, target: Path) -> Plain:
        return self._verbs.export_project(name, target)

    def import_archive(self, source: Path, *, project: str | None = None) -> Plain:
        return self._verbs.import_archive(source, project)


class Http(Protocol):
    """What the client of a server lends: one JSON request, one answer of bytes, one upload of a file."""

    def ask(self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Any = None) -> Any: ...

    def download(self, path: str, target: Path) -> None: ...

    def fetch(self, path: str) -> bytes: ...

    def upload(self, path: str, source: Path, *, query: Mapping[str, Any]) -> Any: ...


class RemoteTracking:
    """The methods over HTTP."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def search(self, filter: str = "", **options: Any) -> Plain:  # noqa: A002
        found: Plain = self._http.ask("POST", "/api/runs/search", body=_search_body(filter, options))
        return found

    def count(self, filter: str = "", *, projects: Sequence[str] = (), view: View = "active") -> int:  # noqa: A002
        return int(self._http.ask("POST", "/api/runs/count", body=CountBody(list(projects), filter, view))["count"])

    def history(self, run_id: str, key: str, *, points: int | None = None, x: str = "step") -> Plain:
        query = {"x": x} | ({} if points is None else {"points": points})
        found: Plain = self._http.ask("GET", f"/api/runs/{run_id}/metrics/{quote(key)}", query=query)
        return found

    def histories(self, runs: Sequence[str], key: str, *, points: int = 1000, x: str = "step") -> list[Plain]:
        body = HistoriesBody(list(runs), key, points, x)
        found: list[Plain] = self._http.ask("POST", "/api/runs/histories", body=body)
        return found

    def compare(self, runs: Sequence[str]) -> Plain:
        found: Plain = self._http.ask("POST", "/api/runs/compare", body=CompareBody(list(runs)))
        return found

    def projects(self, *, view: View = "active") -> list[Plain]:
        found: list[Plain] = self._http.ask("GET", "/api/projects", query={"view": view})
        return found

    def change_project(
        self, project_id: int, *, name: str | None = None, tags: Mapping[str, str] | None = None
    ) -> Plain:
        body = ProjectPatch(name, dict(tags or {}))
        changed: Plain = self._http.ask("PATCH", f"/api/projects/{project_id}", body=body)
        return changed

    def delete_project(self, project_id: int) -> Plain:
        deleted: Plain = self._http.ask("DELETE", f"/api/projects/{project_id}")
        return deleted

    def restore_project(self, project_id: int) -> Plain:
        restored: Plain = self._http.ask("POST", f"/api/projects/{project_id}/restore")
        return restored

    def delete_run(self, run_id: str) -> Plain:
        deleted: Plain = self._http.ask("DELETE", f"/api/runs/{run_id}")
        return deleted

    def restore_run(self, run_id: str) -> Plain:
        restored: Plain = self._http.ask("POST", f"/api/runs/{run_id}/restore")
        return restored

    def keys(self, project: str, kind: Kind, *, containing: str = "") -> list[str]:
        query = {"project": project, "containing": containing}
        found: list[str] = self._http.ask("GET", f"/api/keys/{kind}", query=query)
        return found

    def folder(self, run_id: str, path: str = "") -> list[Plain]:
        found: list[Plain] = self._http.ask("GET", f"/api/runs/{run_id}/artifacts", query={"path": path})
        return found

    def file(self, run_id: str, path: str) -> bytes:
        return self._http.fetch(f"/api/runs/{run_id}/artifacts/{quote(path)}")

    def gc(self, *, older_than: str = "30d", dry_run: bool = True) -> Plain:
        query = {"older_than": older_than, "dry_run": dry_run}
        collected: Plain = self._http.ask("POST", "/api/gc", query=query)
        return collected

    def export_project(self, name: str, target: Path) -> Plain:
        self._http.download(f"/api/archives/{quote(name, safe='')}", target)
        return {"project": name, "bytes": target.stat().st_size}

    def import_archive(self, source: Path, *, project: str | None = None) -> Plain:
        query = {} if project is None else {"project": project}
        taken: Plain = self._http.upload("/api/archives", source, query=query)
        return taken


def _search_body(text: str, options: Mapping[str, Any]) -> SearchBody:
    return msgspec.convert({"filter": text, **options}, SearchBody)
