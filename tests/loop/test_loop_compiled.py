"""Versions are served by their compiled scorer when it is beyond doubt, and by their original whenever it is not."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import lightgbm
import msgspec
import numpy as np
import pytest
import sqlalchemy as sa
import xgboost
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from homeostat.ground.errors import Corrupt, Refused
from homeostat.ground.ports import Served
from homeostat.ground.records import ColumnBins, FeatureColumn, InputColumn, Signature
from homeostat.ground.settings import Settings
from homeostat.loop.compile_process import compile_version
from homeostat.loop.compiled import keep_compiled
from homeostat.loop.compiling import compile_package
from homeostat.loop.reference_rows import rows_like_requests
from homeostat.loop.served import load_served
from homeostat.registry import models, versions
from homeostat.registry.fitted import fitted_model
from homeostat.registry.formats.pickled import allow_pickle
from homeostat.registry.keys import signing_key, trusted
from homeostat.registry.loading import load_version, open_package
from homeostat.registry.packaging import package_model, store_package
from homeostat.registry.signing import sign_package
from homeostat.registry.types import ModelVersion, Package, StoredPackage
from homeostat.server.views.compiled import scorers_of
from homeostat.serving.compiling.catalogue import find_compiled
from homeostat.serving.compiling.questions import Reference
from homeostat.serving.store import serving_compiled
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database, open_database
from homeostat.store.events import list_events
from homeostat.store.migrate import upgrade

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 3))
Y = X[:, 0] + X[:, 1] > 0
LINEAR = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
TREES = HistGradientBoostingClassifier(max_iter=9).fit(X, Y)
NAMES = ("a", "b", "c")
SIGNATURE = Signature(
    task="binary",
    inputs=tuple(InputColumn(name=name, dtype="number") for name in NAMES),
    columns=tuple(FeatureColumn(name=name, kind="number") for name in NAMES),
    feature_hash="",
    classes=("false", "true"),
)
ASKED = np.array([[0.1, -0.2, 0.3], [1.0, 2.0, -3.0]])


class Home:
    """A home folder with versions registered by hand."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(home=str(folder))
        folder.mkdir(exist_ok=True)
        self.database: Database = open_database(self.settings.database_url)
        upgrade(self.database)
        self.blobs = BlobStore(self.settings.blobs_url)

    def register(self, model: Any, *, name: str = "late") -> ModelVersion:
        return self.register_package(store_package(self.blobs, package_model(model)), name=name)

    def register_package(self, package: StoredPackage, *, name: str) -> ModelVersion:
        key = signing_key(self.settings)
        bundle = sign_package(key, self.blobs, package, model=name, run_id="", at=5, actor="ada")
        with self.database.write() as conn:
            models.create_model(conn, name, at=1, actor="ada")
            return versions.register_version(
                conn,
                model=name,
                run_id=None,
                package=package,
                signature=SIGNATURE,
                signed=bundle,
                at=5,
                actor="ada",
            )

    def compile(self, version: ModelVersion) -> str:
        """Compile in this process, as a training child does; gives the artifact's digest."""
        opened = open_package(self.blobs, version, trusted(self.settings), may_run_code=True)
        outcome = compile_package(
            self.blobs,
            version.package.flavor,
            opened.files,
            version.signature,
            load_version(self.blobs, version, trusted(self.settings)),
            Reference(matrix=X, source="training rows"),
            allow_pickle=False,
        )
        with self.database.write() as conn:
            keep_compiled(conn, self.blobs, self.settings, version, outcome, at=6, actor="ada")
        assert outcome.blob is not None, outcome.report.why
        return outcome.blob

    def served(self, version: ModelVersion) -> Served:
        return load_served(self.database, self.blobs, version.model, version.version, trust=trusted(self.settings))

    def scorer(self, version: ModelVersion) -> dict[str, Any]:
        with self.database.read() as conn:
            return scorers_of(conn, [version])[version.package.digest]

    def blob(self, digest: str) -> Path:
        return self.settings.home_path / "blobs" / digest[:2] / digest[2:]

    def change(self, **values: Any) -> None:
        with self.database.write() as conn:
            conn.execute(serving_compiled.update().values(**values))


@pytest.fixture
def home(tmp_path: Path) -> Any:
    made = Home(tmp_path / "home")
    yield made
    made.database.close()


@pytest.mark.parametrize(("model", "kind"), [(LINEAR, "linear"), (TREES, "onnx")])
def test_a_compiled_version_is_served_compiled_and_answers_the_same(home: Home, model: Any, kind: str) -> None:
    version = home.register(model)
    before = home.served(version)
    assert (before.scorer_kind, home.scorer(version)["why"]) == ("native", "it was not compiled")
    home.compile(version)
    served = home.served(version)
    assert served.scorer_kind == home.scorer(version)["kind"] == kind
    np.testing.assert_allclose(served.scorer.score(ASKED), before.scorer.score(ASKED), rtol=0, atol=1e-12)
    with home.database.read() as conn:
        (event,) = list_events(conn, kinds=["version.compiled"])
    assert (event.subject, event.data["kind"]) == ("late", kind)


