"""Frames, poses and tracks, and the definition of all coordinates.

Images are (H, W, 3) uint8. Keypoints are (x, y) in pixels, x to the right, y down, continuous: the image's
top-left corner is (0, 0) and the centre of its first pixel is (0.5, 0.5). The same rule holds for network
inputs and for maps, so a point on a map of stride 8 lies at ``8 * (x, y)`` on the network's input.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]  # x, y, width, height in pixels of the image
Image = NDArray[np.uint8]  # (H, W, 3), blue, green, red


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pose:
    """One person.

    Attributes
    ----------
    keypoints : ndarray, shape (K, 3), float32
        x, y (pixels of the image) and score of each keypoint in the order of the model's skeleton.
        A keypoint that was not found is (0, 0, 0), as in COCO results. A person that only a detector found has none.
    score : float
        As the network's reference decoder defines it (PAFs: sum of keypoint and limb scores; tags and crops: mean
        keypoint value; detectors: the box's score). Larger means more confident.
    box : tuple of float or None
        x, y, width, height in pixels of the image, where a network gives the person's box.

    Examples
    --------
    >>> import numpy as np
    >>> from rpi_runtime import Pose
    >>> pose = Pose(keypoints=np.array([[12, 30, 0.9], [0, 0, 0]], np.float32), score=0.9)
    >>> pose.found.tolist()
    [True, False]
    """

    keypoints: NDArray[np.float32]
    score: float
    box: Box | None = None

    @property
    def found(self) -> NDArray[np.bool_]:
        """Which keypoints were found, shape (K,)."""
        return self.keypoints[:, 2] > 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Track:
    """One person, followed from frame to frame.

    Attributes
    ----------
    id : int
        The same number for the same person while followed; at least 1, never given twice in a run.
        0 when tracking is off.
    pose : Pose
        Smoothed when smoothing is on.
    age : int
        Frames since the person was first seen; 0 in the first.
    refined : bool
        In a cascade: whether the keypoints come from a crop of this frame.

    Examples
    --------
    >>> from rpi_runtime import Estimator, read_picture
    >>> track = Estimator.open("M.tflite")(read_picture("street.jpg")).tracks[0]
    >>> track.id, track.age
    (1, 0)
    """

    id: int
    pose: Pose
    age: int = 0
    refined: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """One picture from a source.

    Attributes
    ----------
    image : ndarray, shape (H, W, 3), uint8, BGR
        May be a view of the camera's own buffer: valid until `release`, never written to.
    index : int
        Number of the picture in its source, from 0.
    timestamp_ns : int
        When the picture was taken, in nanoseconds: a camera's sensor time on the monotonic clock; the
        position in the recording for a file.
    taken_ns : int
        When the picture was taken, in nanoseconds of `time.monotonic_ns`: the sensor's time for a camera,
        the time of reading for a file. A frame's age counts from here.
    name : str
        File name, where the source has one for each picture.
    release : callable, optional
        Gives the buffer back to the camera; None when nothing has to be given back.
    undecodable : int
        Number of frames since the previous one that arrived and could not be decoded.
    """

    image: Image
    index: int
    timestamp_ns: int
    taken_ns: int
    name: str = ""
    release: Callable[[], None] | None = None
    undecodable: int = 0

    def done(self) -> None:
        """Give the buffer back. The last holder of the frame calls this, once."""
        if self.release is not None:
            self.release()
