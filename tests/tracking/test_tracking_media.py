"""Media of a run, read back by the libraries they are for."""

import io
import json
import wave
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.figure
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import polars as pl
import pytest
from PIL import Image

from homeostat.ground.errors import Invalid, NotFound
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database
from homeostat.tracking import artifacts
from homeostat.tracking.client import ActiveRun

if TYPE_CHECKING:
    from conftest import Places

mpl.use("agg")


class Kept:
    """The files of a run that has ended."""

    def __init__(self, database: Database, places: "Places", run: ActiveRun) -> None:
        with database.read() as conn:
            self.digests = {item.path: item.digest for item in artifacts.list_artifacts(conn, run.id)}
        self._blobs = BlobStore(str(places.home / "blobs"))

    def __getitem__(self, path: str) -> bytes:
        return self._blobs.get(self.digests[path])


@pytest.mark.parametrize(
    "rows",
    [
        [{"x": 1, "y": "a"}, {"x": 2, "y": "ü"}],
        {"x": [1, 2], "y": ["a", "ü"]},
        pl.DataFrame({"x": [1, 2], "y": ["a", "ü"]}),
        pd.DataFrame({"x": [1, 2], "y": ["a", "ü"]}),
        pl.LazyFrame({"x": [1, 2], "y": ["a", "ü"]}),
    ],
    ids=["dicts", "columns", "polars", "pandas", "lazy"],
)
def test_a_table_is_parquet_with_a_preview(sqlite_database: Database, sqlite_places: "Places", rows: Any) -> None:
    with ActiveRun(sqlite_places.at(), "exp") as run:
        assert run.table("predictions", rows) == "tables/predictions.parquet"
    kept = Kept(sqlite_database, sqlite_places, run)
    assert pl.read_parquet(kept["tables/predictions.parquet"]).rows() == [(1, "a"), (2, "ü")]
    preview = json.loads(kept["tables/predictions.preview.json"])
    assert (preview["rows"], preview["total"]) == ([[1, "a"], [2, "ü"]], 2)


def test_pandas_missing_values_times_and_categories_survive(sqlite_database: Database, sqlite_places: "Places") -> None:
    frame = pd.DataFrame(
        {
            "n": pd.array([1, None], dtype="Int64"),
            "f": [0.5, float("nan")],
            "t": pd.to_datetime(["2024-01-01", None]),
            "c": pd.Categorical(["a", None]),
            "b": [True, False],
        }
    )
    with ActiveRun(sqlite_places.at(), "exp") as run:
        run.table("t", frame)
    table = pl.read_parquet(Kept(sqlite_database, sqlite_places, run)["tables/t.parquet"])
    assert table["n"].to_list() == [1, None] and table["c"].to_list() == ["a", None]
    assert table["b"].to_list() == [True, False] and str(table["t"][0]).startswith("2024-01-01")


def test_what_is_no_table_is_refused(sqlite_places: "Places") -> None:
    with ActiveRun(sqlite_places.at(), "exp") as run:
        with pytest.raises(Invalid, match="'t' is a int"):
            run.table("t", 3)
        with pytest.raises(Invalid, match="'t'"):
            run.table("t", {"a": [1], "b": [1, 2]})


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3), (5, 7, 4), (3, 16, 16)])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_an_array_becomes_the_png_that_pillow_reads(
    sqlite_database: Database, sqlite_places: "Places", shape: tuple[int, ...], kind: type[np.generic]
) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    given = pixels if kind is np.uint8 else (pixels / 255).astype(kind)
    with ActiveRun(sqlite_places.at(), "exp") as run:
        assert run.image("sample", given, step=3) == "images/sample/00000003.png"
    found = np.asarray(Image.open(io.BytesIO(Kept(sqlite_database, sqlite_places, run)["images/sample/00000003.png"])))
    expected = np.moveaxis(pixels, 0, 2) if shape == (3, 16, 16) else pixels.squeeze()
    assert np.array_equal(found, expected)


