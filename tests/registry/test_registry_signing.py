"""Signing: what was signed loads, what was changed, added or left out is refused by name, and OpenSSF's tool agrees."""

import json
import os
import stat
import subprocess
from base64 import b64decode, b64encode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sklearn.linear_model import Ridge

from homeostat.cli.packages import export, keys, verify
from homeostat.ground.errors import Conflict, Corrupt, HomeostatError, Invalid, NotFound, Refused
from homeostat.ground.records import FeatureColumn, InputColumn, Signature
from homeostat.ground.settings import Settings
from homeostat.registry import models, store, versions
from homeostat.registry.formats.network import Network
from homeostat.registry.formats.pickled import allow_pickle
from homeostat.registry.keys import Trust, key_id, public_pem, signing_key, trusted
from homeostat.registry.loading import load_version
from homeostat.registry.packaging import package_model, store_package
from homeostat.registry.signing import export_version, sign_package, verify_folder, verify_version
from homeostat.registry.types import ModelVersion
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database, open_database
from homeostat.store.migrate import upgrade

CLIENTS = Path(__file__).parents[2] / ".venv" / "clients" / "bin" / "python"
X = np.random.default_rng(0).normal(size=(50, 2))
RIDGE = Ridge().fit(X, X[:, 0])
NETWORK = Network({"0.weight": np.ones((1, 2), np.float32), "0.bias": np.zeros(1, np.float32)}, ["linear:0"])
SIGNATURE = Signature(
    task="regression",
    inputs=(InputColumn(name="a", dtype="float"),),
    columns=(FeatureColumn(name="a", kind="number"), FeatureColumn(name="b", kind="number")),
    feature_hash="f" * 16,
)


class Home:
    """A home folder with its catalogue and blobs."""

    def __init__(self, folder: Path, database: Database | None = None) -> None:
        self.settings = Settings(home=str(folder))
        folder.mkdir(exist_ok=True)
        self.database = database or open_database(self.settings.database_url)
        upgrade(self.database)
        self.blobs = BlobStore(self.settings.blobs_url)

    def register(self, model: Any = RIDGE, *, run_id: str = "r" * 32, signed: bool = True) -> ModelVersion:
        package = store_package(self.blobs, package_model(model))
        bundle = None
        if signed:
            key = signing_key(self.settings)
            bundle = sign_package(key, self.blobs, package, model="late", run_id=run_id, at=5, actor="ada")
        with self.database.write() as conn:
            models.create_model(conn, "late", at=1, actor="ada")
            return versions.register_version(
                conn,
                model="late",
                run_id=run_id,
                package=package,
                signature=SIGNATURE,
                signed=bundle,
                at=5,
                actor="ada",
            )

    @property
    def trust(self) -> Trust:
        return trusted(self.settings)

    def blob_of(self, version: ModelVersion, path: str) -> Path:
        digest = version.package.manifest[path].digest
        return self.settings.home_path / "blobs" / digest[:2] / digest[2:]


@pytest.fixture
def home(tmp_path: Path, sqlite_database: Database) -> Home:
    return Home(tmp_path / "home", sqlite_database)


def with_package(version: ModelVersion, **files: Any) -> ModelVersion:
    """The version as it would come back after somebody wrote to its row."""
    manifest = {path: file for path, file in (version.package.manifest | files).items() if file is not None}
    return msgspec.structs.replace(version, package=msgspec.structs.replace(version.package, manifest=manifest))


def test_a_signed_version_comes_back_from_both_databases_and_answers(database: Database, tmp_path: Path) -> None:
    home = Home(tmp_path / "home", database)
    home.register()
    with database.read() as conn:
        version = versions.get_version(conn, "late", 1)
    assert load_version(home.blobs, version, home.trust).score(X) == pytest.approx(RIDGE.predict(X))
    found = verify_version(home.blobs, version, home.trust)
    assert found.signed and found.files == ("model.skops",)
    assert found.key_id == key_id(signing_key(home.settings).public_key())


def test_the_key_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path / "fresh"))
    with ThreadPoolExecutor(8) as pool:
        made = {key_id(key.public_key()) for key in pool.map(signing_key, [settings] * 16)}
    assert len(made) == 1 and set(trusted(settings).keys) == made
    assert stat.S_IMODE((settings.home_path / "keys" / "signing.pem").stat().st_mode) == 0o600
    assert (
        len(list((settings.home_path / "keys").rglob("*.pem")))
        == 2
        == len([path for path in (settings.home_path / "keys").rglob("*") if path.is_file()])
    )