def test_another_version_of_the_same_package_is_served_compiled_too(home: Home) -> None:
    version = home.register(LINEAR)
    home.compile(version)
    assert home.served(home.register_package(version.package, name="later")).scorer_kind == "linear"


def test_a_changed_artifact_is_not_served_and_everybody_is_told(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    version = home.register(LINEAR)
    blob = home.blob(home.compile(version))
    right = blob.read_bytes()
    blob.write_bytes(right.replace(b"sigmoid", b"softmax"))
    served = home.served(version)
    assert served.scorer_kind == "native"
    np.testing.assert_allclose(served.scorer.score(ASKED), LINEAR.predict_proba(ASKED)[:, 1])
    assert "the compiled scorer of late@1 is not used: blob" in capsys.readouterr().err
    told = home.scorer(version)
    assert told["kind"] == "native" and "was changed on disk" in told["why"]
    blob.write_bytes(right)
    assert home.served(version).scorer_kind == home.scorer(version)["kind"] == "linear"


def test_a_missing_artifact_is_not_served(home: Home) -> None:
    version = home.register(TREES)
    home.blob(home.compile(version)).unlink()
    assert home.served(version).scorer_kind == "native"
    assert "is missing" in home.scorer(version)["why"]


def test_an_artifact_that_nobody_trusted_signed_is_not_served(home: Home) -> None:
    version = home.register(LINEAR)
    digest = home.compile(version)
    # Somebody who may write into the catalogue and the blobs, and has not the key.
    swapped = home.blobs.put(home.blobs.get(digest).replace(b"sigmoid", b"softmax"))
    home.change(blob=swapped)
    assert home.served(version).scorer_kind == "native"
    assert "its bytes are not those that were signed" in home.scorer(version)["why"]
    home.change(blob=digest, signed=sa.null())
    assert home.served(version).scorer_kind == "native"
    other = home.register(TREES, name="other")
    home.compile(other)
    with home.database.read() as conn:
        record = find_compiled(conn, other.package.digest)
    assert record is not None
    with home.database.write() as conn:
        same = serving_compiled.c.package == version.package.digest
        conn.execute(serving_compiled.update().where(same).values(blob=record.blob, signed=record.signed))
    assert home.served(version).scorer_kind == "native"
    assert "it was made from another package" in home.scorer(version)["why"]


def test_a_version_whose_own_files_were_changed_is_refused_whichever_scorer_it_has(home: Home) -> None:
    version = home.register(LINEAR)
    home.compile(version)
    blob = home.blob(version.package.manifest["model.skops"].digest)
    blob.write_bytes(blob.read_bytes() + b" ")
    with pytest.raises(Corrupt, match=r"model\.skops of late@1 was changed"):
        home.served(version)


def test_a_version_of_texts_keeps_its_original(home: Home) -> None:
    text = FeatureColumn(name="a", kind="text")
    signature = Signature(task="binary", inputs=SIGNATURE.inputs[:1], columns=(text,), feature_hash="")
    outcome = compile_package(
        home.blobs,
        "sklearn-skops",
        {},
        signature,
        LINEAR,
        Reference(matrix=X, source="training rows"),
        allow_pickle=False,
    )
    assert (outcome.blob, outcome.report.kind) == (None, "native")
    assert "texts" in outcome.report.why


def test_a_package_that_cannot_be_read_is_a_reason_and_not_an_error(home: Home) -> None:
    outcome = compile_package(
        home.blobs,
        "sklearn-skops",
        {"model.skops": b"nothing"},
        SIGNATURE,
        LINEAR,
        Reference(matrix=X, source="training rows"),
        allow_pickle=False,
    )
    assert outcome.report.kind == "native" and "raised Corrupt" in outcome.report.why


MLMODEL = b"flavors:\n  sklearn:\n    pickled_model: model.skops\n"


def test_the_model_inside_a_package_is_found_in_every_flavor() -> None:
    skops = package_model(LINEAR).files["model.skops"]
    wrapped = fitted_model("mlflow", {"MLmodel": MLMODEL, "model.skops": skops})
    assert (wrapped.library, type(wrapped.model).__name__) == ("sklearn", "Pipeline")
    booster = lightgbm.train({"objective": "binary", "verbose": -1}, lightgbm.Dataset(X, Y), 3)
    tree = xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(X, Y), 3)
    for library, model in (("lightgbm", booster), ("xgboost", tree)):
        package = package_model(model)
        found = fitted_model(package.flavor, package.files)
        assert (found.library, type(found.model).__name__) == (library, "Booster")
    wrapper = lightgbm.LGBMClassifier(n_estimators=3, verbose=-1).fit(X, Y)
    pickled = package_model(allow_pickle(wrapper, reason="a test"))
    hidden = fitted_model(pickled.flavor, pickled.files, allow_pickle=True)
    assert (hidden.library, type(hidden.model).__name__) == ("lightgbm", "Booster")
    with pytest.raises(Refused, match="nobody signed a permission"):
        fitted_model(pickled.flavor, pickled.files)
    with pytest.raises(Corrupt, match="has no file model"):
        fitted_model("lightgbm", {})
    assert fitted_model("network", {}).model is None


