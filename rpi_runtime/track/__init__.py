"""People keep their id from frame to frame, and their keypoints are smoothed."""
