"""Float against INT8: the same pictures through both files, and whether the second may be called INT8."""
