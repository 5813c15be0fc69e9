"""Conversion between the records and the classes generated from TFLite's schema."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from quant.tflite.records import Option
from rpi_runtime.errors import InputError

IDENTIFIER = b"TFL3"


def names_of(enum: type) -> dict[int, str]:
    """Map an enum's values to their names."""
    return {value: name for name, value in vars(enum).items() if not name.startswith("_")}


OPERATORS = names_of(schema.BuiltinOperator)
TYPES = names_of(schema.TensorType)
DTYPES = {
    value: np.dtype(name.lower())
    for value, name in TYPES.items()
    if name
    in (
        "FLOAT16",
        "FLOAT32",
        "FLOAT64",
        "INT8",
        "INT16",
        "INT32",
        "INT64",
        "UINT8",
        "UINT16",
        "UINT32",
        "BOOL",
    )
}
TYPE_CODES = {dtype: value for value, dtype in DTYPES.items()}

# options that are numbers in the schema and names in the records
ENUMS = {
    "padding": schema.Padding,
    "fused_activation_function": schema.ActivationFunctionType,
    "in_data_type": schema.TensorType,
    "out_data_type": schema.TensorType,
    "output_type": schema.TensorType,
    "out_type": schema.TensorType,
    "quantized_bias_type": schema.TensorType,
    "mode": schema.MirrorPadMode,
    "weights_format": schema.FullyConnectedOptionsWeightsFormat,
}
_ENUM_NAMES = {option: names_of(enum) for option, enum in ENUMS.items()}

# operators whose options have another name
_SHARED_KINDS = {
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "L2_POOL_2D": "Pool2DOptions",
    "L2_NORMALIZATION": "L2NormOptions",
    "MAXIMUM": "MaximumMinimumOptions",
    "MINIMUM": "MaximumMinimumOptions",
    "MEAN": "ReducerOptions",
    "SUM": "ReducerOptions",
    "REDUCE_MAX": "ReducerOptions",
    "REDUCE_MIN": "ReducerOptions",
    "REDUCE_PROD": "ReducerOptions",
    "REDUCE_ANY": "ReducerOptions",
    "REDUCE_ALL": "ReducerOptions",
}
_KINDS = {kind.lower(): kind for kind in vars(schema.BuiltinOptions) if not kind.startswith("_")}


def options_kind(operator: str) -> str:
    """Return the name of the schema's options of an operator, ``NONE`` if it has none."""
    return _SHARED_KINDS.get(operator) or _KINDS.get(operator.replace("_", "").lower() + "options", "NONE")


def to_plain(options: Any) -> dict[str, Option]:
    """Return a generated options object as plain values. Lists that the file leaves out stay out."""
    found = {} if options is None else vars(options)
    return {_snake(name): _plain(_snake(name), value) for name, value in found.items() if value is not None}


def from_plain(operator: str, options: dict[str, Option]) -> tuple[int, Any]:
    """Return the number of an operator's kind of options, and the generated object (None without options)."""
    kind = options_kind(operator)
    made = None if kind == "NONE" else getattr(schema, kind + "T")()
    attributes = {} if made is None else {_snake(name): name for name in vars(made)}
    for option, value in options.items():
        if option not in attributes:
            raise InputError(f"{operator} has no option {option!r}; expected one of {sorted(attributes)}")
        setattr(made, attributes[option], _stored(option, value))
    return getattr(schema.BuiltinOptions, kind), made


def _snake(name: str) -> str:
    return re.sub("[A-Z]", lambda letter: "_" + letter[0].lower(), name)


def _plain(option: str, value: Any) -> Option:
    if option in _ENUM_NAMES:
        return _ENUM_NAMES[option][int(value)]
    if isinstance(value, np.ndarray | list):
        return tuple(int(v) for v in value)
    plain: Option = value
    return plain


def _stored(option: str, value: Option) -> Any:
    if option in ENUMS:
        return getattr(ENUMS[option], str(value))
    return np.array(value, np.int32) if isinstance(value, tuple) else value
