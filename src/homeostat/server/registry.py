"""The verbs of the registry, over a home: what routes, commands and the embedded client call."""

from typing import Any

import msgspec

from homeostat.ground.access import LOCAL, Identity
from homeostat.ground.clock import Clock
from homeostat.ground.errors import Conflict
from homeostat.ground.settings import Settings
from homeostat.loop import promotions, releases
from homeostat.loop.in_service import check_idle, check_renamable
from homeostat.loop.inspection import Inspection
from homeostat.registry import aliases, models, promotion, stages, versions
from homeostat.server.bodies import RollbackBody
from homeostat.server.register import register, uploaded_package
from homeostat.server.registry_bodies import (
    AliasBody,
    Change,
    DecideBody,
    ModelBody,
    PromoteBody,
    RenameBody,
    RetireBody,
    StagesBody,
    VersionBody,
)
from homeostat.server.registry_rules import (
    Moment,
    actor_of,
    checked_text,
    given_tags,
    moment_of,
    numbered,
    permitted,
    taken_tags,
    why_kept,
)
from homeostat.server.views import registry as views
from homeostat.server.views.models import model_view, models_view
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database

Plain = dict[str, Any]


class Registry:
    """Every method is one verb and returns plain data. With tokens, who did it is who asked, whatever a body says."""

    def __init__(self, database: Database, blobs: BlobStore, clock: Clock, settings: Settings) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self._settings = settings
        self.inspection = Inspection(database, blobs, settings)

    # Models.

    def models(self, who: Identity = LOCAL) -> list[Plain]:
        with self._database.read() as conn:
            return [line for line in models_view(conn) if who.may_touch(line["name"])]

    def model(self, name: str) -> Plain:
        with self._database.read() as conn:
            return model_view(conn, name)

    def create(self, body: ModelBody, who: Identity = LOCAL) -> Plain:
        """Make a model without versions.

        Raises:
            Conflict: when it is there already.
        """
        who.require_project(body.name)
        with self._database.write() as conn:
            made = models.create_model(
                conn,
                body.name,
                description=checked_text(body.description, "description"),
                tags=body.tags,
                at=self._clock.now(),
                actor=actor_of(body.actor, who),
                exist_ok=False,
            )
        return views.registered_view(made)

    def change(self, name: str, body: Change, who: Identity = LOCAL) -> Plain:
        """Describe a model, set and take away its tags."""
        at, actor = self._clock.now(), actor_of(body.actor, who)
        with self._database.write() as conn:
            if body.description is not None:
                models.update_model(
                    conn, name, description=checked_text(body.description, "description"), at=at, actor=actor
                )
            if given := given_tags(body.tags):
                models.set_model_tags(conn, name, given, at=at)
            for tag in taken_tags(body.tags):
                models.delete_model_tag(conn, name, tag, at=at)
            return views.registered_view(models.get_model(conn, name))

    def rename(self, name: str, body: RenameBody, who: Identity = LOCAL) -> Plain:
        """Give a model another name; its versions, aliases and ledger stay its own.

        Raises:
            Conflict: when the name is taken, or the model is declared or served under the one it has.
        """
        who.require_project(body.new_name)
        with self._database.write() as conn:
            check_renamable(conn, name)
            renamed = models.rename_model(
                conn, name, body.new_name, at=self._clock.now(), actor=actor_of(body.actor, who)
            )
        return views.registered_view(renamed)

    def delete(self, name: str, who: Identity = LOCAL) -> Plain:
        """Put a model into the trash; its name is free.

        Raises:
            Conflict: while it is served.
        """
        with self._database.write() as conn:
            found = models.get_model(conn, name)
            check_idle(conn, name)
            at = self._clock.now()
            models.delete_model(conn, name, at=at, actor=who.name)
        return views.registered_view(msgspec.structs.replace(found, deleted=at, aliases={}))

    def restore(self, name: str, who: Identity = LOCAL) -> Plain:
        with self._database.write() as conn:
            return views.registered_view(models.restore_model(conn, name, at=self._clock.now(), actor=who.name))

    # Versions.

    def register(self, name: str, body: VersionBody, who: Identity = LOCAL) -> Plain:
        """Register an uploaded package, signed by this home's key."""
        who.require_project(name)
        package = uploaded_package(self._blobs, body)
        checked_text(body.description, "description")
        with self._database.write() as conn:
            version = register(
                conn,
                self._blobs,
                self._settings,
                name,
                package,
                body,
                at=self._clock.now(),
                actor=actor_of(body.actor, who),
                who=who,
            )
            return views.whole_version(conn, version)

    def versions(self, name: str) -> list[Plain]:
        with self._database.read() as conn:
            return views.lines_of(conn, name, versions.list_versions(conn, name))

    def version(self, name: str, version: int | str) -> Plain:
        with self._database.read() as conn:
            return views.whole_version(conn, versions.get_version(conn, name, version))

    def change_version(self, name: str, version: int | str, body: Change, who: Identity = LOCAL) -> Plain:
        """Describe a version, set and take away its tags."""
        at, actor = self._clock.now(), actor_of(body.actor, who)
        with self._database.write() as conn:
            number = versions.get_version(conn, name, version).version
            if body.description is not None:
                text = checked_text(body.description, "description")
                versions.update_version(conn, name, number, description=text, at=at, actor=actor)
            if given := given_tags(body.tags):
                versions.set_version_tags(conn, name, number, given, at=at, actor=actor)
            for tag in taken_tags(body.tags):
                versions.delete_version_tag(conn, name, number, tag, at=at, actor=actor)
            return views.whole_version(conn, versions.get_version(conn, name, number))

    def delete_version(self, name: str, version: int | str, who: Identity = LOCAL) -> Plain:
        """Take a version out of sight; its number is never given again.

        Raises:
            Conflict: while an alias stands on it, or it answers or looks on in service.
        """
        with self._database.write() as conn:
            found = versions.get_version(conn, name, numbered(name, version))
            if (refusal := why_kept(conn, name, found.version)) is not None:
                raise Conflict(
                    f"{found.ref} cannot be deleted: {refusal.why}", field="version", next_step=refusal.next_step
                )
            versions.delete_version(conn, name, found.version, at=self._clock.now(), actor=who.name)
        return {"model": name, "version": found.version, "ref": found.ref}

    def inspect(self, name: str, version: int | str, who: Identity = LOCAL) -> Plain:
        """Find out what a version takes and gives, in a process of its own, when that is not known."""
        found = self.inspection.of(name, version, at=self._clock.now(), actor=who.name)
        with self._database.read() as conn:
            return views.whole_version(conn, found)

    # Aliases and who they stood on.

    def set_alias(self, name: str, alias: str, body: AliasBody, who: Identity = LOCAL) -> Plain:
        self._look_before(name, alias, body.version, who)
        with self._database.write() as conn:
            move = releases.move_alias(
                conn,
                name,
                alias,
                versions.get_version(conn, name, body.version).version,
                at=self._clock.now(),
                actor=actor_of(body.actor, who),
                reason=checked_text(body.reason, "reason"),
                expected=body.expected,
                force=body.force,
            )
        return views.move_view(move)

    def remove_alias(
        self, name: str, alias: str, *, reason: str = "", actor: str = "person", who: Identity = LOCAL
    ) -> Plain:
        with self._database.write() as conn:
            move = releases.move_alias(
                conn,
                name,
                alias,
                None,
                at=self._clock.now(),
                actor=actor_of(actor, who),
                reason=checked_text(reason, "reason"),
            )
        return views.move_view(move)

    def rollback(self, name: str, body: RollbackBody, who: Identity = LOCAL) -> Plain:
        """Move an alias back; the champion takes its traffic along."""
        with self._database.write() as conn:
            move = releases.roll_back(
                conn,
                name,
                alias=body.alias,
                at=self._clock.now(),
                actor=actor_of(body.actor, who),
                reason=checked_text(body.reason, "reason"),
                to=body.to,
            )
        return views.move_view(move)

    def retire(self, name: str, body: RetireBody, who: Identity = LOCAL) -> Plain:
        """Take a model out of service; a rollback puts it back.

        Raises:
            Conflict: when it is not in service.
        """
        with self._database.write() as conn:
            models.get_model(conn, name)
            move = releases.retire(
                conn,
                name,
                at=self._clock.now(),
                actor=actor_of(body.actor, who),
                reason=checked_text(body.reason, "reason"),
            )
        return {"model": name, "move": views.move_view(move) if move else None}

    def _look_before(self, name: str, stage: str, version: int | str, who: Identity) -> None:
        """A version that is to be in service has to be known; outside of the transaction, for it takes its time."""
        if stage == releases.CHAMPION:
            self.inspection.of(name, version, at=self._clock.now(), actor=who.name)

    def history(self, name: str, alias: str | None = None) -> list[Plain]:
        """The ledger, oldest first."""
        with self._database.read() as conn:
            return [views.move_view(move) for move in aliases.history(conn, name, alias=alias)]

    def at(self, name: str, alias: str, time: Moment | None = None) -> Plain:
        """Where an alias stood at a time (now, when none is given), since when and why."""
        moment = self._clock.now() if time is None else moment_of(time)
        with self._database.read() as conn:
            return views.standing_view(name, alias, moment, aliases.move_at(conn, name, alias, moment))

    # Stages and promotions.

    def stages(self, name: str) -> list[Plain]:
        with self._database.read() as conn:
            return [views.stage_view(stage) for stage in stages.stages_of(conn, name)]

    def declare_stages(self, name: str | None, body: StagesBody, who: Identity = LOCAL) -> list[Plain]:
        """Declare the stages of a model, or (None) of every model that declares none."""
        with self._database.write() as conn:
            stages.declare_stages(conn, body.stages, model=name, at=self._clock.now(), actor=actor_of(body.actor, who))
            declared = body.stages or stages.DEFAULT if name is None else stages.stages_of(conn, name)
            return [views.stage_view(stage) for stage in declared]

    def promote(self, name: str, version: int | str, body: PromoteBody, who: Identity = LOCAL) -> Plain:
        """Put a version into a stage, or ask for it where somebody else must agree; 'champion' is in service."""
        self._look_before(name, body.stage, version, who)
        with self._database.write() as conn:
            promoted = promotions.promote(
                conn,
                name,
                versions.get_version(conn, name, version).version,
                body.stage,
                at=self._clock.now(),
                actor=actor_of(body.actor, who),
                reason=checked_text(body.reason, "reason"),
                force=body.force,
            )
        return views.promoted_view(promoted)

    def requests(self, name: str, *, pending: bool = False) -> list[Plain]:
        with self._database.read() as conn:
            return [views.request_view(item) for item in promotion.list_requests(conn, name, pending=pending)]

    def approve(self, request_id: str, body: DecideBody, who: Identity = LOCAL) -> Plain:
        """Agree to a request of somebody else."""
        with self._database.write() as conn:
            who.require_project(promotion.get_request(conn, request_id).model)
            move = promotions.approve(
                conn,
                request_id,
                at=self._clock.now(),
                actor=actor_of(body.actor, who),
                comment=checked_text(body.comment, "comment"),
            )
            request = views.request_view(promotion.get_request(conn, request_id))
        return {"move": views.move_view(move) if move else None, "request": request}

    def reject(self, request_id: str, body: DecideBody, who: Identity = LOCAL) -> Plain:
        with self._database.write() as conn:
            who.require_project(promotion.get_request(conn, request_id).model)
            request = promotion.reject(
                conn,
                request_id,
                at=self._clock.now(),
                actor=actor_of(body.actor, who),
                comment=checked_text(body.comment, "comment"),
            )
        return views.request_view(request)

    def actions(self, name: str, version: int | str, who: Identity = LOCAL, actor: str | None = None) -> list[Plain]:
        """What could be done with a version now, and if something is refused, why and what would mend it."""
        asks = who.name if actor is None or who is not LOCAL else actor
        with self._database.read() as conn:
            number = versions.get_version(conn, name, version).version
            found = promotion.allowed_actions(conn, name, number, actor=asks)
            refusal = why_kept(conn, name, number)
        actions = [refusal if refusal and action.action == refusal.action else action for action in found]
        return [msgspec.to_builtins(permitted(action, who)) for action in actions]
