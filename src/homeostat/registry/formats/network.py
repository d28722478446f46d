"""Feed-forward networks: weights in safetensors, the steps a row walks through in JSON, run by NumPy alone."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from homeostat.ground.errors import Corrupt, Invalid
from homeostat.ground.extras import require
from homeostat.registry.formats.answers import (
    BINARY,
    MULTICLASS,
    REGRESSION,
    Asked,
    Facts,
    Matrix,
    cannot,
    check_classes,
    check_task,
    nameless,
    values_of,
)

Tensors = Mapping[str, NDArray[Any]]
Step = Callable[[NDArray[Any]], NDArray[Any]]

WEIGHTS, PLAN = "model.safetensors", "network.json"
MOST_STEPS = 1_000
_STEP = re.compile(r"(linear|standardize):(.{1,200})|relu|tanh|sigmoid|silu|softmax")
_STEPS = "linear:NAME, standardize:NAME, relu, tanh, sigmoid, silu, softmax"


class Network(msgspec.Struct, frozen=True):
    """A trained network to package, whichever library trained it.

    tensors: named as PyTorch's `state_dict` names them: `0.weight` of shape (out, in), `0.bias`.
    steps: in order: 'linear:0' (weight and bias), 'standardize:scaler' (mean and scale), 'relu', 'tanh', 'sigmoid',
        'silu', 'softmax'. A binary model ends in a sigmoid of one column or a softmax of two, one of more classes in a
        softmax.
    """

    tensors: dict[str, Any]
    steps: list[str]


class _Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    steps: list[str]


def dump(network: Network) -> dict[str, bytes]:
    """The two files of a network."""
    numpy_of = {name: np.ascontiguousarray(tensor) for name, tensor in network.tensors.items()}
    _check_kinds(numpy_of)
    data = require("safetensors.numpy", extra="safetensors").save(numpy_of)
    return {WEIGHTS: bytes(data), PLAN: msgspec.json.encode(_Plan(list(network.steps)))}


def read_tensors(data: bytes) -> dict[str, NDArray[Any]]:
    """The tensors of a safetensors file.

    Raises:
        Corrupt: when its header is cut off, declares what is not there, or names a type that NumPy has not.
    """
    reader = require("safetensors.numpy", extra="safetensors")
    try:
        return dict(reader.load(data))
    except Exception as error:  # SafetensorError derives from Exception alone; a type without a NumPy one is a KeyError
        raise Corrupt(f"{WEIGHTS} cannot be read: {error!s:.200}", next_step="package the model again") from error


class NetworkScorer:
    """A network in NumPy, in the precision of its weights."""

    def __init__(self, weights: bytes, plan: bytes, asked: Asked) -> None:
        tensors = read_tensors(weights)
        _check_kinds(tensors)
        try:
            steps = msgspec.json.decode(plan, type=_Plan).steps
        except msgspec.DecodeError as error:
            raise Corrupt(f"{PLAN} cannot be read: {error}", next_step="package the model again") from error
        self._dtype = np.result_type(np.float32, *tensors.values())
        self._takes, gives, self._steps = _wired(steps, tensors)
        self._asked = asked
        self.facts = _facts(self._takes, gives, steps[-1] if steps else "")
        task = asked.task or self.facts.task
        if task == BINARY != self.facts.task:
            raise cannot(self, "does not end in a probability", "end in a sigmoid of one column or a softmax of two")
        if task == REGRESSION and gives != max(1, len(asked.outputs)) and asked.task:
            raise cannot(self, f"gives {gives} values a row", "train for one label")
        if task == MULTICLASS:
            check_task(task, self.facts.task, self, "end in a softmax of as many columns as there are classes")
        if task != REGRESSION:
            check_classes(self.facts.classes, asked)
        self._task = task

    def score(self, matrix: Matrix) -> Matrix:
        if not len(matrix):
            return np.empty((0, len(self.facts.classes)) if self._task == MULTICLASS else 0)
        if matrix.shape[1] != self._takes:
            raise cannot(self, f"takes {self._takes} columns", "give it those it was trained on")
        rows = matrix.astype(self._dtype)
        with np.errstate(over="ignore", invalid="ignore"):  # infinity and NaN go through, as in any network
            for step in self._steps:
                rows = step(rows)
        if self._task == MULTICLASS:
            return np.ascontiguousarray(rows, np.float64)
        return values_of(rows[:, -1] if self._task == BINARY else rows, len(rows), self._asked)


def _facts(takes: int, gives: int, last: str) -> Facts:
    if (last, gives) == ("sigmoid", 1) or (last == "softmax" and gives > 1):
        count = max(2, gives)
        classes = tuple(str(number) for number in range(count))
        return Facts(task=BINARY if count == 2 else MULTICLASS, columns=nameless(takes), classes=classes)
    return Facts(task=REGRESSION, columns=nameless(takes))


def _wired(steps: Sequence[str], tensors: Tensors) -> tuple[int, int, list[Step]]:
    """Columns taken, columns given, and the steps bound to their tensors, shapes checked from end to end."""
    if not 0 < len(steps) <= MOST_STEPS:
        raise Invalid(f"a network has 1 to {MOST_STEPS} steps", field="steps", next_step=f"give some of {_STEPS}")
    takes = width = None
    bound: list[Step] = []
    for name in steps:
        match = _STEP.fullmatch(name)
        if match is None:
            raise Invalid(f"there is no step {name!r}", field="steps", next_step=f"there are {_STEPS}")
        if match[1] is None:
            bound.append(_PLAIN[name])
            continue
        step, taken, width = (_linear if match[1] == "linear" else _standardize)(match[2], tensors, width)
        takes = taken if takes is None else takes
        bound.append(step)
    if takes is None or width is None:
        raise Invalid("no step of the network has weights", field="steps", next_step="give at least one linear step")
    return takes, width, bound


def _linear(name: str, tensors: Tensors, width: int | None) -> tuple[Step, int, int]:
    weight = _tensor(tensors, f"{name}.weight", 2)
    if width is not None and weight.shape[1] != width:
        raise _misfit(f"{name}.weight", weight.shape, f"(any, {width})")
    bias = tensors.get(f"{name}.bias")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise _misfit(f"{name}.bias", bias.shape, f"({weight.shape[0]},)")
    turned = np.ascontiguousarray(weight.T)
    return (lambda rows: rows @ turned if bias is None else rows @ turned + bias), weight.shape[1], weight.shape[0]


def _standardize(name: str, tensors: Tensors, width: int | None) -> tuple[Step, int, int]:
    mean, scale = _tensor(tensors, f"{name}.mean", 1), _tensor(tensors, f"{name}.scale", 1)
    if mean.shape != scale.shape or (width is not None and len(mean) != width):
        raise _misfit(f"{name}.mean", mean.shape, f"({width},)" if width is not None else str(scale.shape))
    return (lambda rows: (rows - mean) / scale), len(mean), len(mean)


def _tensor(tensors: Tensors, name: str, dimensions: int) -> NDArray[Any]:
    if name not in tensors:
        raise Invalid(
            f"the network has no tensor {name!r}", field="tensors", next_step="give it, named as the step says"
        )
    if tensors[name].ndim != dimensions:
        raise _misfit(name, tensors[name].shape, f"{dimensions} dimensions")
    return tensors[name]


def _misfit(name: str, shape: tuple[int, ...], wanted: str) -> Invalid:
    return Invalid(f"tensor {name!r} has shape {shape}, wanted {wanted}", field="tensors", next_step="see `steps`")


def _check_kinds(tensors: Tensors) -> None:
    for name, tensor in tensors.items():
        if tensor.dtype.kind != "f":
            raise Invalid(f"tensor {name!r} is {tensor.dtype}", field="tensors", next_step="convert it to float32")


def _sigmoid(rows: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(1 / (1 + np.exp(-rows)))


def _softmax(rows: NDArray[Any]) -> NDArray[Any]:
    powers = np.exp(rows - rows.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


_PLAIN: dict[str, Step] = {
    "relu": lambda rows: np.maximum(rows, 0),
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "silu": lambda rows: rows * _sigmoid(rows),
    "softmax": _softmax,
}
