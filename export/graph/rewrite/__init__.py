"""Graph rewrites: the same function in operations that XNNPACK takes in INT8, one file each."""
