"""The verbs of rollouts: what routes, commands and the embedded client call."""

from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from homeostat.ground.access import LOCAL, Identity
from homeostat.ground.clock import Clock
from homeostat.ground.errors import Invalid
from homeostat.loop import rollout_control
from homeostat.loop.declaration import get_declaration, is_declared
from homeostat.loop.inspection import Inspection
from homeostat.loop.rollout_rates import recorded_world
from homeostat.registry.models import get_model
from homeostat.rollout.plan_text import format_plan, parse_plan
from homeostat.rollout.simulate import Progress, Simulation, simulate
from homeostat.rollout.simulated_world import World
from homeostat.rollout.store import list_rollouts
from homeostat.rollout.types import Plan, canary, shadow
from homeostat.rollout.walk import Rollout
from homeostat.server.registry_rules import actor_of, checked_text
from homeostat.server.rollout_bodies import SimulateBody, SkipBody, SplitBody, StartBody, WordBody
from homeostat.server.views.rollouts import rollout_view
from homeostat.store.database import Database

Plain = dict[str, Any]
MOST_REPETITIONS = 20_000
STATES = ("running", "promoted", "rolled_back", "held", "aborted")


class Rollouts:
    """Every method is one verb and returns plain data. With tokens, who did it is who asked, whatever a body says."""

    def __init__(self, database: Database, clock: Clock, inspection: Inspection) -> None:
        self._database = database
        self._clock = clock
        self._inspection = inspection

    def start(self, body: StartBody, who: Identity = LOCAL) -> Plain:
        """Roll out a version; a version that nobody has looked at is looked at first."""
        who.require_project(body.model)
        plan = parse_plan(body.plan) if body.plan else None
        actor, at = actor_of(body.actor, who), self._clock.now()
        version = self._inspection.of(body.model, body.version, at=at, actor=actor).version
        with self._database.write() as conn:
            rollout = rollout_control.start_by_hand(
                conn,
                body.model,
                version,
                plan=plan,
                at=at,
                actor=actor,
                reason=checked_text(body.reason, "reason"),
                force=body.force,
            )
        return rollout_view(rollout)

    def list(
        self, *, model: str | None = None, state: str | None = None, limit: int = 100, who: Identity = LOCAL
    ) -> list[Plain]:
        """Rollouts, newest first."""
        if state is not None and state not in STATES:
            raise Invalid(f"there is no state {state!r:.40}", field="state", next_step=f"states: {', '.join(STATES)}")
        if not 1 <= limit <= 10_000:
            raise Invalid(f"limit is {limit}", field="limit", next_step="give 1 to 10,000")
        if model is not None:
            who.require_project(model)
        with self._database.read() as conn:
            found = list_rollouts(conn, endpoint=model, state=state, limit=limit)
        return [rollout_view(rollout) for rollout in found if who.may_touch(rollout.model)]

    def get(self, ref: str, who: Identity = LOCAL) -> Plain:
        """A rollout by its id, or the running (else the newest) one of a model."""
        with self._database.read() as conn:
            return rollout_view(_reached(rollout_control.find_rollout(conn, ref), who), whole=True)

    def pause(self, ref: str, body: WordBody, who: Identity = LOCAL) -> Plain:
        return self._said(ref, rollout_control.pause, body, who)

    def resume(self, ref: str, body: WordBody, who: Identity = LOCAL) -> Plain:
        return self._said(ref, rollout_control.resume, body, who)

    def approve(self, ref: str, body: WordBody, who: Identity = LOCAL) -> Plain:
        return self._said(ref, rollout_control.approve, body, who)

    def abort(self, ref: str, body: WordBody, who: Identity = LOCAL) -> Plain:
        return self._said(ref, rollout_control.abort, body, who)

    def promote(self, ref: str, body: SkipBody, who: Identity = LOCAL) -> Plain:
        def skip(conn: Connection, ref: str, *, at: int, actor: str, reason: str) -> Rollout:
            return rollout_control.promote(
                conn, ref, at=at, actor=actor, reason=reason, to_the_end=body.full, force=body.force
            )

        return self._said(ref, skip, WordBody(reason=body.reason, actor=body.actor), who)

    def _said(self, ref: str, verb: Callable[..., Rollout], body: WordBody, who: Identity) -> Plain:
        with self._database.write() as conn:
            _reached(rollout_control.find_rollout(conn, ref), who)
            rollout = verb(
                conn,
                ref,
                at=self._clock.now(),
                actor=actor_of(body.actor, who),
                reason=checked_text(body.reason, "reason"),
            )
        return rollout_view(rollout)

    def split(self, model: str, body: SplitBody, who: Identity = LOCAL) -> Plain:
        """Send shares of the traffic to versions by hand."""
        at, actor = self._clock.now(), actor_of(body.actor, who)
        for version in body.weights:
            self._inspection.of(model, version, at=at, actor=actor)
        with self._database.write() as conn:
            get_model(conn, model)
            endpoint = rollout_control.split(
                conn,
                model,
                body.weights,
                at=at,
                actor=actor,
                reason=checked_text(body.reason, "reason"),
                force=body.force,
            )
        return msgspec.to_builtins(endpoint)  # type: ignore[no-any-return]

    def rates(self, model: str) -> Plain:
        """What the model's recorded traffic is like, as a simulation takes it."""
        with self._database.read() as conn:
            get_model(conn, model)
            return msgspec.to_builtins(recorded_world(conn, model, now=self._clock.now()))  # type: ignore[no-any-return]

    def simulate(self, body: SimulateBody, who: Identity = LOCAL, *, progress: Progress | None = None) -> Plain:
        """How often a plan would roll back a good version, and how soon it would find a bad one."""
        return simulated(body, *self._plan_and_rates(body, who), progress=progress)

    def _plan_and_rates(self, body: SimulateBody, who: Identity) -> tuple[Plan | None, World]:
        plan, known = None, World()
        if body.model:
            who.require_project(body.model)
            with self._database.read() as conn:
                get_model(conn, body.model)
                known = recorded_world(conn, body.model, now=self._clock.now())
                if is_declared(conn, body.model):
                    plan = get_declaration(conn, body.model).rollout
        return plan, known


