"""From a registered version to something that can answer: its scorer, and the features it was trained on."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from weakref import WeakValueDictionary

import msgspec

from homeostat.features.compiled import FeatureSet
from homeostat.features.online import OnlineReader, OnlineStore
from homeostat.features.plain import PlainReader
from homeostat.features.texts import TextTable
from homeostat.ground.errors import Refused
from homeostat.ground.ports import NATIVE, Served
from homeostat.ground.records import Signature
from homeostat.loop.compiled import Serving, compiled_scorer
from homeostat.loop.usercode import load_model
from homeostat.registry.formats.mlflow_model import example_of
from homeostat.registry.inference import look_at
from homeostat.registry.keys import Trust
from homeostat.registry.loading import load_version, open_package
from homeostat.registry.types import ModelVersion
from homeostat.registry.versions import get_version
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database


def load_served(database: Database, blobs: BlobStore, model: str, version: int, *, trust: Trust) -> Served:
    """Load a version for answering, in a serving worker; its package is verified by signature, its features by hash.

    Raises:
        Corrupt: naming the file of the package that was changed, added or is missing.
        Refused: when the signer is not trusted, the stored features are not those the version was trained on, or it
            was registered by hand and cannot answer.
    """
    with database.read() as conn:
        registered = get_version(conn, model, version)
    if not registered.signature.feature_hash:
        return load_plain(blobs, registered, trust, partial(compiled_scorer, database, blobs, trust=trust))
    serving = compiled_scorer(database, blobs, registered, trust) or _native(blobs, registered, trust)
    features = version_features(blobs, registered)  # after the signature was checked: a declared file is code
    store = _shared_store(database, features)
    store.refresh()
    reader = OnlineReader(store, registered.signature.columns)
    return Served(
        model=model,
        version=version,
        signature=registered.signature,
        scorer=serving.scorer,
        features=reader,
        direct=reader.direct,
        scorer_kind=serving.kind,
    )


_texts = TextTable()
"""One for all versions of this process: a shadow that takes the same columns is handed the vectors as they are."""


def load_plain(
    blobs: BlobStore, version: ModelVersion, trust: Trust, compiled: Callable[[ModelVersion], Serving | None]
) -> Served:
    """A version that was registered by hand. One that nobody has looked at is looked at now, by each worker anew.

    `compiled` gives its compiled scorer where there is one beyond doubt.
    """
    if not version.signature.task:
        signature = looked_at(blobs, version, trust)
        if signature.obstacle:
            raise Refused(
                f"{version.ref} cannot answer: {signature.obstacle}",
                field="version",
                next_step=f"mend it, then: homeostat model inspect {version.ref}",
            )
        version = msgspec.structs.replace(version, signature=signature)
    serving = compiled(version) or _native(blobs, version, trust)
    reader = PlainReader(version.signature, _texts)
    return Served(
        model=version.model,
        version=version.version,
        signature=version.signature,
        scorer=serving.scorer,
        features=reader,
        direct=reader.direct,
        scorer_kind=serving.kind,
    )


def _native(blobs: BlobStore, version: ModelVersion, trust: Trust) -> Serving:
    """The library that trained the model, which is not imported where a compiled scorer serves."""
    return Serving(load_version(blobs, version, trust, may_run_code=True, text_of=_texts.text_of), NATIVE)


def looked_at(blobs: BlobStore, version: ModelVersion, trust: Trust) -> Signature:
    """What a version takes and gives, as its package shows it; only for processes where user code may run."""
    opened = open_package(blobs, version, trust, may_run_code=True)
    return look_at(
        version.package.flavor,
        opened.files,
        version.signature,
        example=example_of(opened.files, version.signature) if version.package.flavor == "mlflow" else (),
        allow_pickle=opened.allow_pickle,
    )


_stores: WeakValueDictionary[tuple[int, str], OnlineStore] = WeakValueDictionary()


def _shared_store(database: Database, features: FeatureSet) -> OnlineStore:
    """Versions with the same features share one store: the feed is followed and held once, and all see one state."""
    key = (id(database), features.hash)
    store = _stores.get(key)
    if store is None:
        _stores[key] = store = OnlineStore(database, features)
    return store


def version_features(blobs: BlobStore, version: ModelVersion) -> FeatureSet:
    """The features a version was trained on, from the declared file as it was applied then."""
    lineage = version.lineage
    source = blobs.get(lineage["file_digest"])
    _spec, features = load_model(source, name=lineage["file_name"], root=Path(lineage["root"]), model=version.model)
    if features.hash != version.signature.feature_hash:
        raise Refused(
            f"the features of {version.model}@{version.version} are not those it was trained on "
            f"(hash {features.hash[:12]}, trained on {version.signature.feature_hash[:12]})",
            field="features",
            next_step="a library or a file that the declaration imports has changed; restore it or train anew",
        )
    return features