def test_a_changed_file_is_refused_by_name(home: Home) -> None:
    version = home.register()
    blob = home.blob_of(version, "model.skops")
    blob.write_bytes(blob.read_bytes().replace(b"Ridge", b"Lasso"))
    for act in (load_version, verify_version):
        with pytest.raises(Corrupt, match=r"model\.skops of late@1 was changed") as caught:
            act(home.blobs, version, home.trust)
        assert caught.value.field == "model.skops"
    blob.unlink()
    with pytest.raises(Corrupt, match=r"model\.skops of late@1 is missing"):
        load_version(home.blobs, version, home.trust)


def test_another_file_under_the_same_name_is_refused_though_its_own_digest_is_right(home: Home) -> None:
    version = home.register()
    other = store_package(home.blobs, package_model(Ridge(alpha=9).fit(X, X[:, 1]))).manifest["model.skops"]
    with pytest.raises(Corrupt, match=r"model\.skops of late@1 was changed"):
        load_version(home.blobs, with_package(version, **{"model.skops": other}), home.trust)


def test_an_added_or_missing_file_is_refused_by_name(home: Home) -> None:
    version = home.register(NETWORK)
    extra = version.package.manifest["network.json"]
    with pytest.raises(Corrupt, match=r"extra\.py was added to late@1"):
        load_version(home.blobs, with_package(version, **{"extra.py": extra}), home.trust)
    with pytest.raises(Corrupt, match=r"network\.json of late@1 is missing"):
        load_version(home.blobs, with_package(version, **{"network.json": None}), home.trust)


def test_a_foreign_signer_is_refused_by_its_key_until_it_is_trusted(home: Home, tmp_path: Path) -> None:
    stranger = Home(tmp_path / "stranger")
    key = signing_key(stranger.settings)
    version = msgspec.structs.replace(home.register(NETWORK), signed=stranger.register(NETWORK).signed)
    signing_key(home.settings)
    with pytest.raises(Refused, match=key_id(key.public_key())) as caught:
        load_version(home.blobs, version, home.trust)
    assert "trusted_keys" in caught.value.next_step
    listed = tmp_path / "partners"
    listed.mkdir()
    (listed / "stranger.pem").write_bytes(public_pem(key.public_key()))
    for given in (str(listed), str(listed / "stranger.pem")):
        load_version(home.blobs, version, trusted(msgspec.structs.replace(home.settings, trusted_keys=given)))
    stranger.database.close()


def test_unsigned_versions_load_unless_a_signature_is_required(home: Home) -> None:
    version = home.register(signed=False)
    assert version.signed is None
    assert load_version(home.blobs, version, home.trust).score(X[:1]).shape == (1,)
    required = trusted(msgspec.structs.replace(home.settings, require_signature=True))
    with pytest.raises(Refused, match="late@1 is not signed"):
        load_version(home.blobs, version, required)
    with home.database.read() as conn:  # a missing bundle is NULL, not JSON's null
        assert conn.execute(sa.select(store.versions.c.signed.is_(None))).scalar() == 1


def forged(bundle: dict[str, Any], change: str, value: str) -> dict[str, Any]:
    payload = b64decode(bundle["dsseEnvelope"]["payload"]).decode()
    assert change in payload
    envelope = bundle["dsseEnvelope"] | {"payload": b64encode(payload.replace(change, value).encode()).decode()}
    return bundle | {"dsseEnvelope": envelope}


def test_a_forged_statement_is_refused(home: Home) -> None:
    version = home.register()
    assert version.signed is not None
    digest = version.package.manifest["model.skops"].sha256
    for change, value in ((digest, "0" * 64), ("sklearn-skops", "pickle"), ("ada", "bob")):
        with pytest.raises(Corrupt, match="signature was changed"):
            load_version(
                home.blobs, msgspec.structs.replace(version, signed=forged(version.signed, change, value)), home.trust
            )


@pytest.mark.parametrize(
    "bundle",
    [
        {},
        {"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json"},
        {"dsseEnvelope": None, "verificationMaterial": []},
        {"dsseEnvelope": {"signatures": []}, "verificationMaterial": {"publicKey": {"hint": 3}}},
    ],
)
def test_what_is_no_bundle_is_refused(home: Home, bundle: dict[str, Any]) -> None:
    version = msgspec.structs.replace(home.register(), signed=bundle)
    with pytest.raises(Corrupt, match="not a bundle"):
        load_version(home.blobs, version, home.trust)