def test_pillow_images_and_files_are_kept_as_they_are(
    sqlite_database: Database, sqlite_places: "Places", tmp_path: Path
) -> None:
    image = Image.new("RGB", (4, 3), (255, 0, 0))
    image.save(tmp_path / "red.jpg")
    with ActiveRun(sqlite_places.at(), "exp") as run:
        run.image("made", image, caption="all red")
        run.image("file", tmp_path / "red.jpg")
        with pytest.raises(Invalid, match="shape"):
            run.image("bad", np.zeros((2, 2, 2, 2)))
        with pytest.raises(NotFound, match="no file"):
            run.image("gone", tmp_path / "gone.png")
    kept = Kept(sqlite_database, sqlite_places, run)
    assert Image.open(io.BytesIO(kept["images/made.png"])).getpixel((0, 0)) == (255, 0, 0)
    assert kept["images/file.jpg"] == (tmp_path / "red.jpg").read_bytes()
    assert kept["images/made.caption.txt"] == b"all red"


def test_figures_of_matplotlib_are_png_and_svg_and_of_plotly_html_and_json(
    sqlite_database: Database, sqlite_places: "Places"
) -> None:
    figure = matplotlib.figure.Figure()
    axes = figure.subplots()
    axes.plot([1, 2, 3])
    plotly = go.Figure(go.Scatter(y=[1, 3, 2]))
    with ActiveRun(sqlite_places.at(), "exp") as run:
        run.figure("loss", figure)
        run.figure("axes", axes)
        run.figure("curve", plotly)
        run.figure("curve2", plotly)
        with pytest.raises(Invalid, match="Matplotlib or Plotly"):
            run.figure("bad", object())
    kept = Kept(sqlite_database, sqlite_places, run)
    assert Image.open(io.BytesIO(kept["figures/loss.png"])).format == "PNG"
    assert b"<svg" in kept["figures/loss.svg"]
    assert kept.digests["figures/axes.png"] == kept.digests["figures/loss.png"]
    assert json.loads(kept["figures/curve.json"])["data"][0]["type"] == "scatter"
    assert b"plotly.min.js" in kept["figures/curve.html"] and len(kept["figures/curve.html"]) < 100_000
    assert len(kept["figures/plotly.min.js"]) > 1_000_000


def test_sound_is_wav_and_values_are_spread_over_bins(sqlite_database: Database, sqlite_places: "Places") -> None:
    tone = np.sin(np.arange(8000) / 10)
    with ActiveRun(sqlite_places.at(), "exp") as run:
        run.audio("tone", np.stack([tone, -tone], axis=1), rate=8000)
        run.histogram("weights", np.array([0.0, 1.0, 1.0, np.nan]), bins=2)
        run.text("words", "grüße\n")
        with pytest.raises(Invalid, match="rate"):
            run.audio("bad", tone, rate=0)
    kept = Kept(sqlite_database, sqlite_places, run)
    with wave.open(io.BytesIO(kept["audio/tone.wav"])) as sound:
        assert (sound.getnchannels(), sound.getframerate(), sound.getnframes()) == (2, 8000, 8000)
        left = np.frombuffer(sound.readframes(8000), "<i2")[::2]
    assert np.allclose(left / 32767, tone, atol=1e-4)
    assert json.loads(kept["histograms/weights.json"]) == {"edges": [0, 0.5, 1], "counts": [1, 2], "not_finite": 1}
    assert kept["text/words.txt"].decode() == "grüße\n"


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../b", "a\\b", "a\x00", "a//b", "C:/x"])
def test_a_path_that_leads_outside_the_run_is_refused(sqlite_places: "Places", path: str) -> None:
    with ActiveRun(sqlite_places.at(), "exp") as run:
        with pytest.raises(Invalid, match="artifact path"):
            run.artifact(path, b"x")
        with pytest.raises(Invalid, match="artifact path"):
            run.text(path, "x")


def test_a_folder_is_kept_without_links_that_lead_out(
    sqlite_database: Database, sqlite_places: "Places", tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.bin").write_bytes(b"same")
    (folder / "sub" / "b.bin").write_bytes(b"same")
    (tmp_path / "secret").write_text("secret")
    (folder / "link").symlink_to(tmp_path / "secret")
    with ActiveRun(sqlite_places.at(), "exp") as run:
        assert run.artifacts(folder, below="model") == ["model/a.bin", "model/sub/b.bin"]
        assert len(list((run._begun().writer.folder / "files").iterdir())) == 1
    kept = Kept(sqlite_database, sqlite_places, run)
    assert kept["model/sub/b.bin"] == b"same" and "model/link" not in kept.digests
