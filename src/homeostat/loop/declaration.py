"""A declaration: the plain-data side of a declared model, which every process can read without running user code."""

from typing import Any

import msgspec
import sqlalchemy as sa
from blake3 import blake3
from sqlalchemy.engine import Connection

from homeostat.evaluation.gates import Gate
from homeostat.features.compiled import SourceSpec
from homeostat.ground.errors import NotFound
from homeostat.ground.records import InputColumn
from homeostat.loop.store import declarations
from homeostat.loop.triggers import Retrain
from homeostat.monitoring.types import Watch
from homeostat.rollout.types import Plan
from homeostat.store.events import append_event


class Declaration(msgspec.Struct, frozen=True, kw_only=True):
    """What `apply` validated and stored."""

    model: str
    task: str
    examples: str
    label: str
    known_at: str
    features: tuple[str, ...]
    feature_hash: str
    inputs: tuple[InputColumn, ...]
    sources: tuple[SourceSpec, ...]
    gate: tuple[Gate, ...]
    rollout: Plan
    watch: tuple[Watch, ...]
    retrain: Retrain | None
    train_window: int
    evaluation_window: int
    train_timeout: int | None
    sticky: str | None
    file_digest: str
    file_name: str
    root: str
    """Folder of the declared file; source paths are relative to it."""

    def fingerprint(self) -> str:
        """The content hash that tells 'changed' from 'unchanged'."""
        return blake3(msgspec.json.encode(self)).hexdigest()


class PlanLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the plan that `apply` prints."""

    model: str
    change: str
    """'new', 'changed' or 'unchanged'."""
    fields: tuple[str, ...] = ()
    """For 'changed': what changed, as `name: old -> new`."""


def compare(old: Declaration | None, new: Declaration) -> PlanLine:
    """What applying `new` over `old` would change."""
    if old is None:
        return PlanLine(model=new.model, change="new")
    before, after = (msgspec.to_builtins(item) for item in (old, new))
    changed = tuple(
        f"{key}: {_short(before[key])} -> {_short(after[key])}" for key in after if before[key] != after[key]
    )
    return PlanLine(model=new.model, change="changed" if changed else "unchanged", fields=changed)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else f"{text[:57]}..."


def get_declaration(conn: Connection, model: str) -> Declaration:
    """The applied declaration of a model.

    Raises:
        NotFound: naming what is declared instead.
    """
    row = conn.execute(sa.select(declarations.c.data).where(declarations.c.model == model)).scalar()
    if row is None:
        known = [item.model for item in list_declarations(conn)]
        hint = f"declared models: {', '.join(known)}" if known else "declare one with: homeostat apply FILE"
        raise NotFound(f"no model {model!r} is declared", field="model", next_step=hint)
    return msgspec.convert(row, Declaration)


def is_declared(conn: Connection, model: str) -> bool:
    """Whether a file declares the model."""
    return conn.execute(sa.select(declarations.c.model).where(declarations.c.model == model)).first() is not None


def list_declarations(conn: Connection) -> list[Declaration]:
    """Every applied declaration, by name."""
    rows = conn.execute(sa.select(declarations.c.data).order_by(declarations.c.model)).scalars()
    return [msgspec.convert(row, Declaration) for row in rows]


def save_declaration(conn: Connection, declaration: Declaration, *, at: int, actor: str) -> PlanLine:
    """Store a validated declaration; an unchanged one leaves no trace."""
    row = conn.execute(sa.select(declarations.c.data).where(declarations.c.model == declaration.model)).scalar()
    line = compare(None if row is None else msgspec.convert(row, Declaration), declaration)
    if line.change == "unchanged":
        return line
    values = {
        "hash": declaration.fingerprint(),
        "data": msgspec.to_builtins(declaration),
        "applied_at": at,
        "actor": actor,
    }
    if line.change == "new":
        conn.execute(declarations.insert().values(model=declaration.model, **values))
    else:
        conn.execute(declarations.update().where(declarations.c.model == declaration.model).values(**values))
    append_event(
        conn,
        "model.declared",
        subject=declaration.model,
        at=at,
        actor=actor,
        reason=line.change,
        data={"fields": list(line.fields), "hash": values["hash"]},
    )
    return line


def find_source(conn: Connection, name: str) -> list[SourceSpec]:
    """The declared sources called `name`, one for each model that uses it.

    Raises:
        NotFound: naming the sources there are.
    """
    everything = [spec for declaration in list_declarations(conn) for spec in declaration.sources]
    found = [spec for spec in everything if spec.name == name]
    if not found:
        known = sorted({spec.name for spec in everything})
        raise NotFound(
            f"no declared model reads a source {name!r}",
            field="source",
            next_step=f"known sources: {', '.join(known) or 'none; run homeostat apply FILE first'}",
        )
    return found
