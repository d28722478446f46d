"""From a registered version to something that can answer: its scorer, and the features it was trained on."""

from pathlib import Path
from weakref import WeakValueDictionary

from homeostat.features.compiled import FeatureSet
from homeostat.features.online import OnlineReader, OnlineStore
from homeostat.ground.errors import Refused
from homeostat.ground.ports import Served
from homeostat.loop.usercode import load_model
from homeostat.registry.keys import Trust
from homeostat.registry.loading import load_version
from homeostat.registry.types import ModelVersion
from homeostat.registry.versions import get_version
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database


def load_served(database: Database, blobs: BlobStore, model: str, version: int, *, trust: Trust) -> Served:
    """Load a version for answering, in a serving worker; its package is verified by signature, its features by hash.

    Raises:
        Corrupt: naming the file of the package that was changed, added or is missing.
        Refused: when the signer is not trusted, or the stored features are not those the version was trained on.
    """
    with database.read() as conn:
        registered = get_version(conn, model, version)
    scorer = load_version(blobs, registered, trust, may_run_code=True)
    features = version_features(blobs, registered)  # after the signature was checked: a declared file is code
    store = _shared_store(database, features)
    store.refresh()
    reader = OnlineReader(store, registered.signature.columns)
    return Served(
        model=model,
        version=version,
        signature=registered.signature,
        scorer=scorer,
        features=reader,
        direct=reader.direct,
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
