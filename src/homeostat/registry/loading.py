"""Loading a registered version: its signature first, then every byte, and only then the model's own reader."""

from homeostat.ground.errors import Refused
from homeostat.ground.ports import Scorer
from homeostat.registry.keys import Trust
from homeostat.registry.scorers import scorer_from
from homeostat.registry.signing import check_signature, read_files
from homeostat.registry.types import ModelVersion
from homeostat.store.blobs import BlobStore


def load_version(blobs: BlobStore, version: ModelVersion, trust: Trust, *, may_run_code: bool = False) -> Scorer:
    """The scorer of a version whose files are those that were signed.

    `may_run_code`: this process is a training child or a serving worker, where a pickle with a signed permission may
    be read; a server never says so.

    Raises:
        Corrupt: naming the file that was changed, added or is missing.
        Refused: when the signer is not trusted, or the format runs code and no permission is signed.
    """
    said = check_signature(version, trust)
    permitted = said is not None and bool(said.about.get("pickle"))
    if version.package.flavor == "pickle" and permitted and not may_run_code:
        raise Refused(
            f"{version.ref} is a pickle, which only a serving worker or a training child may read",
            field="flavor",
            next_step=f"serve it: homeostat serve {version.ref}",
        )
    files = dict(read_files(blobs, version, said))
    task = version.signature.task
    return scorer_from(version.package.flavor, files, task, allow_pickle=permitted and may_run_code)
