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


def entity(key: object) -> str:
    """A sticky column's value as text: 7.0 and 7 are one entity, whether it came in a tensor, as JSON or as CSV.

    >>> entity(7.0), entity(7), entity("7"), entity("AA"), entity(1.5), entity(float("nan"))
    ('7', '7', '7', 'AA', '1.5', 'nan')
    """
    return str(int(key)) if isinstance(key, float) and key.is_integer() else str(key)


def bounds_of(endpoint: Endpoint) -> tuple[tuple[int, Arm], ...]:
    """Below which position each canary answers; canaries take the lowest ones, the stable arm all the others."""
    bounds, bound = [], 0
    for arm in endpoint.arms:
        if arm.arm != "stable":
            bound += arm.weight
            bounds.append((bound, arm))
    return tuple(bounds)


def choose_arm(endpoint: Endpoint, key: str) -> Arm:
    """The arm that answers `key`."""
    return arm_at(position(endpoint.salt, key), bounds_of(endpoint), endpoint.stable)


def arm_at(place: int, bounds: tuple[tuple[int, Arm], ...], stable: Arm) -> Arm:
    """The arm at a position, by what `bounds_of` gave."""
    for bound, arm in bounds:
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
