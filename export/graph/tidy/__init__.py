"""Bring any ONNX file to the form that is converted: static shapes, float32, one image as input, constants folded."""
