"""Draw skeletons over pictures, with OpenCV if it is installed, otherwise with Pillow.

OpenCV draws in place and releases the interpreter lock; Pillow converts the picture there and back and blocks the
other threads for some milliseconds, which matters for a video but not for one picture.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

from rpi_runtime.errors import DependencyError
from rpi_runtime.model.card import Skeleton
from rpi_runtime.optional import load
from rpi_runtime.poses import Box, Image, Track

Colour = tuple[int, int, int]
Point = tuple[float, float]

# Eight colours, R, G, B, that colour-blind viewers can distinguish, too. Source: M. Okabe and K. Ito, Color
# Universal Design, 2008; black replaced by white, which shows on dark pictures.
PALETTE: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
    (255, 255, 255),
)
_WHITE = PALETTE[-1]


def draw_people(image: Image, tracks: Iterable[Track], skeleton: Skeleton, caption: str = "") -> Image:
    """Return a copy of a picture with people drawn over it.

    Parameters
    ----------
    image : ndarray, shape (H, W, 3), uint8, BGR
        Not changed.
    tracks : iterable of Track
        Each is drawn in the colour of its id; without ids, in the order of the palette.
    skeleton : Skeleton
        Which keypoints are connected.
    caption : str
        ASCII, written into the upper left corner.

    Examples
    --------
    >>> from rpi_runtime import Estimator, draw_people, read_picture, write_picture
    >>> estimator, picture = Estimator.open("M.tflite"), read_picture("street.jpg")
    >>> drawn = draw_people(picture, estimator(picture).tracks, estimator.skeleton)
    >>> write_picture(drawn, "drawn.png")
    """
    pen = _make_pen(image)
    for place, track in enumerate(tracks):
        _draw_person(pen, track, skeleton, PALETTE[(track.id or place) % len(PALETTE)])
    if caption:
        pen.text((6, 4), caption, _WHITE)
    return pen.picture()


def _make_pen(image: Image) -> _Pen:
    try:
        return _OpenCvPen(image)
    except DependencyError:
        return _PillowPen(image)


class _Pen(Protocol):
    """Draws on a copy of a picture; places are (x, y) in pixels, colours R, G, B."""

    def line(self, start: Point, end: Point, colour: Colour) -> None: ...

    def dot(self, centre: Point, colour: Colour) -> None: ...

    def text(self, corner: Point, text: str, colour: Colour) -> None: ...

    def picture(self) -> Image: ...


def _draw_person(pen: _Pen, track: Track, skeleton: Skeleton, colour: Colour) -> None:
    points = track.pose.keypoints.tolist()
    for a, b in skeleton.edges:
        (xa, ya, sa), (xb, yb, sb) = points[a], points[b]
        if sa > 0 and sb > 0:
            pen.line((xa, ya), (xb, yb), colour)
    found = [(x, y) for x, y, score in points if score > 0]
    for point in found:
        pen.dot(point, colour)
    if track.id and found:
        highest = min(found, key=lambda point: point[1])
        pen.text((highest[0] + 8, max(highest[1] - 24, 0)), str(track.id), colour)
    if not found and track.pose.box is not None:
        _draw_box(pen, track.pose.box, str(track.id) if track.id else "", colour)


def _draw_box(pen: _Pen, box: Box, label: str, colour: Colour) -> None:
    """The box of a person whom only a detector saw."""
    x, y, width, height = box
    corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
    for start, end in zip(corners, corners[1:] + corners[:1], strict=True):
        pen.line(start, end, colour)
    if label:
        pen.text((x + 8, max(y - 24, 0)), label, colour)


def _thickness(image: Image) -> int:
    return max(2, round(min(image.shape[:2]) / 200))  # type: ignore[no-any-return]


class _OpenCvPen:
    _SHIFT = 4  # OpenCV takes coordinates in sixteenths of a pixel, from the first pixel's centre

    def __init__(self, image: Image) -> None:
        self._cv2 = load("cv2", "drawn pictures")
        self._image = image.copy()
        self._thickness = _thickness(image)

    def line(self, start: Point, end: Point, colour: Colour) -> None:
        places = self._fixed(start), self._fixed(end)
        cv2 = self._cv2
        cv2.line(self._image, *places, colour[::-1], self._thickness, cv2.LINE_AA, self._SHIFT)

    def dot(self, centre: Point, colour: Colour) -> None:
        radius = self._thickness << self._SHIFT
        cv2 = self._cv2
        cv2.circle(self._image, self._fixed(centre), radius, colour[::-1], -1, cv2.LINE_AA, self._SHIFT)

    def text(self, corner: Point, text: str, colour: Colour) -> None:
        cv2 = self._cv2
        scale = 0.3 * self._thickness
        place = (round(corner[0]), round(corner[1] + 22 * scale))
        for ink, width in (((0, 0, 0), 4), (colour[::-1], 1)):
            cv2.putText(self._image, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, ink, width, cv2.LINE_AA)

    def picture(self) -> Image:
        return self._image

    def _fixed(self, point: Point) -> tuple[int, int]:
        one = 1 << self._SHIFT
        return round((point[0] - 0.5) * one), round((point[1] - 0.5) * one)


class _PillowPen:
    def __init__(self, image: Image) -> None:
        pil, drawing = load("PIL.Image", "drawn pictures"), load("PIL.ImageDraw", "drawn pictures")
        height, width = image.shape[:2]
        self._picture = pil.frombuffer(
            "RGB", (width, height), np.ascontiguousarray(image), "raw", "BGR", 0, 1
        )
        self._pen = drawing.Draw(self._picture)
        self._thickness = _thickness(image)
        self._font: Any = load("PIL.ImageFont", "drawn pictures").load_default(8 * self._thickness)

    def line(self, start: Point, end: Point, colour: Colour) -> None:
        self._pen.line((*start, *end), fill=colour, width=self._thickness)

    def dot(self, centre: Point, colour: Colour) -> None:
        (x, y), radius = centre, self._thickness
        self._pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)

    def text(self, corner: Point, text: str, colour: Colour) -> None:
        self._pen.text(corner, text, fill=colour, font=self._font, stroke_width=1, stroke_fill=(0, 0, 0))

    def picture(self) -> Image:
        pixels = np.frombuffer(self._picture.tobytes("raw", "BGR"), np.uint8)
        return pixels.reshape(self._picture.height, self._picture.width, 3)
