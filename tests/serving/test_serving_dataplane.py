"""The data plane in process: what it refuses, what it logs, arms, shadows, swaps."""

import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import serving_linear
from serving_helpers import endpoint, logged, rows

from homeostat.ground.clock import DAY, DrivenClock, SystemClock, from_iso, to_iso
from homeostat.ground.errors import HomeostatError, Invalid, NotFound, TooLarge, Unavailable, UserCodeFailed
from homeostat.serving.dataplane import DataPlane
from homeostat.serving.segments import split_vectors
from homeostat.serving.types import PredictReply, PredictRequest

MakePlane = Callable[..., DataPlane]


def ask(plane: DataPlane, inputs: dict[str, list[Any]], **more: Any) -> PredictReply:
    reply = plane.predict(PredictRequest(endpoint="late", inputs=inputs, **more))
    plane.after(reply)
    return reply


def test_an_answer_is_in_the_log_with_what_the_model_saw(make_plane: MakePlane, tmp_path: Path) -> None:
    plane = make_plane()
    at = "2013-03-12T09:00:00Z"
    reply = ask(plane, rows(2, carrier=["AA", "ZZ"], request_id=["a", "b"], request_time=[at, from_iso(at)]))
    assert (reply.scores, reply.request_ids) == ([1.0001, 1.0002], ["a", "b"])
    assert (reply.versions, reply.arms, reply.only_version) == ([1, 1], ["stable", "stable"], 1)
    [batch] = logged(tmp_path)
    assert (batch.status, batch.request_ids, batch.scores) == ("ok", ["a", "b"], [1.0001, 1.0002])
    assert batch.times == [from_iso(at)] * 2
    assert batch.inputs["dep"] == [from_iso("2013-03-12T08:00:00Z")] * 2
    assert set(batch.inputs) == {"distance", "carrier", "dep", "paid"}
    first, second = split_vectors(batch)
    assert first == [100.0, 0.0, 3.6e9]
    assert math.isnan(second[1])
    assert batch.latency_us > 0


def test_rows_without_ids_and_times_get_them(make_plane: MakePlane, tmp_path: Path) -> None:
    reply = ask(make_plane(clock=DrivenClock(77)), rows(3))
    assert len(set(reply.request_ids)) == 3
    assert all(len(one) == 32 for one in reply.request_ids)
    assert logged(tmp_path)[0].times == [77, 77, 77]


BAD: list[tuple[str, dict[str, list[Any]]]] = [
    ("distance", {"distance": None}),
    ("wind", {"wind": [1.0]}),
    ("distance", {"distance": ["far"]}),
    ("distance", {"distance": [True]}),
    ("distance", {"distance": [math.inf]}),
    ("distance", {"distance": [10**30]}),
    ("distance", {"distance": [{}]}),
    ("carrier", {"carrier": [None]}),
    ("carrier", {"carrier": [7]}),
    ("dep", {"dep": ["yesterday"]}),
    ("dep", {"dep": [1.5]}),
    ("dep", {"dep": [1 << 70]}),
    ("paid", {"paid": [1]}),
    ("carrier", {"carrier": ["AA", "UA"]}),
    ("request_id", {"request_id": [7]}),
    ("request_id", {"request_id": [""]}),
    ("request_id", {"request_id": ["x" * 200]}),
    ("request_time", {"request_time": ["soon"]}),
    ("request_time", {"request_time": [to_iso(SystemClock().now() + DAY)]}),
]


@pytest.mark.parametrize(("field", "columns"), BAD)
def test_a_wrong_request_is_refused_naming_the_field_and_logged(
    make_plane: MakePlane, tmp_path: Path, field: str, columns: dict[str, list[Any]]
) -> None:
    with pytest.raises(Invalid) as refused:
        ask(make_plane(), rows(1, **columns))
    assert refused.value.field == field
    [batch] = logged(tmp_path)
    assert (batch.status, batch.scores, len(batch.request_ids)) == ("rejected", [], 1)
    assert batch.detail.startswith(f"{field}: ")


