"""What every blob store keeps to: bytes under their BLAKE3, verified, never half written."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec

from homeostat.ground.errors import Corrupt, HomeostatError, Invalid, NotFound
from homeostat.store.blobs import BlobStore, digest_of
from homeostat.testing.threads import all_at_once

Check = Callable[[str], None]

_EMPTY = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
"""BLAKE3 of no bytes, from the reference test vectors."""
_LARGE = bytes(range(256)) * (3 << 12)  # 3 MiB: several copy chunks


def check_blobs() -> Iterator[tuple[str, Check]]:
    """Checks that take the URL of an empty place."""
    yield "bytes come back under their digest", _comes_back
    yield "the digest is BLAKE3", _is_blake3
    yield "a file is stored like its bytes", _file_like_bytes
    yield "bytes that come in bit by bit are a blob once they are whole", _received
    yield "the same bytes are stored once", _stored_once
    yield "a large blob can be read as a stream", _read_as_stream
    yield "a blob that is not there is NotFound", _missing
    yield "changed bytes are refused", _changed_is_refused
    yield "a cut-off blob is refused", _cut_off_is_refused
    yield "what is no digest is refused, so no path can be left", _no_traversal
    yield "the same blob put by many at once is there, once", _put_at_once
    yield "another store at the same place sees the blob", _shared_place


def _files(url: str) -> list[str]:
    fs, root = fsspec.core.url_to_fs(url)
    return sorted(fs.find(root)) if fs.exists(root) else []


def _overwrite(url: str, data: bytes) -> None:
    fs, _ = fsspec.core.url_to_fs(url)
    [path] = _files(url)
    with fs.open(path, "wb") as target:
        target.write(data)


def _raised(call: Callable[[], object]) -> type[HomeostatError] | None:
    try:
        call()
    except HomeostatError as error:
        return type(error)
    return None


def _comes_back(url: str) -> None:
    store = BlobStore(url)
    for data in (b"", b"x", b"\x00\xff" * 1000, _LARGE):
        digest = store.put(data)
        assert digest == digest_of(data)
        assert store.exists(digest)
        assert store.get(digest) == data


def _is_blake3(url: str) -> None:
    assert BlobStore(url).put(b"") == _EMPTY


def _file_like_bytes(url: str) -> None:
    store = BlobStore(url)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data"
        path.write_bytes(_LARGE)
        digest = store.put_file(path)
        assert path.read_bytes() == _LARGE
    assert digest == digest_of(_LARGE)
    assert store.get(digest) == _LARGE


def _received(url: str) -> None:
    store = BlobStore(url)
    for _ in range(2):  # the second time it is there already
        incoming = store.receive()
        for start in range(0, len(_LARGE), 100_000):
            incoming.write(_LARGE[start : start + 100_000])
        digest = incoming.finish()
        incoming.discard()
        assert (digest, incoming.size) == (digest_of(_LARGE), len(_LARGE))
        assert store.get(digest) == _LARGE
    given_up = store.receive()
    given_up.write(b"half")
    given_up.discard()
    assert len(_files(url)) == 1


def _stored_once(url: str) -> None:
    store = BlobStore(url)
    assert store.put(b"same") == store.put(b"same")
    assert len(_files(url)) == 1


def _read_as_stream(url: str) -> None:
    store = BlobStore(url)
    digest = store.put(_LARGE)
    with store.open(digest) as stream:
        assert stream.read(7) == _LARGE[:7]
        assert stream.read() == _LARGE[7:]


def _missing(url: str) -> None:
    store = BlobStore(url)
    digest = digest_of(b"never stored")
    assert not store.exists(digest)
    assert _raised(lambda: store.get(digest)) is NotFound
    assert _raised(lambda: store.open(digest)) is NotFound


def _changed_is_refused(url: str) -> None:
    store = BlobStore(url)
    digest = store.put(b"what was stored")
    _overwrite(url, b"what was stirred")
    assert _raised(lambda: store.get(digest)) is Corrupt


def _cut_off_is_refused(url: str) -> None:
    store = BlobStore(url)
    digest = store.put(_LARGE)
    _overwrite(url, _LARGE[:-1])
    assert _raised(lambda: store.get(digest)) is Corrupt


def _no_traversal(url: str) -> None:
    store = BlobStore(url)
    store.put(b"something")
    digest = digest_of(b"something")
    for bad in ("", "../../etc/passwd", f"../{digest[3:]}", digest.upper(), digest[:-1], f"{digest}\n", f"{digest}0"):
        assert _raised(lambda bad=bad: store.get(bad)) is Invalid, bad  # type: ignore[misc]
        assert _raised(lambda bad=bad: store.open(bad)) is Invalid, bad  # type: ignore[misc]
        assert _raised(lambda bad=bad: store.exists(bad)) is Invalid, bad  # type: ignore[misc]


def _put_at_once(url: str) -> None:
    store = BlobStore(url)
    assert set(all_at_once(lambda _number: store.put(_LARGE), threads=8)) == {digest_of(_LARGE)}
    assert store.get(digest_of(_LARGE)) == _LARGE
    assert len(_files(url)) == 1, "temporary files were left"


def _shared_place(url: str) -> None:
    digest = BlobStore(url).put(b"shared")
    assert BlobStore(url).get(digest) == b"shared"