def test_another_flavor_or_declared_file_than_the_signed_one_is_refused(home: Home) -> None:
    version = home.register()
    package = msgspec.structs.replace(version.package, flavor="onnx")
    with pytest.raises(Corrupt, match="signed as 'sklearn-skops' and is now 'onnx'"):
        load_version(home.blobs, msgspec.structs.replace(version, package=package), home.trust)
    key = signing_key(home.settings)
    bundle = sign_package(
        key, home.blobs, version.package, model="late", run_id="r", declaration="d" * 64, at=5, actor="ada"
    )
    bound = msgspec.structs.replace(version, signed=bundle, lineage={"file_digest": "d" * 64})
    load_version(home.blobs, bound, home.trust)
    with pytest.raises(Corrupt, match="declared file"):
        load_version(home.blobs, msgspec.structs.replace(bound, lineage={"file_digest": "e" * 64}), home.trust)


class OwnModel:
    """A class that no safe format holds."""

    def predict(self, rows: Any) -> Any:
        return rows[:, 0] * 3


def test_a_pickle_loads_only_with_a_signed_permission_and_never_in_a_server(home: Home) -> None:
    version = home.register(allow_pickle(OwnModel(), reason="our own class"))
    scorer = load_version(home.blobs, version, home.trust, may_run_code=True)
    assert scorer.score(X) == pytest.approx(X[:, 0] * 3)
    with pytest.raises(Refused, match="only a serving worker"):
        load_version(home.blobs, version, home.trust)
    assert verify_version(home.blobs, version, home.trust).pickle == {
        "by": "ada",
        "at": "1970-01-01T00:00:00.000005Z",
        "reason": "our own class",
    }
    with pytest.raises(Refused, match="nobody signed a permission"):
        load_version(home.blobs, msgspec.structs.replace(version, signed=None), home.trust, may_run_code=True)
    without = msgspec.structs.replace(version.package, permission=None)
    bundle = sign_package(
        signing_key(home.settings), home.blobs, without, model="late", run_id="r" * 32, at=5, actor="ada"
    )
    with pytest.raises(Refused, match="nobody signed a permission"):
        load_version(home.blobs, msgspec.structs.replace(version, signed=bundle), home.trust, may_run_code=True)


def test_a_pickle_without_a_reason_is_refused() -> None:
    with pytest.raises(Invalid, match="needs a reason"):
        allow_pickle(OwnModel(), reason=" ")
    with pytest.raises(Refused, match="cannot be packaged"):
        package_model(OwnModel())