def test_an_id_that_comes_twice_is_refused(make_plane: MakePlane) -> None:
    with pytest.raises(Invalid, match="'a' comes twice"):
        ask(make_plane(), rows(3, request_id=["a", "b", "a"]))


def test_no_rows_and_too_many_rows_are_refused(make_plane: MakePlane) -> None:
    plane = make_plane()
    for inputs in ({}, rows(0)):
        with pytest.raises(Invalid, match="no"):
            ask(plane, inputs)
    with pytest.raises(TooLarge, match="10001 rows"):
        ask(plane, rows(10_001))
    assert len(ask(plane, rows(10_000)).scores) == 10_000


def test_text_is_read_by_each_columns_type(make_plane: MakePlane, tmp_path: Path) -> None:
    text = {"distance": ["1e3", ""], "carrier": ["AA", "UA"], "dep": ["2013-03-12", "5"], "paid": ["true", "0"]}
    ask(make_plane(), text, is_text=True)
    kept = logged(tmp_path)[0].inputs
    assert kept["distance"] == [1000.0, None]
    assert kept["dep"] == [from_iso("2013-03-12"), 5]
    assert kept["paid"] == [True, False]
    for column, value in [("distance", "far"), ("paid", "yes"), ("carrier", ""), ("dep", "1.5")]:
        with pytest.raises(Invalid, match=column):
            ask(make_plane(), {name: values[:1] for name, values in text.items()} | {column: [value]}, is_text=True)


def test_an_unknown_endpoint_is_not_found(make_plane: MakePlane) -> None:
    with pytest.raises(NotFound, match="served: late"):
        make_plane().predict(PredictRequest(endpoint="early", inputs=rows()))


def test_a_driven_clock_takes_any_time_and_follows_it(make_plane: MakePlane, tmp_path: Path) -> None:
    plane = make_plane(clock=DrivenClock(0))
    ask(plane, rows(1, request_time=["2013-06-01T00:00:00Z"]))
    ask(plane, rows(1, request_time=["2013-05-01T00:00:00Z"]))
    ask(plane, rows(1))
    assert [batch.times[0] for batch in logged(tmp_path)] == [
        from_iso("2013-06-01"),
        from_iso("2013-05-01"),
        from_iso("2013-06-01"),
    ]


@pytest.mark.parametrize(
    ("version", "told", "status"),
    [
        (serving_linear.RAISES, "ZeroDivisionError: broken weights", "error"),
        (serving_linear.NOT_FINITE, "not finite", "invalid"),
        (serving_linear.TOO_SHORT, r"shape \(1,\) for 2 rows", "error"),
        (serving_linear.BAD_FEATURES, "LookupError", "error"),
    ],
)
def test_a_version_that_fails_is_in_the_log_with_how(
    make_plane: MakePlane, tmp_path: Path, version: int, told: str, status: str
) -> None:
    with pytest.raises(UserCodeFailed, match=told):
        ask(make_plane(endpoint(version)), rows(2, request_id=["a", "b"]))
    [batch] = logged(tmp_path)
    assert (batch.status, batch.version, batch.request_ids, batch.scores) == (status, version, ["a", "b"], [])


def test_what_fails_is_still_scored_by_those_who_look_on(make_plane: MakePlane, tmp_path: Path) -> None:
    plane = make_plane(endpoint(serving_linear.RAISES, shadows=(2, serving_linear.NOT_FINITE)))
    with pytest.raises(UserCodeFailed):
        ask(plane, rows(1))
    plane.close()
    found = {(batch.version, batch.arm): batch.status for batch in logged(tmp_path)}
    assert found == {
        (serving_linear.RAISES, "stable"): "error",
        (2, "shadow"): "ok",
        (serving_linear.NOT_FINITE, "shadow"): "invalid",
    }


