"""The version of an operator that its operands require.

An interpreter refuses an operator whose version it does not know, so a file should require the smallest correct one.
Source: TensorFlow's table, `tensorflow/compiler/mlir/lite/tools/versioning/op_version.cc`.
"""

from __future__ import annotations

import numpy as np

from quant.tflite.records import Operator

# with int8 operands; other versions of these operators are for float or for types that pose networks do not use
INT8 = {
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "FULLY_CONNECTED": 4,
    "TRANSPOSE_CONV": 2,
    **dict.fromkeys(
        (
            "ADD", "SUB", "MUL", "CONCATENATION", "AVERAGE_POOL_2D", "MAX_POOL_2D", "LOGISTIC", "SOFTMAX", "TANH",
            "PAD", "PADV2", "SLICE", "STRIDED_SLICE", "SPLIT", "SPLIT_V", "TRANSPOSE", "MEAN", "SUM", "REDUCE_MAX",
            "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "LEAKY_RELU", "MAXIMUM", "MINIMUM", "RELU", "RELU6",
            "DEQUANTIZE", "GATHER", "PACK", "UNPACK", "SPACE_TO_DEPTH", "BATCH_MATMUL", "TILE", "ARG_MAX",
        ),
        2,
    ),
}  # fmt: skip


def needed_version(op: Operator) -> int:
    """Return the smallest version that has everything that the operator uses."""
    inputs = [tensor for tensor in op.inputs if tensor is not None]
    dtypes = {tensor.dtype for tensor in [*inputs, *op.outputs]}
    version = INT8.get(op.name, 1) if np.dtype(np.int8) in dtypes else 1
    if op.name == "TRANSPOSE_CONV":
        return max(version, 4 if op.activation != "NONE" else 3 if len(inputs) > 3 else 1)
    if op.name == "DEQUANTIZE" and np.dtype(np.float16) in dtypes:
        return 3
    if (
        op.name == "DEQUANTIZE"
        and inputs[0].quantization is not None
        and len(inputs[0].quantization.scales) > 1
    ):
        return 5
    if op.name == "QUANTIZE" and inputs[0].dtype != np.float32:
        return 2
    if op.name.startswith("RESIZE_") and (
        op.options.get("half_pixel_centers") or op.options.get("align_corners")
    ):
        return 3
    if op.name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        return max(version, _convolution_version(op))
    return version


def _convolution_version(op: Operator) -> int:
    """Return a convolution's version: depthwise ones have dilation from version 2, the others groups from 6."""
    image, kernel = op.inputs[0], op.inputs[1]
    assert image is not None and kernel is not None
    if op.name == "DEPTHWISE_CONV_2D":
        dilated = op.options.get("dilation_w_factor", 1) != 1 or op.options.get("dilation_h_factor", 1) != 1
        return 2 if dilated else 1
    return 6 if image.shape[-1] != kernel.shape[-1] else 1
