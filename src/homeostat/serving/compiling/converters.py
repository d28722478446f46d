"""Graphs by other people's converters: skl2onnx, onnxmltools, PyTorch. They know more models, mostly in float32."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from homeostat.ground.extras import require
from homeostat.serving.compiling.artifact import OnnxForm

_OPSETS = {"": 18, "ai.onnx.ml": 3}
_OPSET = 15
"""The newest that onnxmltools knows for boosters."""


def converted_sklearn(model: Any, columns: int, *, single: bool) -> OnnxForm:
    """A scikit-learn model by skl2onnx; whatever the converter raises is why it cannot."""
    types = require("skl2onnx.common.data_types", extra="compile")
    kind = types.FloatTensorType if single else types.DoubleTensorType
    options = {"zipmap": False} if hasattr(model, "classes_") else None
    with _whole_numbers(), _quiet():
        graph = require("skl2onnx", extra="compile").to_onnx(
            model, initial_types=[("rows", kind([None, columns]))], options=options, target_opset=_OPSETS
        )
    return OnnxForm(model=bytes(graph.SerializeToString()), single=single)


def converted_lightgbm(booster: Any, columns: int) -> OnnxForm:
    """A LightGBM Booster by onnxmltools."""
    tools = require("onnxmltools", extra="compile")
    with _whole_numbers(), _quiet():
        graph = tools.convert_lightgbm(booster, initial_types=_rows(columns), target_opset=_OPSET, zipmap=False)
    return OnnxForm(model=bytes(graph.SerializeToString()), single=True)


def converted_xgboost(booster: Any, columns: int) -> OnnxForm:
    """An XGBoost Booster by onnxmltools."""
    tools = require("onnxmltools", extra="compile")
    with _whole_numbers(), _quiet():
        graph = tools.convert_xgboost(booster, initial_types=_rows(columns), target_opset=_OPSET)
    return OnnxForm(model=bytes(graph.SerializeToString()), single=True)


def converted_torch(program: Any) -> OnnxForm:
    """An exported program by PyTorch's own exporter, which needs `onnxscript` beside PyTorch."""
    torch = require("torch", extra="torch")
    held = io.BytesIO()
    with _quiet():
        torch.onnx.export(program, dynamo=True).save(held)
    return OnnxForm(model=held.getvalue(), single=True)


def _rows(columns: int) -> list[tuple[str, Any]]:
    types = require("onnxmltools.convert.common.data_types", extra="compile")
    return [("rows", types.FloatTensorType([None, columns]))]


@contextlib.contextmanager
def _whole_numbers() -> Iterator[None]:
    """skl2onnx gives booleans where ONNX 1.18 and later want numbers: "Expected an int, got a boolean"."""
    helper: Any = require("onnx.helper", extra="compile")
    original = helper.make_attribute

    def make_attribute(key: str, value: Any, *more: Any, **named: Any) -> Any:
        if isinstance(value, bool | np.bool_):
            value = int(value)
        elif isinstance(value, list | tuple):
            value = [int(one) if isinstance(one, bool | np.bool_) else one for one in value]
        return original(key, value, *more, **named)

    helper.make_attribute = make_attribute
    try:
        yield
    finally:
        helper.make_attribute = original


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Converters print and warn; what matters is checked afterwards."""
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
