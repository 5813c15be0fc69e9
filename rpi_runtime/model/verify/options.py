"""The options of operations: facts of TFLite's schema, version 3, for the operations that pose networks are made of."""

from __future__ import annotations

from rpi_runtime.model.verify.flatbuffer import Field, Layouts

_ACTIVATION: Field = ("activation", "b", 0)
_CONVOLUTION: tuple[Field, ...] = (("padding", "b", 0), ("stride_w", "i", 0), ("stride_h", "i", 0))
_DILATION: tuple[Field, ...] = (("dilation_w", "i", 1), ("dilation_h", "i", 1))
_AXIS: Field = ("axis", "i", 0)

# by TFLite's number of the kind of options
OPTIONS: dict[int, tuple[Field, ...]] = {
    1: (*_CONVOLUTION, _ACTIVATION, *_DILATION, ("bias_type", "b", 0)),
    2: (*_CONVOLUTION, ("multiplier", "i", 0), _ACTIVATION, *_DILATION),
    5: (*_CONVOLUTION, ("filter_w", "i", 0), ("filter_h", "i", 0), _ACTIVATION),
    8: (
        _ACTIVATION,
        ("weights_format", "b", 0),
        ("keep_num_dims", "?", False),
        ("asymmetric", "?", False),
        ("bias_type", "b", 0),
    ),
    9: (("beta", "f", 0.0),),
    10: (_AXIS, _ACTIVATION),
    11: (_ACTIVATION, ("pot_scale", "?", True)),  # ADD
    12: (_ACTIVATION,),  # L2_NORMALIZATION
    15: (("old_w", "-", None), ("old_h", "-", None), ("align", "?", False), ("half_pixel", "?", False)),
    17: (("new_shape", "[i]", ()),),
    19: (("block", "i", 0),),  # SPACE_TO_DEPTH
    21: (_ACTIVATION,),  # MUL
    23: (_AXIS, ("batch_dims", "i", 0)),  # GATHER
    27: (("keep_dims", "?", False),),
    28: (_ACTIVATION, ("pot_scale", "?", True)),  # SUB
    29: (_ACTIVATION,),  # DIV
    30: (("squeeze_dims", "[i]", ()),),
    32: (
        ("begin_mask", "i", 0),
        ("end_mask", "i", 0),
        ("ellipsis_mask", "i", 0),
        ("new_axis_mask", "i", 0),
        ("shrink_mask", "i", 0),
        ("offset", "?", False),
    ),
    35: (("parts", "i", 0),),  # SPLIT
    37: (("from_type", "b", 0), ("to_type", "b", 0)),  # CAST
    40: (("output_type", "b", 0),),  # ARG_MAX
    49: (*_CONVOLUTION, _ACTIVATION, ("bias_type", "b", 0)),  # TRANSPOSE_CONV
    55: (("output_type", "b", 0),),  # SHAPE
    57: (("output_type", "b", 0),),  # ARG_MIN
    59: (("count", "i", 0), _AXIS),  # PACK
    64: (("count", "i", 0), _AXIS),  # UNPACK
    74: (("align", "?", False), ("half_pixel", "?", False)),  # RESIZE_NEAREST_NEIGHBOR
    75: (("alpha", "f", 0.0),),  # LEAKY_RELU
    77: (("mode", "b", 0),),  # MIRROR_PAD
    79: (("parts", "i", 0),),  # SPLIT_V
    94: (("block", "i", 0),),  # DEPTH_TO_SPACE
    101: (("adjoint_x", "?", False), ("adjoint_y", "?", False), ("asymmetric", "?", False)),
    102: (("exclusive", "?", False), ("reverse", "?", False)),
    116: (("approximate", "?", False),),  # GELU
}

OPTION_LAYOUTS: Layouts = {f"options {number}": fields for number, fields in OPTIONS.items()}
