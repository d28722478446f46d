"""Compiled scorers in the catalogue: one a package, replaced when compiled anew, with trouble told and forgotten."""

import pytest

from homeostat.serving.compiling.catalogue import compiled_of, find_compiled, note_trouble, record_compiled
from homeostat.serving.compiling.report import Candidate, Report, Rows
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database
from homeostat.store.sweep import sweep

PACKAGE, OTHER = "a" * 64, "b" * 64
REPORT = Report(
    kind="linear",
    why="agrees",
    task="binary",
    rows=Rows(source="training rows", reference=9, edges=1, missing=1, extremes=1, refused=0),
    tolerance=1e-6,
    native_one_row_us=400.0,
    native_many_rows_us=500.0,
    candidates=(Candidate(name="folded product", kind="linear", status="chosen", one_row_us=3.0, many_rows_us=4.0),),
)


def test_a_record_comes_back_as_it_was_kept_and_a_later_one_replaces_it(database: Database) -> None:
    with database.write() as conn:
        record_compiled(conn, PACKAGE, REPORT, blob="c" * 64, size=12, signed={"a": 1}, at=5)
    with database.read() as conn:
        found = find_compiled(conn, PACKAGE)
        assert find_compiled(conn, OTHER) is None
    assert found is not None
    assert (found.report, found.blob, found.size, found.signed, found.created) == (REPORT, "c" * 64, 12, {"a": 1}, 5)
    assert (found.serves, found.why) == ("linear", "agrees")
    with database.write() as conn:
        record_compiled(conn, PACKAGE, Report(kind="native", why="no way", task="binary"), at=6)
        record_compiled(conn, OTHER, REPORT, blob="d" * 64, at=6)
    with database.read() as conn:
        both = compiled_of(conn, [PACKAGE, OTHER, "e" * 64])
    assert {package: (one.serves, one.blob, one.signed) for package, one in both.items()} == {
        PACKAGE: ("native", None, None),
        OTHER: ("linear", "d" * 64, None),
    }


def test_trouble_says_that_the_original_serves_until_it_is_over(database: Database) -> None:
    with database.write() as conn:
        record_compiled(conn, PACKAGE, REPORT, blob="c" * 64, at=5)
        note_trouble(conn, PACKAGE, "blob cccccccccccc is missing")
        found = find_compiled(conn, PACKAGE)
        assert found is not None and found.serves == "native"
        assert found.why == "the compiled scorer (linear) was not loaded: blob cccccccccccc is missing"
        note_trouble(conn, PACKAGE, "")
        found = find_compiled(conn, PACKAGE)
        assert found is not None and found.serves == "linear"


@pytest.mark.parametrize("named", [True, False])
def test_a_sweep_keeps_the_artifact_that_a_record_names(database: Database, tmp_path: str, *, named: bool) -> None:
    blobs = BlobStore(f"file://{tmp_path}/blobs")
    digest = blobs.put(b"an artifact")
    with database.write() as conn:
        if named:
            record_compiled(conn, PACKAGE, REPORT, blob=digest, at=5)
        sweep(conn, blobs, before=2**62, remove=True)
    assert blobs.exists(digest) is named


def test_the_line_says_which_scorer_serves_and_how_much_faster_it_is() -> None:
    assert REPORT.line() == "linear serves (folded product): one row 3.0 us, 133x the original"
    assert Report(kind="native", why="no way").line() == "native serves: no way"
