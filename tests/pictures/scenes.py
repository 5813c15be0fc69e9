"""Scenes with people, put together at random from the free pictures here: cut out, drawn, recoloured, enlarged."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from rpi_runtime.capture.pictures import read_picture
from tests.pictures.figures import TALL, Cutout, Figure
from tests.pictures.placing import Picture, paste, placed, recolour, view

FOLDER = Path(__file__).parent
PEOPLE = ("astronaut", "camera")
OTHERS = ("coffee", "chelsea", "rocket", "brick", "grass", "gravel")
WIDTH, HEIGHT = 480, 360
# outlines in the pictures of people, x and y in pixels: from head to the lower edge, and of the head
OUTLINES = {
    "astronaut": (
        "153,85 165,55 195,25 230,15 270,25 295,50 302,90 290,125 272,140 262,170 290,190 300,230 305,250 335,265 "
        "350,300 362,350 400,343 450,365 485,400 510,470 510,511 20,511 25,440 25,380 28,330 45,270 80,230 112,210 "
        "115,185 140,155 180,150 178,120 160,105",
        "153,85 165,55 195,25 230,15 270,25 295,50 302,90 290,125 272,140 262,165 240,188 210,185 190,170 182,140 "
        "178,120 160,105",
    ),
    "camera": (
        "162,110 163,90 175,72 200,65 230,72 255,90 268,110 268,130 258,138 322,138 322,165 328,175 328,200 315,215 "
        "318,240 300,245 300,262 300,275 285,290 265,305 245,311 225,308 200,325 170,355 145,380 150,420 150,511 "
        "0,511 0,240 25,215 45,180 70,145 100,128 130,122 150,108",
        "162,110 163,90 175,72 200,65 230,72 255,90 268,110 265,130 250,135 252,160 240,180 225,195 205,195 185,180 "
        "165,150 160,130",
    ),
}
COUNTS, CHANCES = (1, 2, 3, 4, 6, 9, 14), (0.25, 0.2, 0.15, 0.15, 0.1, 0.1, 0.05)  # people in a scene


def cut_out(picture: Picture, outline: str) -> Cutout:
    """Return what lies inside an outline, with a soft mask."""
    points = np.array([[int(v) for v in p.split(",")] for p in outline.split()], np.int32)
    mask = np.zeros(picture.shape[:2], np.uint8)
    cv2.fillPoly(mask, [points], 255)
    mask = cv2.GaussianBlur(mask, (0, 0), 1.5)
    (x0, y0), (x1, y1) = np.maximum(points.min(0) - 6, 0), points.max(0) + 7
    return picture[y0:y1, x0:x1], mask[y0:y1, x0:x1]


class Studio:
    """The pictures and what is cut out of them; `scene` is a function of its number alone."""

    def __init__(self) -> None:
        self.people = [read_picture(FOLDER / f"{name}.jpg") for name in PEOPLE]
        self.others = [read_picture(FOLDER / f"{name}.jpg") for name in OTHERS]
        pairs = list(zip(PEOPLE, self.people, strict=True))
        self.bodies = [cut_out(p, OUTLINES[name][0]) for name, p in pairs]
        self.heads = [cut_out(p, OUTLINES[name][1]) for name, p in pairs]
        astronaut, camera = self.people
        self.grounds = [*self.others, astronaut[:, 300:], camera[:, 260:]]
        self.cloths = [*self.others, astronaut[250:, 40:160], camera[200:, 20:120]]

    def scene(self, number: int) -> Picture:
        """Return a (HEIGHT, WIDTH, 3) picture."""
        rng = np.random.default_rng([7, number])
        if rng.random() < 0.3:
            return self._collage(np.random.default_rng([5, number]))
        canvas = self._ground(rng)
        count = int(rng.choice(COUNTS, p=CHANCES))
        height = rng.uniform(0.25, 1.3) if count > 2 else rng.uniform(0.5, 2.2)
        for _ in range(count):
            self._add_person(
                canvas, HEIGHT * height * rng.uniform(0.7, 1.3) / (1 if count <= 4 else 1.6), rng
            )
        return _weathered(recolour(canvas, rng, 0.4), rng, 0.25, (2.0, 12.0))

    def _add_person(self, canvas: Picture, height: float, rng: np.random.Generator) -> None:
        if rng.random() < 0.55:
            person = Figure(rng, self._cloth).draw(self.heads)
            scale = height / TALL
        else:
            body, mask = self.bodies[rng.integers(len(self.bodies))]
            person = recolour(body, rng, 0.8), mask
            scale = height * 0.75 / mask.shape[0]
        if scale < 0.03:
            return
        middle = (person[1].shape[1] / 2, person[1].shape[0] / 2)
        target = (rng.uniform(0.05, 0.95) * WIDTH, rng.uniform(0.25, 0.85) * HEIGHT)
        angle = rng.normal(0, 10) if rng.random() < 0.9 else rng.uniform(-90, 90)
        paste(canvas, *person, placed(middle, target, scale, angle, rng.random() < 0.5))

    def _ground(self, rng: np.random.Generator) -> Picture:
        if rng.integers(10) < 2:
            patches = rng.integers(0, 256, (rng.integers(2, 6), rng.integers(2, 8), 3)).astype(np.uint8)
            return cv2.resize(patches, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        picture = self.grounds[rng.integers(len(self.grounds))]
        return recolour(view(picture, (WIDTH, HEIGHT), rng, (1.0, 4.0), 180), rng)

    def _cloth(self, rng: np.random.Generator, width: int, height: int) -> Picture:
        colour = rng.integers(10, 246, 3)
        picture = self.cloths[rng.integers(len(self.cloths))]
        weave = view(picture, (width, height), rng, (1.0, 6.0), 180).astype(np.float32).mean(2, keepdims=True)
        return np.clip(colour + (weave - weave.mean()) * rng.uniform(0, 0.6), 0, 255).astype(np.uint8)

    def _collage(self, rng: np.random.Generator) -> Picture:
        """Views of the pictures themselves: one, two beside each other, or four."""
        pictures, people = [*self.people, *self.others[:3]], len(self.people)

        def tile(width: int, height: int) -> Picture:
            first, last = (0, people) if rng.random() < 0.85 else (people, len(pictures))
            picture = pictures[rng.integers(first, last)]
            return recolour(view(picture, (width, height), rng, (0.7, 3.0)), rng)

        kind, w, h = rng.integers(4), WIDTH // 2, HEIGHT // 2
        if kind < 2:
            picture = tile(WIDTH, HEIGHT)
        elif kind == 2:
            picture = np.concatenate([tile(w, HEIGHT), tile(w, HEIGHT)], axis=1)
        else:
            rows = [np.concatenate([tile(w, h), tile(w, h)], axis=1) for _ in range(2)]
            picture = np.concatenate(rows, axis=0)
        return _weathered(picture, rng, 0.3, (2.0, 14.0))


def _weathered(
    picture: Picture, rng: np.random.Generator, chance: float, noise: tuple[float, float]
) -> Picture:
    """Blur, and sensor noise, each with a chance."""
    if rng.random() < chance:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.5, 2.0))
    if rng.random() < chance:
        grain = rng.normal(0, rng.uniform(*noise), picture.shape)
        picture = np.clip(picture + grain, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(picture)
