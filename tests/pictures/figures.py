"""People drawn at random: shaded limbs in textured clothes, with a photographed head or a drawn one."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.pictures.placing import Picture, paste, placed, recolour

WIDTH, HEIGHT = 360, 440  # of the canvas
TALL = 360.0  # pixels from head to foot
SKIN = np.array([[150, 180, 225], [110, 150, 200], [70, 105, 160], [45, 70, 110], [180, 205, 240]])  # BGR
Point = NDArray[np.float64]
Cutout = tuple[Picture, Picture]  # picture and mask
Cloth = Callable[[np.random.Generator, int, int], Picture]


class Figure:
    """One person on a canvas of its own; lengths in parts of the height."""

    def __init__(self, rng: np.random.Generator, cloth: Cloth) -> None:
        self.rng = rng
        self.picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        self.mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        skin = np.clip(SKIN[rng.integers(len(SKIN))] + rng.integers(-15, 16, 3), 0, 255)
        self.top, self.bottom = cloth(rng, WIDTH, HEIGHT), cloth(rng, WIDTH, HEIGHT)
        self.skin = np.broadcast_to(skin, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        turn = rng.uniform(0.35, 1.0)  # seen from the side, shoulders are narrow
        self.hip = np.array([WIDTH / 2, HEIGHT * 0.52])
        self.lean = np.deg2rad(rng.normal(0, 12))
        self.up = np.array([np.sin(self.lean), -np.cos(self.lean)])
        self.side = np.array([-self.up[1], self.up[0]])
        self.neck = self.hip + self.up * TALL * 0.30
        low = -self.up * TALL * 0.01
        self.shoulders = [self.neck + self.side * TALL * 0.105 * turn * s + low for s in (-1, 1)]
        self.hips = [self.hip + self.side * TALL * 0.055 * turn * s for s in (-1, 1)]
        self.legs = [self._limb(self.hips[i], (0.235, 0.235), 10, 50, (-1, 1)[i]) for i in (0, 1)]
        self.arms = [self._arm((-1, 1)[i], i) for i in (0, 1)]

    def _arm(self, sign: int, index: int) -> tuple[Point, Point]:
        spread = 28 if self.rng.random() < 0.75 else 110
        return self._limb(self.shoulders[index], (0.165, 0.15), spread, 110, sign)

    def _limb(
        self, start: Point, lengths: tuple[float, float], spread: float, bend: float, sign: int
    ) -> tuple[Point, Point]:
        """Return the middle joint and the end."""
        t = np.deg2rad(self.rng.normal(spread * sign, spread + 8))
        middle = start + TALL * lengths[0] * np.array([np.sin(t), np.cos(t)])
        t += np.deg2rad(self.rng.uniform(-bend, bend * 0.3) * sign * self.rng.choice([-1, 1]))
        return middle, middle + TALL * lengths[1] * np.array([np.sin(t), np.cos(t)])

    def draw(self, heads: list[Cutout]) -> Cutout:
        """Return picture and mask."""
        rng = self.rng
        bare_legs, bare_arms = rng.random() < 0.35, rng.random() < 0.5
        order = (0, 1) if rng.random() < 0.5 else (1, 0)
        self._draw_arm(order[0], bare_arms)
        for index in order:
            self._draw_leg(index, bare_legs)
        self._draw_torso()
        self._put(self._capsule(self.neck, self.neck + self.up * TALL * 0.05, 0.028, 0.028), self.skin)
        self._draw_arm(order[1], bare_arms)
        self._draw_head(heads)
        return self.picture, self.mask

    def _draw_arm(self, index: int, bare: bool) -> None:
        elbow, wrist = self.arms[index]
        self._put(self._capsule(self.shoulders[index], elbow, 0.035, 0.027), self.top)
        self._put(self._capsule(elbow, wrist, 0.026, 0.018), self.skin if bare else self.top)
        self._put(self._capsule(wrist, wrist + (wrist - elbow) * 0.18, 0.02, 0.016), self.skin)

    def _draw_leg(self, index: int, bare: bool) -> None:
        knee, ankle = self.legs[index]
        self._put(self._capsule(self.hips[index], knee, 0.05, 0.035), self.bottom)
        self._put(self._capsule(knee, ankle, 0.034, 0.022), self.skin if bare else self.bottom)
        toe = ankle + np.array([self.rng.uniform(-0.06, 0.06) * TALL, 0.02 * TALL])
        self._put(self._capsule(ankle, toe, 0.022, 0.016), (self.bottom * 0.3).astype(np.uint8))

    def _draw_torso(self) -> None:
        wide = self.side * TALL * 0.045
        left, right = self.shoulders[0] - self.side * 4, self.shoulders[1] + self.side * 4
        corners = [left, right, self.hips[1] + wide, self.hips[0] - wide]
        mask = np.zeros_like(self.mask)
        cv2.fillPoly(mask, [np.array(corners).round().astype(np.int32)], 255)
        self._put(cv2.dilate(mask, np.ones((9, 9), np.uint8)), self.top)

    def _draw_head(self, heads: list[Cutout]) -> None:
        rng, centre = self.rng, self.neck + self.up * TALL * 0.095
        kind = rng.integers(len(heads) + 1)
        if kind < len(heads):
            picture, mask = heads[kind]
            height, width = mask.shape
            scale = TALL * 0.165 / height * rng.uniform(0.9, 1.1)
            middle, angle = (width / 2, height / 2), rng.normal(0, 10)
            place = placed(middle, tuple(centre), scale, angle, rng.random() < 0.5)
            paste(self.picture, recolour(picture, rng, 0.6), mask, place)
            self.mask = np.maximum(self.mask, cv2.warpAffine(mask, place, (WIDTH, HEIGHT)))
            return
        self._put(self._ellipse(centre, (0.1, 0.14)), self.skin)
        hair = np.broadcast_to(rng.integers(5, 120, 3), (HEIGHT, WIDTH, 3)).astype(np.uint8)
        self._put(self._ellipse(centre + self.up * TALL * 0.03, (0.11, 0.09)), hair)

    def _ellipse(self, centre: Point, axes: tuple[float, float]) -> Picture:
        mask = np.zeros_like(self.mask)
        box = (float(centre[0]), float(centre[1])), (TALL * axes[0], TALL * axes[1])
        cv2.ellipse(mask, (*box, float(np.rad2deg(self.lean))), 255, -1)
        return mask

    def _capsule(self, start: Point, end: Point, radius: float, end_radius: float) -> Picture:
        mask = np.zeros_like(self.mask)
        along = end - start
        across = np.array([-along[1], along[0]]) / (np.linalg.norm(along) + 1e-6)
        a, b = across * TALL * radius, across * TALL * end_radius
        corners = np.array([start + a, end + b, end - b, start - a]).round().astype(np.int32)
        cv2.fillPoly(mask, [corners], 255)
        for point, r in ((start, radius), (end, end_radius)):
            cv2.circle(mask, tuple(point.round().astype(int)), int(TALL * r), 255, -1)
        return mask

    def _put(self, mask: Picture, texture: Picture) -> None:
        """Draw a part, darker towards its edge."""
        depth = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
        shade = (0.55 + 0.55 * np.sqrt(np.clip(depth / (depth.max() or 1), 0, 1)))[..., None]
        part = cv2.GaussianBlur(mask, (0, 0), 1)[..., None] / 255.0
        self.picture[:] = self.picture * (1 - part) + np.clip(texture * shade, 0, 255) * part
        np.maximum(self.mask, mask, out=self.mask)