def test_a_request_is_split_over_the_arms_and_put_together_in_order(make_plane: MakePlane, tmp_path: Path) -> None:
    plane = make_plane(endpoint(1, canary=2, weight=3000, salt="s"))
    names = [f"r{row}" for row in range(500)]
    reply = ask(plane, rows(500, request_id=names))
    assert reply.request_ids == names
    assert reply.only_version is None
    for row, (score, version, arm) in enumerate(zip(reply.scores, reply.versions, reply.arms, strict=True)):
        assert score == pytest.approx(version + (row + 1) / 1e4)
        assert arm == {1: "stable", 2: "canary"}[version]
    assert abs(reply.versions.count(2) - 150) < 5 * math.sqrt(500 * 0.3 * 0.7)
    stable, canary = sorted(logged(tmp_path), key=lambda batch: batch.version)
    assert sorted(stable.request_ids + canary.request_ids) == sorted(names)
    assert canary.request_ids == [name for name, version in zip(names, reply.versions, strict=True) if version == 2]
    assert [values[0] for values in split_vectors(canary)] == canary.inputs["distance"]


def test_a_sticky_column_keeps_an_entity_on_its_arm(make_plane: MakePlane) -> None:
    plane = make_plane(endpoint(1, canary=2, weight=5000, salt="s", sticky="carrier"))
    carriers = [f"C{number % 40}" for number in range(400)]
    versions = ask(plane, rows(400, carrier=carriers)).versions
    arms_of = {name: {v for n, v in zip(carriers, versions, strict=True) if n == name} for name in carriers}
    assert all(len(seen) == 1 for seen in arms_of.values())
    assert {1, 2} == set(versions)


def test_a_failing_canary_fails_the_request_and_not_the_stable_arm(make_plane: MakePlane, tmp_path: Path) -> None:
    plane = make_plane(endpoint(1, canary=serving_linear.RAISES, weight=5000, salt="s"))
    with pytest.raises(UserCodeFailed):
        ask(plane, rows(100))
    assert {(batch.version, batch.status) for batch in logged(tmp_path)} == {(1, "ok"), (91, "error")}


def test_a_named_version_answers_alone(make_plane: MakePlane, tmp_path: Path) -> None:
    plane = make_plane(endpoint(1, canary=2, weight=1, shadows=(3,)))
    assert [ask(plane, rows(), version_override=version).versions for version in (1, 2, 3)] == [[1], [2], [3]]
    with pytest.raises(Invalid, match="version 9 is not live"):
        ask(plane, rows(), version_override=9)
    plane.close()
    assert [batch.arm for batch in logged(tmp_path)] == ["stable", "canary", "shadow", "stable"]


def test_shadows_score_the_same_rows_and_never_touch_the_answer(make_plane: MakePlane, tmp_path: Path) -> None:
    alone = ask(make_plane(), rows(5, request_id=list("abcde")))
    shadows = (
        2,
        serving_linear.OTHER_FEATURES,
        serving_linear.RAISES,
        serving_linear.NOT_FINITE,
        serving_linear.BAD_FEATURES,
    )
    plane = make_plane(endpoint(1, shadows=shadows))
    with_shadows = ask(plane, rows(5, request_id=list("abcde")))
    assert (with_shadows.scores, with_shadows.versions) == (alone.scores, alone.versions)
    plane.close()
    found = {batch.version: batch for batch in logged(tmp_path) if batch.arm == "shadow"}
    assert {version: batch.status for version, batch in found.items()} == {
        2: "ok",
        98: "ok",
        91: "error",
        92: "invalid",
        97: "error",
    }
    assert all(batch.request_ids == list("abcde") for batch in found.values())
    assert found[2].scores == pytest.approx([score + 1 for score in alone.scores])
    assert found[98].scores == pytest.approx([score + 97 for score in alone.scores])
    assert found[2].vectors == found[98].vectors
    assert found[2].inputs == found[98].inputs
    assert "ZeroDivisionError" in found[91].detail


