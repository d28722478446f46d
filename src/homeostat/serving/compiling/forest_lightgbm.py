"""LightGBM's trees, read from its own text."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from homeostat.serving.compiling.artifact import Link
from homeostat.serving.compiling.forest import Forest, Tree, check_size, make_tree
from homeostat.serving.compiling.refused import CannotCompile

_ZERO = float(np.float32(1e-35))
"""LightGBM takes values up to this size for zero before it looks at them."""
_EXP = {"poisson", "gamma", "tweedie"}
_NO_GAPS, _ZERO_IS_GAP = 0, 1
Block = dict[str, str]


def lightgbm_forest(booster: Any) -> Forest:
    """The forest of a Booster.

    Raises:
        CannotCompile: when it takes zeros for missing values, has linear leaves, or another link than a known one.
    """
    header, blocks = _read(booster.model_to_string())
    check_size(sum(2 * int(block["num_leaves"]) for block in blocks))
    sums = int(header["num_tree_per_iteration"])
    share = sums / len(blocks) if "average_output" in header and blocks else 1.0
    link, slope = _link(header.get("objective", "none"), sums)
    trees = [_tree(block, share) for block in blocks]
    return Forest(
        trees=trees,
        target=[number % sums for number in range(len(blocks))],
        bias=[0.0] * sums,
        link=link,
        slope=slope,
        whole=tuple(sorted({int(tree.feature[node]) for tree in trees for node in tree.members})),
    )


def _read(text: str) -> tuple[Block, list[Block]]:
    head, *parts = text.split("\nTree=")
    trees = [part.split("\nend of trees")[0] for part in parts]
    return _block(head), [_block(part) for part in trees]


def _block(text: str) -> Block:
    return {name: value for name, _, value in (line.partition("=") for line in text.splitlines()) if name}


def _link(objective: str, sums: int) -> tuple[Link, float]:
    name, *options = objective.split() or ["none"]
    if "sqrt" in options:
        raise CannotCompile("its objective takes square roots of the label")
    if name == "binary":
        slope = next((option.removeprefix("sigmoid:") for option in options if option.startswith("sigmoid:")), "1")
        return "sigmoid", float(slope)
    if name in {"cross_entropy", "xentropy"}:
        return "sigmoid", 1.0
    if name in _EXP:
        return "exp", 1.0
    if name == "multiclass":
        return "softmax", 1.0
    if sums != 1:
        raise CannotCompile(f"its objective {name!r} joins several classes in its own way")
    return "identity", 1.0


def _tree(block: Block, share: float) -> Tree:
    if block.get("is_linear", "0") != "0":
        raise CannotCompile("its leaves are linear models")
    leaves = np.array([float(value) for value in block["leaf_value"].split()]) * share
    if int(block["num_leaves"]) == 1:
        return make_tree([], [], [], [], [], leaves)
    kinds = np.array([int(value) for value in block["decision_type"].split()])
    threshold = np.array([float(value) for value in block["threshold"].split()])
    is_category, defaults_left, gaps = (kinds & 1) != 0, (kinds & 2) != 0, (kinds >> 2) & 3
    if (gaps[~is_category] == _ZERO_IS_GAP).any():
        raise CannotCompile("it takes zeros for missing values")
    # Without a rule for missing values, LightGBM reads them as 0.
    gap_left = np.where(is_category, False, np.where(gaps == _NO_GAPS, threshold >= 0, defaults_left))  # noqa: FBT003
    return make_tree(
        [int(value) for value in block["split_feature"].split()],
        np.where(is_category, 0.0, _with_small_as_zero(threshold)),
        gap_left,
        [int(value) for value in block["left_child"].split()],  # a leaf is ~number here, too
        [int(value) for value in block["right_child"].split()],
        leaves,
        dict(_members(block, threshold, is_category)),
    )


def _with_small_as_zero(threshold: Any) -> Any:
    moved = np.where((threshold >= 0) & (threshold < _ZERO), _ZERO, threshold)
    return np.where((moved < 0) & (moved >= -_ZERO), np.nextafter(-_ZERO, -np.inf), moved)


def _members(block: Block, threshold: Any, is_category: Any) -> Iterator[tuple[int, tuple[float, ...]]]:
    if not is_category.any():
        return
    bounds = [int(value) for value in block["cat_boundaries"].split()]
    words = [int(value) for value in block["cat_threshold"].split()]
    for node in np.flatnonzero(is_category):
        place = int(threshold[node])
        bits = words[bounds[place] : bounds[place + 1]]
        members = [32 * index + bit for index, word in enumerate(bits) for bit in range(32) if word >> bit & 1]
        yield int(node), tuple(float(member) for member in members)