def simulated(
    body: SimulateBody, plan: Plan | None = None, known: World | None = None, *, progress: Progress | None = None
) -> Plain:
    """A simulation of what the body says, by default of our own plan; nothing of it needs a home."""
    if not 1 <= body.repetitions <= MOST_REPETITIONS:
        raise Invalid(
            f"repetitions is {body.repetitions}", field="repetitions", next_step=f"give 1 to {MOST_REPETITIONS}"
        )
    if body.limit is not None and not 0 < body.limit <= 1e6:
        raise Invalid(f"limit is {body.limit}", field="limit", next_step="give minutes, up to a million")
    world = _world(known or World(), body.world)
    if body.plan:
        plan = parse_plan(body.plan)
    elif plan is None:  # without a label no shadow ends
        plan = shadow() >> canary(5, 25, 100) if world.labels_per_hour else canary(5, 25, 100)
    results = simulate(plan, world, repetitions=body.repetitions, seed=body.seed, limit=body.limit, progress=progress)
    return msgspec.to_builtins(  # type: ignore[no-any-return]
        Simulation(
            plan=format_plan(plan),
            world=world,
            repetitions=body.repetitions,
            rollback_at={test: round(plan.rollback_at(test), 1) for test in plan.tests},
            results=tuple(results),
        )
    )


def _world(known: World, given: dict[str, float | int]) -> World:
    """The known rates with what was given instead; whole numbers may be written as fractions."""
    plain = msgspec.to_builtins(known) | given
    try:
        return msgspec.convert(plain, World, strict=False)
    except msgspec.ValidationError as error:
        field = str(error).rpartition("`$.")[2].partition("`")[0] or "world"
        raise Invalid(
            f"world: {error}", field=field, next_step="see the options of: homeostat rollout simulate"
        ) from error


def _reached(rollout: Rollout, who: Identity) -> Rollout:
    who.require_project(rollout.model)
    return rollout
