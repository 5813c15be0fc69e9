"""COCO keypoint AP on the device itself, with the standard library and NumPy."""
