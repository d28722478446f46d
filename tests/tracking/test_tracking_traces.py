"""Traces: their spans in any order, how they are found, what is refused; on both databases."""

import json
from typing import Any

import msgspec
import pytest

from homeostat.ground.errors import Conflict, Invalid, NotFound
from homeostat.store.database import Database
from homeostat.tracking import artifacts, assessments, projects, runs, traces
from homeostat.tracking.search.traces import search_traces
from homeostat.tracking.spans import log_spans, spans_of
from homeostat.tracking.types import Assessment, Span

RUN = f"{1:032x}"
MS = 1_000_000  # nanoseconds


def span(number: int, *, parent: int | None = None, name: str = "step", status: str = "OK", **attributes: Any) -> Span:
    listed = [{"key": key, "value": {"string_value": json.dumps(value)}} for key, value in attributes.items()]
    data = json.dumps({"name": name, "attributes": listed}, separators=(",", ":"), ensure_ascii=False)
    return Span(
        id=f"{number:016x}",
        parent=None if parent is None else f"{parent:016x}",
        name=name,
        type="TOOL" if parent else "CHAIN",
        status=status,
        started=number * MS,
        ended=(number + 10) * MS,
        data=data,
    )


def said(trace_id: str, name: str, value: Any, *, kind: str = "feedback", is_valid: bool = True) -> Assessment:
    return Assessment(
        id=f"a-{trace_id}-{name}",
        trace_id=trace_id,
        name=name,
        kind=kind,
        value=value,
        is_valid=is_valid,
        created=1,
        updated=1,
        data={"assessment_name": name},
    )


@pytest.fixture
def journal(database: Database) -> Database:
    """Three traces, `a`, `b` and `c`, asked for at 1, 2 and 3 s; `c` is known by its spans only."""
    with database.write() as conn:
        home = projects.create_project(conn, "journal", at=0, actor="ada")
        runs.start_run(conn, project=home, at=0, actor="ada", run_id=RUN)
        traces.record_trace(
            conn,
            "tr-a",
            home.id,
            requested=1_000_000,
            duration=8_000,
            state="ok",
            client_request_id="mine",
            request_preview="{}",
            tags={"mlflow.traceName": "answer", "team": "red"},
            metadata={"mlflow.sourceRun": RUN},
        )
        traces.record_trace(
            conn, "tr-b", home.id, requested=2_000_000, duration=90_000, state="error", tags={"mlflow.traceName": "ask"}
        )
        spans = {
            "tr-a": [span(1, name="answer"), span(2, parent=1, model="gpt-4", note='50% "off"')],
            "tr-c": [span(3000, name="späte", status="ERROR")],
        }
        log_spans(conn, home.id, spans, previews={"tr-c": ("in", "out")})
        assessments.put_assessment(conn, said("tr-a", "good", value=True))
        assessments.put_assessment(conn, said("tr-a", "score", 0.75))
        assessments.put_assessment(conn, said("tr-b", "score", "low"))
        assessments.put_assessment(conn, said("tr-b", "answer", "yes", kind="expectation"))
        assessments.put_assessment(conn, said("tr-b", "old", "x", is_valid=False))
    return database


def home_of(database: Database) -> int:
    with database.read() as conn:
        home = projects.find_by_name(conn, "journal")
        assert home is not None
        return home.id


