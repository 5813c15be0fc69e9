"""Skeletons over pictures, by Pillow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.card import Skeleton
from rpi_runtime.optional import load
from rpi_runtime.poses import Track

Colour = tuple[int, int, int]

# Eight colours, R, G, B, that stay apart for colour-blind viewers too. Source: M. Okabe and K. Ito, Color
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


def draw_people(
    image: NDArray[np.uint8], tracks: Iterable[Track], skeleton: Skeleton, caption: str = ""
) -> NDArray[np.uint8]:
    """Return a copy of a picture with people drawn over it.

    Parameters
    ----------
    image : ndarray, shape (H, W, 3), uint8, BGR
        Not changed.
    tracks : iterable of Track
        Each in the colour of its id; without ids in the order of the palette.
    skeleton : Skeleton
        Which keypoints are connected.
    caption : str
        Written into the upper left corner.
    """
    pil, drawing = load("PIL.Image", "drawn pictures"), load("PIL.ImageDraw", "drawn pictures")
    height, width = image.shape[:2]
    picture = pil.frombuffer("RGB", (width, height), np.ascontiguousarray(image), "raw", "BGR", 0, 1)
    pen = drawing.Draw(picture)
    thickness = max(2, round(min(height, width) / 200))
    for place, track in enumerate(tracks):
        _draw_person(pen, track, skeleton, PALETTE[(track.id or place) % len(PALETTE)], thickness)
    if caption:
        _write(pen, (6.0, 4.0), caption, (255, 255, 255), height)
    return np.frombuffer(picture.tobytes("raw", "BGR"), np.uint8).reshape(height, width, 3)


def _draw_person(pen: Any, track: Track, skeleton: Skeleton, colour: Colour, thickness: int) -> None:
    points = track.pose.keypoints.tolist()
    for a, b in skeleton.edges:
        (xa, ya, sa), (xb, yb, sb) = points[a], points[b]
        if sa > 0 and sb > 0:
            pen.line((xa, ya, xb, yb), fill=colour, width=thickness)
    found = [(x, y) for x, y, score in points if score > 0]
    for x, y in found:
        pen.ellipse((x - thickness, y - thickness, x + thickness, y + thickness), fill=colour)
    if track.id and found:
        left, top = min(x for x, _ in found), min(y for _, y in found)
        _write(pen, (left, max(top - 18, 0)), str(track.id), colour, 0)


def _write(pen: Any, place: tuple[float, float], text: str, colour: Colour, height: int) -> None:
    """Text with a dark edge, readable on any picture."""
    font = load("PIL.ImageFont", "drawn pictures").load_default(max(14, height // 30))
    pen.text(place, text, fill=colour, font=font, stroke_width=2, stroke_fill=(0, 0, 0))
