"""The refiner of the pair that comes with the package: keypoints on the crop of one person."""
