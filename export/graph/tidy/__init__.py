"""Any ONNX file to the plain form that is converted: static, float32, one image in, constants folded."""
