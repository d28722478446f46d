"""Dataset versions: the same frame has the same digest, an append shares fragments."""

import itertools
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeostat.datasets import frames
from homeostat.datasets.catalogue import get_dataset, list_datasets, record_dataset
from homeostat.datasets.frames import load_dataset, put_dataset
from homeostat.ground.errors import Conflict, Corrupt, Invalid, NotFound
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database
from homeostat.store.events import list_events


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(str(tmp_path / "blobs"))


def make_frame(rows: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "n": range(rows),
            "x": [None if i % 3 == 0 else i / 7 for i in range(rows)],
            "s": [f"k{i % 5}" for i in range(rows)],
            "t": [datetime(2013, 1, 1, tzinfo=UTC)] * rows,
        },
        schema_overrides={"t": pl.Datetime("us", "UTC"), "x": pl.Float64, "s": pl.String, "n": pl.Int64},
    )


def test_a_dataset_comes_back_as_it_was(database: Database, blobs: BlobStore) -> None:
    frame = make_frame(100)
    version = put_dataset(blobs, frame, name="flights")
    with database.write() as conn:
        recorded = record_dataset(conn, version, at=5, actor="ada")
        assert record_dataset(conn, version, at=9, actor="bob") == recorded
        assert len(list_events(conn, kinds=("dataset.recorded",))) == 1
    assert (recorded.rows, recorded.created, list(recorded.schema)) == (100, 5, frame.columns)
    assert recorded.short == f"flights@{version.digest[:8]}"
    with database.read() as conn:
        for ref in (version.digest, version.digest[:8], recorded.short):
            assert load_dataset(conn, blobs, ref).equals(frame)
        assert list_datasets(conn, name="flights") == [recorded]


def test_an_empty_frame_keeps_its_columns(sqlite_database: Database, blobs: BlobStore) -> None:
    version = put_dataset(blobs, make_frame(0), name="none")
    with sqlite_database.write() as conn:
        record_dataset(conn, version, at=1, actor="ada")
        assert load_dataset(conn, blobs, version.digest).schema == make_frame(0).schema


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 1000), max_size=6), flag=st.booleans())
def test_equal_frames_have_equal_digests_however_they_were_made(blobs: BlobStore, cuts: list[int], flag: bool) -> None:  # noqa: FBT001  hypothesis gives it
    frame = make_frame(1000)
    bounds = [0, *sorted(cuts), 1000]
    pieces = [frame[start:end] for start, end in itertools.pairwise(bounds)]
    other = pl.concat(pieces, rechunk=False)
    other = other.with_columns(pl.col("n").set_sorted()) if flag else other
    assert put_dataset(blobs, other, name="a").digest == put_dataset(blobs, frame, name="a").digest


def test_another_value_name_or_type_is_another_digest(blobs: BlobStore) -> None:
    frame = make_frame(10)
    others = [
        put_dataset(blobs, frame.with_columns(pl.col("n") + 1), name="a"),
        put_dataset(blobs, frame, name="b"),
        put_dataset(blobs, frame.cast({"n": pl.Int32}), name="a"),
        put_dataset(blobs, frame[:9], name="a"),
    ]
    digests = {version.digest for version in others} | {put_dataset(blobs, frame, name="a").digest}
    assert len(digests) == 5


def test_an_append_shares_the_full_fragments(blobs: BlobStore) -> None:
    rows = frames.FRAGMENT_ROWS
    long = pl.DataFrame({"n": pl.int_range(2 * rows + 10, eager=True)})
    before, after = put_dataset(blobs, long[: 2 * rows], name="a"), put_dataset(blobs, long, name="a")
    assert after.fragments[:2] == before.fragments
    assert [part.rows for part in after.fragments] == [rows, rows, 10]


def test_a_changed_fragment_is_noticed(sqlite_database: Database, blobs: BlobStore, tmp_path: Path) -> None:
    version = put_dataset(blobs, make_frame(10), name="a")
    with sqlite_database.write() as conn:
        record_dataset(conn, version, at=1, actor="ada")
        path = next(path for path in (tmp_path / "blobs").rglob("*") if path.is_file())
        path.write_bytes(path.read_bytes()[:-1] + b"x")
        with pytest.raises(Corrupt):
            load_dataset(conn, blobs, version.digest)


def test_a_reference_that_fits_none_or_several_says_so(database: Database, blobs: BlobStore) -> None:
    version = put_dataset(blobs, make_frame(3), name="flights")
    with database.write() as conn:
        record_dataset(conn, version, at=1, actor="ada")
        with pytest.raises(NotFound, match="flights@"):
            get_dataset(conn, "flights@" + ("0000" if not version.digest.startswith("0000") else "1111"))
        with pytest.raises(Invalid, match="not a dataset reference"):
            get_dataset(conn, "no such thing%")
        from homeostat.datasets import store

        row = dict(conn.execute(store.versions.select()).mappings().one())
        conn.execute(store.versions.insert().values(**row | {"digest": version.digest[:10] + "0" * 54}))
        with pytest.raises(Conflict, match="fits several"):
            get_dataset(conn, version.digest[:8])
