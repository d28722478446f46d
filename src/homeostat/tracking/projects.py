"""Projects: making, finding, renaming, their tags, and the trash."""

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Conflict, NotFound
from homeostat.store.dialect import upsert
from homeostat.store.events import append_event
from homeostat.tracking import store
from homeostat.tracking.types import Project, View
from homeostat.tracking.values import check_key, check_project_name, storable

_COLUMNS = [store.projects.c[name] for name in ("id", "name", "created", "updated", "deleted")]


def create_project(conn: Connection, name: str, *, at: int, actor: str) -> Project:
    """Make a project.

    Raises:
        Invalid: when the name is empty, too long or has control characters.
        Conflict: when a project that is not in the trash has this name.
    """
    check_project_name(name)
    if find_by_name(conn, name) is not None:
        raise Conflict(f"project {name!r:.80} is there already", field="name", next_step="use it, or another name")
    return _insert(conn, name, at=at, actor=actor)


def project_named(conn: Connection, name: str, *, at: int, actor: str) -> Project:
    """The project of this name, made on first use."""
    return find_by_name(conn, check_project_name(name)) or _insert(conn, name, at=at, actor=actor)


def get_project(conn: Connection, project_id: int) -> Project:
    """A project by number, whichever side of the trash it is on.

    Raises:
        NotFound: when there is none.
    """
    row = conn.execute(sa.select(*_COLUMNS).where(store.projects.c.id == project_id)).mappings().first()
    if row is None:
        raise NotFound(
            f"there is no project with id {project_id}",
            field="project",
            next_step="list them with: homeostat project ls",
        )
    return _with_tags(conn, Project(**row))


def named(conn: Connection, name: str) -> Project:
    """The project that has this name now.

    Raises:
        NotFound: when none has.
    """
    project = find_by_name(conn, name)
    if project is None:
        raise NotFound(
            f"there is no project {name!r:.80}", field="project", next_step="list them with: homeostat project ls"
        )
    return project


def find_by_name(conn: Connection, name: str) -> Project | None:
    """The project that has this name now; those in the trash have given theirs up."""
    table = store.projects
    query = sa.select(*_COLUMNS).where(table.c.name == name, table.c.deleted.is_(None))
    row = conn.execute(query).mappings().first()
    return None if row is None else _with_tags(conn, Project(**row))


def list_projects(conn: Connection, *, view: View = "active") -> list[Project]:
    """Projects by name."""
    query = sa.select(*_COLUMNS).where(side_of_trash(store.projects.c.deleted, view)).order_by("name", "id")
    rows = conn.execute(query).mappings().all()
    tags = _tags_of(conn, [row["id"] for row in rows])
    return [Project(**row, tags=tags.get(row["id"], {})) for row in rows]


def rename_project(conn: Connection, project_id: int, name: str, *, at: int, actor: str) -> Project:
    """Give a project another name.

    Raises:
        Conflict: when the name is taken, or the project is in the trash.
    """
    project = require_active(get_project(conn, project_id))
    check_project_name(name)
    other = find_by_name(conn, name)
    if other is not None and other.id != project_id:
        raise Conflict(f"project {name!r:.80} is there already", field="name", next_step="choose another name")
    _update(conn, project_id, name=name, updated=at)
    append_event(
        conn, "project.renamed", subject=str(project_id), at=at, actor=actor, data={"from": project.name, "to": name}
    )
    return get_project(conn, project_id)


def set_project_tags(conn: Connection, project_id: int, tags: dict[str, str], *, at: int) -> None:
    """Set tags; the note is the tag `mlflow.note.content`, as MLflow's page has it."""
    require_active(get_project(conn, project_id))
    rows = [
        {"project": project_id, "key": check_key(key, "tag"), "value": storable(value)} for key, value in tags.items()
    ]
    upsert(conn, store.project_tags, rows, key=["project", "key"], update=["value"])
    _update(conn, project_id, updated=at)


def delete_project_tag(conn: Connection, project_id: int, key: str, *, at: int) -> None:
    """Take a tag away.

    Raises:
        NotFound: when the project has no such tag.
    """
    require_active(get_project(conn, project_id))
    table = store.project_tags
    if not conn.execute(table.delete().where(table.c.project == project_id, table.c.key == key)).rowcount:
        raise NotFound(f"project {project_id} has no tag {key!r:.80}", field="key", next_step="list its tags")
    _update(conn, project_id, updated=at)


def require_active(project: Project) -> Project:
    """The project, unless it is in the trash.

    Raises:
        Conflict: when it is.
    """
    if project.deleted is not None:
        raise Conflict(
            f"project {project.name!r:.80} ({project.id}) is in the trash",
            field="project",
            next_step="restore it first",
        )
    return project


def side_of_trash(deleted: sa.ColumnElement[int | None], view: View) -> sa.ColumnElement[bool]:
    """The condition that `view` stands for."""
    if view == "all":
        return sa.true()
    return deleted.is_(None) if view == "active" else deleted.is_not(None)


def _insert(conn: Connection, name: str, *, at: int, actor: str) -> Project:
    made = conn.execute(store.projects.insert().values(name=name, created=at, updated=at))
    assert made.inserted_primary_key is not None
    project_id = int(made.inserted_primary_key[0])
    append_event(conn, "project.created", subject=str(project_id), at=at, actor=actor, data={"name": name})
    return Project(id=project_id, name=name, created=at, updated=at)


def _update(conn: Connection, project_id: int, **values: object) -> None:
    conn.execute(store.projects.update().where(store.projects.c.id == project_id).values(**values))


def _with_tags(conn: Connection, project: Project) -> Project:
    return msgspec.structs.replace(project, tags=_tags_of(conn, [project.id]).get(project.id, {}))


def _tags_of(conn: Connection, ids: list[int]) -> dict[int, dict[str, str]]:
    table = store.project_tags
    query = sa.select(table.c.project, table.c.key, table.c.value).order_by(table.c.project, table.c.key)
    if len(ids) <= 500:
        query = query.where(table.c.project.in_(ids))
    found: dict[int, dict[str, str]] = {}
    for project, key, value in conn.execute(query):
        found.setdefault(project, {})[key] = value
    return found
