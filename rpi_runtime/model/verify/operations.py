"""The operations that pose networks are made of: TFLite's number of each, its tensors, options and rule for shapes.

Other operations are refused: those that run other parts of a file (WHILE, IF, CALL), keep state or take strings have
no place in a pose network, and an interpreter that follows them can be made to crash or to run for ever.
"""

from __future__ import annotations

from dataclasses import dataclass

from rpi_runtime.model.verify import call, shapes, windows
from rpi_runtime.model.verify.call import Rule

MANY = 4096  # tensors of one CONCATENATION or SPLIT


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What one kind of operation must look like.

    Attributes
    ----------
    name : str
    rule : callable
        Returns the outputs' shapes.
    inputs, outputs : (int, int)
        Least and most.
    options : int
        TFLite's number of its options; 0 where nothing in them matters here.
    """

    name: str
    rule: Rule
    inputs: tuple[int, int] = (1, 1)
    outputs: tuple[int, int] = (1, 1)
    options: int = 0


def _kinds(rule: Rule, inputs: tuple[int, int], names: dict[int, str]) -> dict[int, Kind]:
    return {number: Kind(name=name, rule=rule, inputs=inputs) for number, name in names.items()}


_UNARY = {
    6: "DEQUANTIZE", 8: "FLOOR", 14: "LOGISTIC", 19: "RELU", 20: "RELU_N1_TO_1", 21: "RELU6", 28: "TANH", 47: "EXP",
    50: "LOG_SOFTMAX", 59: "NEG", 66: "SIN", 73: "LOG", 75: "SQRT", 76: "RSQRT", 87: "LOGICAL_NOT", 92: "SQUARE",
    93: "ZEROS_LIKE", 101: "ABS", 104: "CEIL", 108: "COS", 111: "ELU", 114: "QUANTIZE", 116: "ROUND",
    117: "HARD_SWISH", 152: "RELU_0_TO_1", 158: "SIGN",
}  # fmt: skip
_BINARY = {
    54: "PRELU", 55: "MAXIMUM", 57: "MINIMUM", 58: "LESS", 61: "GREATER", 62: "GREATER_EQUAL", 63: "LESS_EQUAL",
    71: "EQUAL", 72: "NOT_EQUAL", 78: "POW", 84: "LOGICAL_OR", 86: "LOGICAL_AND", 90: "FLOOR_DIV", 95: "FLOOR_MOD",
    99: "SQUARED_DIFFERENCE", 156: "ATAN2",
}  # fmt: skip
_REDUCTIONS = {
    40: "MEAN", 74: "SUM", 81: "REDUCE_PROD", 82: "REDUCE_MAX", 89: "REDUCE_MIN", 91: "REDUCE_ANY", 140: "REDUCE_ALL",
}  # fmt: skip
_TWO, _ANY = (2, 2), (1, MANY)

KINDS: dict[int, Kind] = {
    **_kinds(call.same, (1, 1), _UNARY),
    **_kinds(call.broadcast, _TWO, _BINARY),
    **{n: Kind(name=name, rule=shapes.reduce, inputs=_TWO, options=27) for n, name in _REDUCTIONS.items()},
    0: Kind(name="ADD", rule=call.broadcast, inputs=_TWO, options=11),
    1: Kind(name="AVERAGE_POOL_2D", rule=windows.pool, options=5),
    2: Kind(name="CONCATENATION", rule=shapes.concatenate, inputs=_ANY, options=10),
    3: Kind(name="CONV_2D", rule=windows.conv, inputs=(2, 3), options=1),
    4: Kind(name="DEPTHWISE_CONV_2D", rule=windows.depthwise, inputs=(2, 3), options=2),
    5: Kind(name="DEPTH_TO_SPACE", rule=windows.depth_to_space, options=94),
    9: Kind(name="FULLY_CONNECTED", rule=shapes.dense, inputs=(2, 3), options=8),
    11: Kind(name="L2_NORMALIZATION", rule=call.same, options=12),
    17: Kind(name="MAX_POOL_2D", rule=windows.pool, options=5),
    18: Kind(name="MUL", rule=call.broadcast, inputs=_TWO, options=21),
    22: Kind(name="RESHAPE", rule=shapes.reshape, inputs=(1, 2), options=17),
    23: Kind(name="RESIZE_BILINEAR", rule=windows.resize, inputs=_TWO, options=15),
    25: Kind(name="SOFTMAX", rule=call.same, options=9),
    26: Kind(name="SPACE_TO_DEPTH", rule=windows.space_to_depth, options=19),
    34: Kind(name="PAD", rule=shapes.pad, inputs=_TWO),
    36: Kind(name="GATHER", rule=shapes.gather, inputs=_TWO, options=23),
    39: Kind(name="TRANSPOSE", rule=shapes.transpose, inputs=_TWO),
    41: Kind(name="SUB", rule=call.broadcast, inputs=_TWO, options=28),
    42: Kind(name="DIV", rule=call.broadcast, inputs=_TWO, options=29),
    43: Kind(name="SQUEEZE", rule=shapes.squeeze, options=30),
    45: Kind(name="STRIDED_SLICE", rule=shapes.strided, inputs=(4, 4), options=32),
    48: Kind(name="TOPK_V2", rule=shapes.top, inputs=_TWO, outputs=(2, 2)),
    49: Kind(name="SPLIT", rule=shapes.split, inputs=_TWO, outputs=_ANY, options=35),
    53: Kind(name="CAST", rule=call.same),
    56: Kind(name="ARG_MAX", rule=shapes.extremum, inputs=_TWO, options=40),
    60: Kind(name="PADV2", rule=shapes.pad, inputs=(3, 3)),
    64: Kind(name="SELECT", rule=call.broadcast, inputs=(3, 3)),
    65: Kind(name="SLICE", rule=shapes.cut, inputs=(3, 3)),
    67: Kind(name="TRANSPOSE_CONV", rule=windows.transposed, inputs=(3, 4), options=49),
    69: Kind(name="TILE", rule=shapes.tile, inputs=_TWO),
    70: Kind(name="EXPAND_DIMS", rule=shapes.expand, inputs=_TWO),
    77: Kind(name="SHAPE", rule=shapes.describe, options=55),
    79: Kind(name="ARG_MIN", rule=shapes.extremum, inputs=_TWO, options=57),
    83: Kind(name="PACK", rule=shapes.pack, inputs=_ANY, options=59),
    88: Kind(name="UNPACK", rule=shapes.unpack, outputs=_ANY, options=64),
    97: Kind(name="RESIZE_NEAREST_NEIGHBOR", rule=windows.resize, inputs=_TWO, options=74),
    98: Kind(name="LEAKY_RELU", rule=call.same, options=75),
    100: Kind(name="MIRROR_PAD", rule=shapes.pad, inputs=_TWO, options=77),
    102: Kind(name="SPLIT_V", rule=shapes.split_v, inputs=(3, 3), outputs=_ANY, options=79),
    107: Kind(name="GATHER_ND", rule=shapes.gather_nd, inputs=_TWO),
    123: Kind(name="SELECT_V2", rule=call.broadcast, inputs=(3, 3)),
    126: Kind(name="BATCH_MATMUL", rule=shapes.matmul, inputs=_TWO, options=101),
    128: Kind(name="CUMSUM", rule=shapes.cumulate, inputs=_TWO, options=102),
    130: Kind(name="BROADCAST_TO", rule=shapes.broadcast_to, inputs=_TWO),
    150: Kind(name="GELU", rule=call.same, options=116),
}
