"""What TFLite's INT8 kernels ask of the scales of their operands.

Source: TensorFlow Lite's 8-bit quantization specification, https://ai.google.dev/edge/litert/models/quantization_spec.
"""

from __future__ import annotations

from quant.tflite.records import Operator, Quantization, Tensor

# operator -> axis of the output channels in its weights, which are input 1
WEIGHT_AXES = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "TRANSPOSE_CONV": 0, "FULLY_CONNECTED": 0}
# operator -> place of the image among its inputs, where it is not the first
IMAGE_PLACES = {"TRANSPOSE_CONV": 2, "SPLIT": 1}
# operator -> place of its bias
BIAS_PLACES = {"CONV_2D": 2, "DEPTHWISE_CONV_2D": 2, "TRANSPOSE_CONV": 3, "FULLY_CONNECTED": 2}

# these move or choose values: what comes out has the grid of what went in
MOVES = frozenset(
    (
        "RESHAPE", "TRANSPOSE", "SLICE", "STRIDED_SLICE", "SPLIT", "SPLIT_V", "PAD", "MIRROR_PAD", "MAX_POOL_2D",
        "CONCATENATION", "DEPTH_TO_SPACE", "SPACE_TO_DEPTH", "SQUEEZE", "EXPAND_DIMS", "GATHER", "TILE", "PACK",
        "UNPACK", "REDUCE_MAX", "RESIZE_NEAREST_NEIGHBOR", "BROADCAST_TO", "REVERSE_V2",
    )
)  # fmt: skip
# these interpolate or average within one grid
BLENDS = frozenset(("RESIZE_BILINEAR", "AVERAGE_POOL_2D"))
SUMS = ("ADD", "SUB")
# these have scales of their own
COMPUTES = frozenset(
    (*WEIGHT_AXES, *SUMS, "MUL", "MEAN", "SUM", "ELU", "LEAKY_RELU", "PRELU", "HARD_SWISH", "BATCH_MATMUL",
     "RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1")
)  # fmt: skip
# the grid of the output, whatever the input's
UNIT, SIGNED_UNIT = Quantization.of(1 / 256, -128), Quantization.of(1 / 128, 0)
FIXED = {"LOGISTIC": UNIT, "SOFTMAX": UNIT, "TANH": SIGNED_UNIT}

INTEGER = MOVES | BLENDS | COMPUTES | frozenset(FIXED)


def image_of(op: Operator) -> Tensor:
    """Return the operand whose values the operator transforms."""
    image = op.inputs[IMAGE_PLACES.get(op.name, 0)]
    assert image is not None
    return image


def activations(op: Operator) -> list[Tensor]:
    """Return the float operands that are computed, not constant."""
    return [t for t in op.inputs if t is not None and t.data is None and t.dtype.kind == "f"]


def shares_grid(op: Operator) -> bool:
    """Whether inputs and outputs must have one grid."""
    return op.name in MOVES or op.name in BLENDS
