"""HWL (Li et al. 2022): top-down, MobileNetV3 with attention."""
