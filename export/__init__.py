"""Export: trained weights -> network -> ONNX -> float TFLite -> INT8 TFLite."""
