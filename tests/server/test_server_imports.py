import io

import pytest
from running_server import Running

from homeostat.compat.importers.batch import FilePart, Head, ImportBatch, SeriesPart
from homeostat.compat.importers.remote_sink import RemoteSink
from homeostat.ground.errors import Denied, NotFound
from homeostat.tracking.points import points_of


def _head(project: str = "mine", identity: str = "test:1") -> Head:
    return Head(identity=identity, label="one", project=project, name="n", status="finished", started=1, ended=2)


def _batch(head: Head, digest: str, size: int) -> ImportBatch:
    series = [SeriesPart.of("loss", points_of([0, 1], [10, 20], [1.0, float("nan")]))]
    return ImportBatch(head=head, series=series, files=[FilePart("a.txt", digest, size)], is_last=True)


def test_a_stretch_that_is_sent_twice_arrives_once(guarded_on_both: Running) -> None:
    sink = RemoteSink(guarded_on_both.url, token=guarded_on_both.make_token())
    digest, size = sink.put(io.BytesIO(b"x" * 100_000))
    assert size == 100_000 and sink.put(io.BytesIO(b"x" * 100_000)) == (digest, size)
    first = sink.take_in(_batch(_head(), digest, size))
    again = sink.take_in(_batch(_head(), digest, size))
    sink.close()
    assert (first.is_new, first.points, first.files) == (True, 2, 1)
    assert (again.run_id, again.is_new, again.points, again.files) == (first.run_id, False, 0, 0)


def test_bytes_that_were_not_sent_are_asked_for(guarded: Running) -> None:
    sink = RemoteSink(guarded.url, token=guarded.make_token())
    with pytest.raises(NotFound, match=r"the bytes of 'a\.txt' are not here"):
        sink.take_in(_batch(_head(), "0" * 64, 1))
    sink.close()


def test_a_token_of_one_project_imports_into_no_other(guarded: Running) -> None:
    whole = RemoteSink(guarded.url, token=guarded.make_token("whole"))
    digest, size = whole.put(io.BytesIO(b"data"))
    theirs = whole.take_in(_batch(_head("theirs"), digest, size))
    whole.close()
    mine = RemoteSink(guarded.url, token=guarded.make_token("mine", projects=["mine"]))
    with pytest.raises(Denied):
        mine.take_in(_batch(_head("theirs", "test:2"), digest, size))
    # Nor by the identity and id of a run that is there.
    stolen = Head(
        identity="test:1",
        label="one",
        project="mine",
        name="n",
        status="finished",
        started=1,
        wanted_id=theirs.run_id,
    )
    with pytest.raises(Denied):
        mine.take_in(ImportBatch(head=stolen, is_last=True))
    mine.close()
    reader = RemoteSink(guarded.url, token=guarded.make_token("reader", permissions=("read",)))
    with pytest.raises(Denied):
        reader.take_in(ImportBatch(head=_head()))
    reader.close()


def test_a_body_that_is_no_stretch_is_refused_in_words(guarded: Running) -> None:
    token = guarded.make_token()
    for body in (b"", b"\xc1", b"{}", b"\x80"):
        answer = guarded.call("POST", "/api/imports", token, content=body)
        assert answer.status_code == 400 and answer.json()["error"]