@pytest.mark.slow
def test_a_model_in_mlflows_format_is_compiled_on_its_input_example(home: Home) -> None:
    files = {
        "MLmodel": MLMODEL,
        "model.skops": package_model(TREES).files["model.skops"],
        "input_example.json": msgspec.json.encode({"columns": list(NAMES), "data": X[:5].tolist()}),
    }
    version = home.register_package(store_package(home.blobs, Package("mlflow", files)), name="logged")
    record = compile_version(home.database, home.blobs, home.settings, "logged", 1, at=7, actor="ada")
    assert record.kind == "onnx" and record.report.rows is not None
    assert (record.report.rows.source, record.report.rows.reference) == ("input example", 505)
    assert home.served(version).scorer_kind == "onnx"


def test_rows_are_those_of_the_input_example_and_around_it() -> None:
    example = b'{"columns": ["b", "a", "c"], "data": [[2, 1.5, null], [4, 2.5, 3]]}'
    reference = rows_like_requests(SIGNATURE, (), {"input_example.json": example})
    assert reference.source == "input example"
    np.testing.assert_array_equal(reference.matrix[:2], [[1.5, 2, np.nan], [2.5, 4, 3]])
    assert len(reference.matrix) > 100
    plain = rows_like_requests(SIGNATURE, (), {"input_example.json": b"[[1, 2, 3]]"})
    assert plain.source == "input example"
    for unusable in (b"{", b'[["x", 2, 3]]', b"[[1]]", b'{"columns": ["z"], "data": [[1]]}'):
        assert rows_like_requests(SIGNATURE, (), {"input_example.json": unusable}).source == "generated rows"


def test_rows_fall_into_the_reference_bins_as_training_rows_did() -> None:
    bins = (
        ColumnBins(name="a", kind="number", edges=(0.0, 1.0, 2.0), counts=(0, 50, 50, 0, 100)),
        ColumnBins(name="b", kind="category", categories=("x", "y"), counts=(100, 0, 0, 0)),
        ColumnBins(name="c", kind="number", counts=(0, 0, 0)),
    )
    reference = rows_like_requests(SIGNATURE, bins, {})
    assert reference.source == "reference bins"
    first, second = reference.matrix[:, 0], reference.matrix[:, 1]
    assert 0.3 < np.isnan(first).mean() < 0.7
    assert np.nanmin(first) > 0 and np.nanmax(first) <= 2.0
    assert {1.0, 2.0} <= set(first[~np.isnan(first)])
    assert set(second) == {0.0}


@pytest.mark.slow
def test_a_version_registered_by_hand_is_compiled_in_a_process_of_its_own(home: Home) -> None:
    version = home.register(TREES)
    record = compile_version(home.database, home.blobs, home.settings, "late", 1, at=7, actor="ada")
    assert (record.kind, record.report.rows and record.report.rows.source) == ("onnx", "generated rows")
    assert home.served(version).scorer_kind == "onnx"
    again = compile_version(home.database, home.blobs, home.settings, "late", 1, at=8, actor="ada")
    assert again == record  # it is not done twice
    anew = compile_version(home.database, home.blobs, home.settings, "late", 1, again=True, at=9, actor="ada")
    assert (anew.kind, anew.created) == ("onnx", 9)


@pytest.mark.slow
def test_the_command_explains_every_way(home: Home) -> None:
    home.register(LINEAR)
    words = [sys.executable, "-m", "homeostat.cli.entry", "model", "compile", "late@1"]
    where = ["--home", str(home.settings.home_path)]
    said = subprocess.run([*words, "--explain", *where], capture_output=True, text=True, check=True, timeout=120).stdout
    assert said.startswith("linear serves (folded product): one row ")
    for part in ("500 generated rows", "folded product    chosen", "skl2onnx float32", "treelite", "because"):
        assert part in said
    wrong = subprocess.run([*words[:-1], "late@9", *where], capture_output=True, text=True, check=False, timeout=120)
    assert wrong.returncode == 2 and "has no version 9" in wrong.stderr
