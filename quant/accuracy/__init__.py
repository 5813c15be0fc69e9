"""COCO's average precision of a file: its people on each picture, scored."""
