from cython_ext._heatmaps import PeakBuffers
from cython_ext.fused import Fused
from cython_ext.specs import Stored

# buffers, rows (H, W * channels), channels, peak_threshold, radius -> peaks, or OVERFLOW
exact: Fused[[PeakBuffers, Stored, int, float, float], int]
