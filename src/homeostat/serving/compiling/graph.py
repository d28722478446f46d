"""An ONNX graph written node by node, in float64 throughout, so that it does what NumPy does to the last bit."""

from typing import Any

import numpy as np

from homeostat.ground.extras import require
from homeostat.serving.compiling.artifact import Link
from homeostat.serving.compiling.forest import Forest
from homeostat.serving.compiling.refused import CannotCompile

INPUT = "rows"
_OPSET, _ML_OPSET, _IR = 18, 5, 9
"""ai.onnx.ml 5 has TreeEnsemble, whose thresholds and leaves may be float64 (ONNX Runtime 1.22 and later)."""
_SUM, _AT_MOST, _MEMBER = 1, 0, 6


class Graph:
    """Nodes under way; every value is a float64 table of rows."""

    def __init__(self, columns: int) -> None:
        self._onnx = require("onnx", extra="compile")
        self.columns = columns
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """A node; gives the name of what comes out."""
        name = f"v{len(self._nodes)}"
        node = self._onnx.helper.make_node(operator, list(inputs), [name], domain=domain, **attributes)
        self._nodes.append(node)
        return name

    def constant(self, values: Any, kind: Any = np.float64) -> str:
        """Numbers that are there from the start."""
        name = f"c{len(self._constants)}"
        self._constants.append(self.tensor(values, kind, name))
        return name

    def tensor(self, values: Any, kind: Any = np.float64, name: str = "t") -> Any:
        """Numbers in ONNX's own shape."""
        return self._onnx.numpy_helper.from_array(np.ascontiguousarray(values, kind), name)

    def float64(self) -> int:
        """ONNX's number for the type."""
        return int(self._onnx.TensorProto.DOUBLE)

    def model(self, output: str) -> bytes:
        """The finished graph."""
        helper, double = self._onnx.helper, self.float64()
        graph = helper.make_graph(
            self._nodes,
            "scorer",
            [helper.make_tensor_value_info(INPUT, double, [None, self.columns])],
            [helper.make_tensor_value_info(output, double, None)],
            self._constants,
        )
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("ai.onnx.ml", _ML_OPSET)]
        return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=_IR).SerializeToString())


def add_forest(graph: Graph, rows: str, forest: Forest) -> str:
    """The answers of a forest.

    Raises:
        CannotCompile: when none of its trees has a split.
    """
    bias = np.array(forest.bias, np.float64)
    grown = [(tree, target) for tree, target in zip(forest.trees, forest.target, strict=True) if len(tree.feature)]
    for tree, target in zip(forest.trees, forest.target, strict=True):
        if not len(tree.feature):
            bias[target] += tree.leaves[0]
    if not grown:
        raise CannotCompile("none of its trees has a split")
    moved: dict[int, int] = {}
    if forest.whole:
        rows, moved = _with_whole(graph, rows, forest.whole)
    attributes = _attributes(graph, grown, len(bias)) | _memberships(graph, grown, moved)
    sums = graph.add("TreeEnsemble", rows, domain="ai.onnx.ml", **attributes)
    if bias.any():
        sums = graph.add("Add", sums, graph.constant(bias))
    if forest.slope != 1.0:
        sums = graph.add("Mul", sums, graph.constant([forest.slope]))
    return _add_link(graph, sums, forest.link)


def add_linear(graph: Graph, rows: str, weights: Any, bias: Any, link: Link) -> str:
    """The answers of a linear model."""
    sums = graph.add("Add", graph.add("MatMul", rows, graph.constant(weights)), graph.constant(bias))
    return _add_link(graph, sums, link)


def _add_link(graph: Graph, sums: str, link: Link) -> str:
    if link == "identity":
        return sums
    if link == "softmax":
        return graph.add("Softmax", sums, axis=1)
    if link == "exp":
        return graph.add("Exp", sums)
    each = graph.add("Sigmoid", sums)
    if link == "sigmoid":
        return each
    return graph.add("Div", each, graph.add("ReduceSum", each, graph.constant([1], np.int64), keepdims=1))


def _attributes(graph: Graph, grown: list[Any], sums: int) -> dict[str, Any]:
    """The arrays of TreeEnsemble: inner nodes of all trees in one row, and all leaves in another."""
    nodes = np.cumsum([0, *(len(tree.feature) for tree, _ in grown)])
    leaves = np.cumsum([0, *(len(tree.leaves) for tree, _ in grown)])
    sides = {
        side: [
            np.where(child >= 0, child + nodes[number], ~child + leaves[number])
            for number, child in enumerate(getattr(tree, side) for tree, _ in grown)
        ]
        for side in ("left", "right")
    }
    gaps = _joined([tree.gap_left for tree, _ in grown]).astype(np.int64)
    thresholds = _joined([tree.threshold for tree, _ in grown])
    attributes = {
        "aggregate_function": _SUM,
        "n_targets": sums,
        "tree_roots": nodes[:-1].tolist(),
        "nodes_featureids": _joined([tree.feature for tree, _ in grown]).tolist(),
        "nodes_splits": graph.tensor(thresholds),
        "nodes_modes": graph.tensor(np.full(len(thresholds), _AT_MOST), np.uint8),
        "nodes_truenodeids": _joined(sides["left"]).tolist(),
        "nodes_trueleafs": _joined([tree.left < 0 for tree, _ in grown]).astype(np.int64).tolist(),
        "nodes_falsenodeids": _joined(sides["right"]).tolist(),
        "nodes_falseleafs": _joined([tree.right < 0 for tree, _ in grown]).astype(np.int64).tolist(),
        "leaf_targetids": np.repeat([target for _, target in grown], np.diff(leaves)).tolist(),
        "leaf_weights": graph.tensor(_joined([tree.leaves for tree, _ in grown])),
    }
    return attributes | ({"nodes_missing_value_tracks_true": gaps.tolist()} if gaps.any() else {})


def _with_whole(graph: Graph, rows: str, columns: tuple[int, ...]) -> tuple[str, dict[int, int]]:
    """Some columns once more at the end, cut to whole numbers towards zero; and where each of them now is."""
    taken = graph.add("Gather", rows, graph.constant(columns, np.int64), axis=1)
    below = graph.add("Less", taken, graph.constant([0.0]))
    cut = graph.add("Where", below, graph.add("Ceil", taken), graph.add("Floor", taken))
    width = graph.columns
    return graph.add("Concat", rows, cut, axis=1), {column: width + at for at, column in enumerate(columns)}


def _memberships(graph: Graph, grown: list[Any], moved: dict[int, int]) -> dict[str, Any]:
    """What differs where nodes ask for one of a set: sets stand one after another, each ended by a NaN."""
    if not any(tree.members for tree, _ in grown):
        return {}
    modes, features, values = [], [], []
    for tree, _ in grown:
        mode, feature = np.full(len(tree.feature), _AT_MOST), tree.feature.copy()
        for node in sorted(tree.members):
            mode[node] = _MEMBER
            feature[node] = moved.get(int(feature[node]), feature[node])
            values += [*tree.members[node], np.nan]
        modes.append(mode)
        features.append(feature)
    return {
        "nodes_modes": graph.tensor(_joined(modes), np.uint8),
        "nodes_featureids": _joined(features).tolist(),
        "membership_values": graph.tensor(values),
    }


def _joined(parts: list[Any]) -> Any:
    return np.concatenate(parts)