@pytest.mark.parametrize("content", [b"", b"nonsense", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_a_file_that_is_no_key_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.pem").write_bytes(content)
    for field, act in (("signing_key", signing_key), ("trusted_keys", trusted)):
        settings = Settings(home=str(tmp_path / "home"), **{field: str(tmp_path / "bad.pem")})  # type: ignore[arg-type]
        with pytest.raises(Invalid, match=r"bad\.pem") as caught:
            act(settings)
        assert caught.value.field == field
        gone = Settings(home=str(tmp_path / "home"), **{field: str(tmp_path / "gone.pem")})  # type: ignore[arg-type]
        with pytest.raises(NotFound):
            act(gone)


def test_a_key_of_another_curve_signs_too(home: Home, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    path = tmp_path / "own.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    home.settings = msgspec.structs.replace(home.settings, signing_key=str(path))
    assert verify_version(home.blobs, home.register(), home.trust).key_id == key_id(key.public_key())


def test_an_exported_folder_verifies_and_tampering_is_named(home: Home, tmp_path: Path) -> None:
    version, folder = home.register(NETWORK), tmp_path / "out"
    assert export_version(home.blobs, version, home.trust, folder) == ["model.safetensors", "network.json", "model.sig"]
    assert set(verify_folder(folder, home.trust).files) == {"model.safetensors", "network.json"}
    with pytest.raises(Conflict, match="not empty"):
        export_version(home.blobs, version, home.trust, folder)
    (folder / "extra.py").write_text("import os")
    with pytest.raises(Corrupt, match=r"extra\.py was added"):
        verify_folder(folder, home.trust)
    (folder / "extra.py").unlink()
    (folder / "link").symlink_to("/etc/hosts")
    with pytest.raises(Refused, match="link is a link"):
        verify_folder(folder, home.trust)
    (folder / "link").unlink()
    content = (folder / "network.json").read_bytes()
    (folder / "network.json").write_bytes(content + b" ")
    with pytest.raises(Corrupt, match=r"network\.json of out was changed"):
        verify_folder(folder, home.trust)
    (folder / "network.json").unlink()
    with pytest.raises(Corrupt, match=r"network\.json of out is missing"):
        verify_folder(folder, home.trust)
    (folder / "model.sig").write_text("{")
    with pytest.raises(Corrupt, match="not JSON"):
        verify_folder(folder, home.trust)


@pytest.mark.parametrize("path", ["../out.txt", "/etc/out.txt", "a/../../out", "a\\b", "a//b", "model.sig", "a\0b"])
def test_a_path_that_leads_out_is_not_exported(home: Home, tmp_path: Path, path: str) -> None:
    version = home.register(signed=False)
    moved = with_package(version, **{path: version.package.manifest["model.skops"]})
    with pytest.raises(Invalid, match="cannot be a file of a package"):
        export_version(home.blobs, moved, home.trust, tmp_path / "deep" / "out")
    assert not (tmp_path / "deep" / "out.txt").exists()


def test_the_commands_show_verify_and_export(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    version, runner = home.register(), CliRunner()
    where = ["--home", str(home.settings.home_path)]
    shown = json.loads(runner.invoke(keys, ["show", "--json", *where], catch_exceptions=False).output)
    assert shown["key_id"] == key_id(signing_key(home.settings).public_key())
    said = json.loads(runner.invoke(verify, ["late@1", "--json", *where], catch_exceptions=False).output)
    assert said["signed"] and said["key_id"] == shown["key_id"]
    out = str(tmp_path / "out")
    assert "model.sig" in runner.invoke(export, ["late@1", out, *where], catch_exceptions=False).output
    assert shown["key_id"] in runner.invoke(verify, [out, *where], catch_exceptions=False).output
    home.blob_of(version, "model.skops").write_bytes(b"other")
    with pytest.raises(HomeostatError, match=r"model\.skops of late@1 was changed"):
        runner.invoke(verify, ["late@1", *where], catch_exceptions=False)
    home.database.close()


def model_signing(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(CLIENTS), "-m", "model_signing", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONWARNINGS": ""})


@pytest.mark.slow
def test_openssf_model_signing_accepts_our_bundle_and_refuses_what_was_changed(home: Home, tmp_path: Path) -> None:
    folder, public = tmp_path / "out", tmp_path / "public.pem"
    export_version(home.blobs, home.register(NETWORK), home.trust, folder)
    public.write_bytes(public_pem(signing_key(home.settings).public_key()))
    check = ("verify", "key", str(folder), "--signature", str(folder / "model.sig"), "--public_key", str(public))
    answer = model_signing(*check)
    assert answer.returncode == 0, answer.stderr
    (folder / "extra.py").write_text("import os")
    assert "extra.py" in model_signing(*check).stderr
    (folder / "extra.py").unlink()
    (folder / "network.json").write_text("{}")
    answer = model_signing(*check)
    assert answer.returncode != 0 and "network.json" in answer.stderr


@pytest.mark.slow
def test_we_accept_a_bundle_of_openssf_model_signing_and_refuse_what_was_changed(home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (folder / "deep" / "b.txt").write_text("b")
    signing_key(home.settings)
    private = home.settings.home_path / "keys" / "signing.pem"
    answer = model_signing(
        "sign", "key", str(folder), "--private_key", str(private), "--signature", str(folder / "model.sig")
    )
    assert answer.returncode == 0, answer.stderr
    assert set(verify_folder(folder, home.trust).files) == {"a.txt", "deep/b.txt"}
    (folder / "deep" / "c.txt").write_text("c")
    with pytest.raises(Corrupt, match=r"deep/c\.txt was added"):
        verify_folder(folder, home.trust)
    (folder / "deep" / "c.txt").unlink()
    (folder / "a.txt").write_text("A")
    with pytest.raises(Corrupt, match=r"a\.txt of model was changed"):
        verify_folder(folder, home.trust)