def found(database: Database, text: str = "", *order: str, limit: int = 100) -> str:
    """The last letters of the traces' ids, in order, page by page."""
    names, token = "", None
    home = home_of(database)
    with database.read() as conn:
        while True:
            page = search_traces(conn, [home], text=text, order_by=order, limit=limit, page_token=token, now=0)
            names, token = names + "".join(trace.id[-1] for trace in page.traces), page.next_token
            if token is None:
                return names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", "cba"),
        ("status = 'OK'", "a"),
        ("trace.status != 'OK'", "cb"),
        ("request_id = 'tr-a'", "a"),
        ("client_request_id LIKE 'mi%'", "a"),
        ("client_request_id IS NULL", "cb"),
        ("timestamp_ms >= 2000 AND attributes.timestamp < 3000", "b"),
        ("execution_time_ms > 8", "cb"),
        ("execution_time = 8", "a"),
        ("end_time_ms < 2000", "a"),
        ("name = 'answer'", "a"),
        ("trace.name ILIKE '%SP%'", "c"),
        ("name RLIKE '^a'", "ba"),
        (f"run_id = '{RUN}'", "a"),
        (f"metadata.`mlflow.sourceRun` = '{RUN}'", "a"),
        ("tags.team = 'red'", "a"),
        ("tag.team IS NULL", "cb"),
        ("span.name = 'step'", "a"),
        ("span.type IN ('CHAIN')", "ca"),
        ("span.status = 'ERROR'", "c"),
        ("span.attributes.model = 'gpt-4'", "a"),
        ("span.attributes.model != 'gpt-4'", ""),
        ("span.attributes.model LIKE 'gpt%'", "a"),
        ("span.attributes.model ILIKE '%GPT%'", "a"),
        ("span.attributes.note = '50% \"off\"'", "a"),
        ("trace.text LIKE '%späte%'", "c"),
        ("feedback.good = 'true'", "a"),
        ("feedback.score > 0.5", "a"),
        ("feedback.score = 'low' or feedback.score = 0.75", "ba"),
        ("feedback.score LIKE 'l%'", "b"),
        ("feedback.score IS NULL", "c"),
        ("feedback.old = 'x'", ""),
        ("expectation.answer = 'yes'", "b"),
        ("not status = 'ERROR' or tags.team = 'blue'", "a"),
    ],
)
def test_a_filter_lets_through_what_it_says(journal: Database, text: str, names: str) -> None:
    assert found(journal, text) == names


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_an_order_puts_what_is_missing_last_over_every_page(journal: Database, limit: int) -> None:
    assert found(journal, "", "timestamp ASC", limit=limit) == "abc"
    assert found(journal, "", "execution_time DESC", limit=limit) == "bca"
    assert found(journal, "", "name", limit=limit) == "abc"
    assert found(journal, "", "tags.team DESC", "timestamp_ms ASC", limit=limit) == "abc"
    assert found(journal, "", "client_request_id", limit=limit) == "acb"
    assert found(journal, "", "run_id ASC", limit=limit) == "acb"


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("colour = 'x'", ""),
        ("metrics.x > 1", ""),
        ("span.size = '1'", ""),
        ("span.content = 'x'", ""),
        ("execution_time = 'long'", ""),
        ("feedback.score > 'high'", ""),
        ("", "span.name"),
        ("", "colour"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(journal: Database, text: str, order: str) -> None:
    with pytest.raises(Invalid) as caught:
        found(journal, text, order)
    assert caught.value.field in ("filter", "order_by") and caught.value.next_step


def test_a_trace_of_spans_alone_tells_what_they_tell(journal: Database) -> None:
    with journal.read() as conn:
        trace = traces.get_trace(conn, "tr-c")
    assert (trace.state, trace.requested, trace.duration) == ("error", 3_000_000, 10_000)
    assert (trace.request_preview, trace.response_preview) == ("in", "out")
    assert trace.tags == {"mlflow.traceName": "späte", "mlflow.trace.spansLocation": "TRACKING_STORE"}


def test_spans_may_come_before_their_trace_in_parts_and_again(journal: Database) -> None:
    home = home_of(journal)
    with journal.write() as conn:
        log_spans(conn, home, {"tr-d": [span(6, parent=5)]}, previews={})
        assert traces.get_trace(conn, "tr-d").state == "in_progress"
        log_spans(conn, home, {"tr-d": [span(5, name="root"), span(6, parent=5, name="again")]}, previews={})
        assert (traces.get_trace(conn, "tr-d").state, traces.get_trace(conn, "tr-d").requested) == ("ok", 5_000)
        traces.record_trace(conn, "tr-d", home, requested=4_000, duration=7_000, state="error", tags={"k": "v"})
        log_spans(conn, home, {"tr-d": [span(5, name="root")]}, previews={})
        trace = traces.get_trace(conn, "tr-d")
        names = [json.loads(data)["name"] for data in spans_of(conn, ["tr-d"])["tr-d"]]
    assert (trace.state, trace.requested, trace.duration) == ("error", 4_000, 7_000)
    assert trace.tags["k"] == "v" and trace.tags["mlflow.traceName"] == "root"
    assert names == ["root", "again"]


def test_a_trace_stays_in_its_project(journal: Database) -> None:
    with journal.write() as conn:
        other = projects.create_project(conn, "other", at=0, actor="ada").id
        with pytest.raises(Conflict, match="belongs to"):
            traces.record_trace(conn, "tr-a", other, requested=1)
        with pytest.raises(Conflict, match="another project"):
            log_spans(conn, other, {"tr-a": [span(1)]}, previews={})
        assert traces.delete_traces(conn, other, ["tr-a"]) == 0


def test_traces_are_deleted_for_good_with_all_they_own(journal: Database) -> None:
    home = home_of(journal)
    with journal.write() as conn:
        artifacts.put_artifact(conn, "tr-a", "traces.json", digest="0" * 64, size=1)
        assert traces.delete_traces(conn, home, ["tr-a", "tr-none"]) == 1
        assert artifacts.list_artifacts(conn, "tr-a") == [] and spans_of(conn, ["tr-a"]) == {}
        assert traces.delete_traces_before(conn, home, until=3_000_000, limit=1) == 1
    assert found(journal) == "c"
    with journal.write() as conn:
        assert traces.delete_traces_before(conn, home, until=2_999_999) == 0
        traces.record_trace(conn, "tr-a", home, requested=1)
        assert traces.get_trace(conn, "tr-a").tags == {}


def test_tags_keep_to_their_limits(journal: Database) -> None:
    with journal.write() as conn:
        traces.set_trace_tags(conn, "tr-a", {"k" * 250: "v" * 8000, "ключ": "значение"})
        for tags in ({"k" * 251: "v"}, {"k": "v" * 8001}, {"": "v"}):
            with pytest.raises(Invalid, match="tag"):
                traces.set_trace_tags(conn, "tr-a", tags)
        with pytest.raises(NotFound, match="no tag"):
            traces.delete_trace_tag(conn, "tr-a", "none")
        with pytest.raises(NotFound, match="no trace"):
            traces.set_trace_tags(conn, "tr-none", {"k": "v"})
        traces.delete_trace_tag(conn, "tr-a", "k" * 250)
        assert traces.get_trace(conn, "tr-a").tags["ключ"] == "значение"


@pytest.mark.parametrize("trace_id", ["", "x" * 51, "a/b", "a b", "a\nb"])
def test_an_id_that_no_address_can_hold_is_refused(journal: Database, trace_id: str) -> None:
    with journal.write() as conn, pytest.raises(Invalid, match="trace id"):
        traces.record_trace(conn, trace_id, home_of(journal), requested=1)


def test_traces_can_be_linked_to_another_run(journal: Database) -> None:
    with journal.write() as conn:
        traces.link_traces(conn, "2" * 32, ["tr-b", "tr-b"])
        traces.link_traces(conn, "2" * 32, ["tr-b"])
        with pytest.raises(NotFound):
            traces.link_traces(conn, "2" * 32, ["tr-none"])
    assert found(journal, f"run_id = '{'2' * 32}'") == "b"


def test_an_assessment_that_is_replaced_counts_no_more_until_its_heir_is_deleted(journal: Database) -> None:
    with journal.write() as conn:
        heir = said("tr-a", "heir", value=False)
        old = said("tr-a", "good", value=True).id
        assessments.mark_valid(conn, "tr-a", old, is_valid=False)
        assessments.put_assessment(conn, msgspec.structs.replace(heir, data={"overrides": old}))
        assert not assessments.get_assessment(conn, "tr-a", old).is_valid
        assessments.delete_assessment(conn, "tr-a", heir.id)
        assert assessments.get_assessment(conn, "tr-a", old).is_valid
        with pytest.raises(NotFound, match="no assessment"):
            assessments.get_assessment(conn, "tr-b", old)
        with pytest.raises(NotFound, match="no trace"):
            assessments.put_assessment(conn, said("tr-none", "good", value=True))
        stolen = msgspec.structs.replace(said("tr-b", "good", value=False), id=old)
        with pytest.raises(Conflict, match="another trace's"):
            assessments.put_assessment(conn, stolen)
