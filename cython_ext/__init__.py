"""NumPy-facing Cython kernels: heatmap peaks, part affinity fields, assembly into people."""
