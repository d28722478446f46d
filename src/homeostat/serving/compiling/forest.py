"""One shape for every library's trees: an inner node asks whether a float64 is at most a threshold, or one of a set.

A comparison in float32 becomes the float64 threshold that splits the same numbers; so that one graph holds them all,
exactly.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from homeostat.serving.compiling.artifact import Link, Matrix
from homeostat.serving.compiling.refused import CannotCompile

MOST_NODES = 2_000_000

Whole = NDArray[np.int64]
Flags = NDArray[np.bool_]


class Tree(NamedTuple):
    """A tree's inner nodes; a child >= 0 is an inner node, below it is leaf number ~child. Node 0 is the root."""

    feature: Whole
    threshold: Matrix
    gap_left: Flags
    """Whether a missing value goes left, where `value <= threshold` goes."""
    left: Whole
    right: Whole
    leaves: Matrix
    members: Mapping[int, tuple[float, ...]]
    """Nodes that ask for one of these values instead: they go left, all others and missing ones right."""


class Forest(msgspec.Struct, kw_only=True):
    """Trees that add up, each for one of the sums, and what becomes of the sums."""

    trees: list[Tree]
    target: list[int]
    """Which sum each tree adds to."""
    bias: list[float]
    """Where each sum begins."""
    link: Link = "identity"
    slope: float = 1.0
    """What sums are multiplied by before the link."""
    whole: tuple[int, ...] = ()
    """Columns whose values lose what is behind the point before they are looked up in a set."""

    @property
    def nodes(self) -> int:
        return sum(len(tree.feature) for tree in self.trees)


def make_tree(
    feature: Any,
    threshold: Any,
    gap_left: Any,
    left: Any,
    right: Any,
    leaves: Any,
    members: Mapping[int, tuple[float, ...]] | None = None,
) -> Tree:
    """A tree from its columns."""
    return Tree(
        np.array(feature, np.int64),
        np.array(threshold, np.float64),
        np.array(gap_left, np.bool_),
        np.array(left, np.int64),
        np.array(right, np.int64),
        np.array(leaves, np.float64),
        members or {},
    )


def from_nodes(
    is_leaf: Any,
    feature: Any,
    threshold: Any,
    gap_left: Any,
    left: Any,
    right: Any,
    value: Any,
    members: Mapping[int, tuple[float, ...]] | None = None,
) -> Tree:
    """A tree from arrays that hold inner nodes and leaves together, the root first."""
    leaf = np.asarray(is_leaf, np.bool_)
    number = np.where(leaf, ~(np.cumsum(leaf) - 1), np.cumsum(~leaf) - 1)
    inner = ~leaf
    renumbered = {int(number[node]): values for node, values in (members or {}).items()}
    return make_tree(
        np.asarray(feature)[inner],
        np.asarray(threshold)[inner],
        np.asarray(gap_left)[inner],
        number[np.asarray(left, np.int64)[inner]],
        number[np.asarray(right, np.int64)[inner]],
        np.asarray(value)[leaf],
        renumbered,
    )


def check_size(nodes: int) -> None:
    """Refuse a forest whose graph would not pay.

    Raises:
        CannotCompile: over two million nodes.
    """
    if nodes > MOST_NODES:
        raise CannotCompile(f"its trees have {nodes:,} nodes, more than {MOST_NODES:,}")


def at_most_in_single(threshold: Any) -> Matrix:
    """The float64 thresholds that split as `float32(value) <= threshold` does.

    A float64 rounds to the nearest float32, and to the even one when it lies in the middle.
    """
    wanted = np.asarray(threshold, np.float64)
    with np.errstate(over="ignore"):
        last = wanted.astype(np.float32)
    last = np.where(last > wanted, np.nextafter(last, np.float32(-np.inf)), last).astype(np.float32)
    following = np.nextafter(last, np.float32(np.inf))
    with np.errstate(over="ignore", invalid="ignore"):
        middle = (last.astype(np.float64) + following.astype(np.float64)) / 2
    is_even = (last.view(np.uint32) & 1) == 0
    answer = np.where(is_even, middle, np.nextafter(middle, -np.inf))
    return np.where(np.isfinite(middle), answer, wanted)


def below_in_single(threshold: Any) -> Matrix:
    """The float64 thresholds that split as `float32(value) < threshold` does."""
    return at_most_in_single(np.nextafter(np.asarray(threshold, np.float32), np.float32(-np.inf)))