def test_shadows_of_a_split_request_score_every_row(make_plane: MakePlane, tmp_path: Path) -> None:
    plane = make_plane(endpoint(1, canary=2, weight=5000, salt="s", shadows=(3,)))
    names = [f"r{row}" for row in range(50)]
    assert set(ask(plane, rows(50, request_id=names)).versions) == {1, 2}
    plane.close()
    [shadow] = [batch for batch in logged(tmp_path) if batch.arm == "shadow"]
    assert shadow.request_ids == names
    assert shadow.scores == pytest.approx([3 + (row + 1) / 1e4 for row in range(50)])


def test_shadows_of_a_share_score_whole_requests_drawn_by_id(make_plane: MakePlane, tmp_path: Path) -> None:
    plane = make_plane(endpoint(1, shadows=(2,), shadow_share=2_000, salt="s"))
    for number in range(300):
        ask(plane, rows(2, request_id=[f"a{number}", f"b{number}"]))
    plane.close()
    seen = [batch.request_ids for batch in logged(tmp_path) if batch.arm == "shadow"]
    assert 30 <= len(seen) <= 90
    assert {len(ids) for ids in seen} == {2}


def test_a_full_shadow_queue_drops_and_counts_and_does_not_block(make_plane: MakePlane, tmp_path: Path) -> None:
    plane = make_plane(endpoint(1, shadows=(serving_linear.SLOW_TO_SCORE,)), max_shadow_rows=10)
    for _ in range(4):
        ask(plane, rows(5))
    assert plane.shadows.dropped == 10
    plane.close()
    assert sum(len(batch.request_ids) for batch in logged(tmp_path) if batch.arm == "shadow") == 10


def test_a_version_that_cannot_be_loaded_leaves_the_old_routing(make_plane: MakePlane) -> None:
    plane = make_plane(endpoint(1))
    table = plane.swap([endpoint(serving_linear.UNLOADABLE)], 2)
    assert "libforest" in table.failures["late"]
    assert table.generation == 1
    assert ask(plane, rows()).versions == [1]
    assert plane.swap([endpoint(2)], 3).failures == {}
    assert (ask(plane, rows()).versions, plane.table.generation) == ([2], 3)


def test_an_endpoint_that_never_loaded_is_unavailable(make_plane: MakePlane) -> None:
    with pytest.raises(Unavailable, match="libforest"):
        ask(make_plane(endpoint(serving_linear.UNLOADABLE)), rows())


def test_the_version_before_stays_loaded_for_a_rollback(make_plane: MakePlane) -> None:
    plane = make_plane(endpoint(1))
    first = plane.table.routes["late"].stable
    plane.swap([endpoint(2)], 2)
    plane.swap([endpoint(1)], 3)
    assert plane.table.routes["late"].stable is first


def test_requests_in_flight_finish_on_what_they_began_with(make_plane: MakePlane) -> None:
    plane = make_plane(endpoint(serving_linear.SLOW_TO_SCORE))
    found: list[PredictReply] = []
    thread = threading.Thread(target=lambda: found.append(ask(plane, rows())))
    thread.start()
    plane.swap([endpoint(1)], 2)
    assert ask(plane, rows()).versions == [1]
    thread.join()
    assert found[0].versions in ([serving_linear.SLOW_TO_SCORE], [1])


def test_without_a_log_nothing_is_answered(make_plane: MakePlane, tmp_path: Path) -> None:
    plane = make_plane()
    tmp_path.rename(tmp_path.with_name("moved"))
    with pytest.raises(Unavailable, match="prediction log"):
        ask(plane, rows())
    with pytest.raises(HomeostatError, match="missing"):
        ask(plane, rows(1, carrier=None))
    tmp_path.with_name("moved").rename(tmp_path)
