"""Which arm answers a key: sticky, so that ramping a canary up only ever adds keys to it."""

from blake3 import blake3

from homeostat.ground.errors import Invalid
from homeostat.serving.types import FULL, Arm, Endpoint


def position(salt: str, key: str) -> int:
    """Where a key stands in 0..9999; depends on salt and key alone.

    >>> position("s", "AA"), position("s", "UA")
    (5211, 374)
    """
    return int.from_bytes(blake3(f"{salt}\0{key}".encode(errors="surrogatepass")).digest(8), "big") % FULL


def choose_arm(endpoint: Endpoint, key: str) -> Arm:
    """The arm that answers `key`: canaries take the lowest positions, the stable arm all the others."""
    stable = endpoint.stable
    if stable.weight == FULL:
        return stable
    place, bound = position(endpoint.salt, key), 0
    for arm in endpoint.arms:
        if arm is not stable:
            bound += arm.weight
            if place < bound:
                return arm
    return stable


def named_arm(endpoint: Endpoint, version: int) -> Arm:
    """The arm or shadow of a version the caller insists on (header `X-Model-Version`).

    Raises:
        Invalid: when the version neither answers nor shadows here.
    """
    for arm in endpoint.arms:
        if arm.version == version:
            return arm
    if version in endpoint.shadows:
        return Arm(version=version, weight=0, arm="shadow")
    raise Invalid(
        f"version {version} is not live on endpoint {endpoint.name!r}",
        field="X-Model-Version",
        next_step=f"live versions: {', '.join(map(str, endpoint.versions))}",
    )
