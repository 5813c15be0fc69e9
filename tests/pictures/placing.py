"""Pictures onto pictures: colours changed at random, views of a picture, a cut-out pasted at any size and angle."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]  # (H, W, 3) BGR, or (H, W) of a mask
Affine = NDArray[np.float64]  # (2, 3), source to target


def recolour(picture: Picture, rng: np.random.Generator, strength: float = 1.0) -> Picture:
    """Change saturation, colour cast, gamma, contrast and brightness."""
    x = picture.astype(np.float32) / 255
    grey = x.mean(axis=2, keepdims=True)
    x = grey + (x - grey) * rng.uniform(1 - 0.6 * strength, 1 + 0.8 * strength)
    x = x * np.exp(rng.uniform(-0.25 * strength, 0.25 * strength, 3)).astype(np.float32)
    x = np.clip(x, 0, 1) ** np.exp(rng.uniform(-0.6 * strength, 0.6 * strength))
    contrast = rng.uniform(1 - 0.4 * strength, 1 + 0.5 * strength)
    x = (x - 0.5) * contrast + 0.5 + rng.uniform(-0.15 * strength, 0.15 * strength)
    return np.clip(x * 255, 0, 255).astype(np.uint8)


def view(
    picture: Picture,
    size: tuple[int, int],
    rng: np.random.Generator,
    zoom: tuple[float, float],
    turn: float = 20.0,
) -> Picture:
    """Return a (width, height) view: zoomed, turned by up to `turn` degrees, perhaps mirrored, borders reflected."""
    (w, h), (height, width) = size, picture.shape[:2]
    scale = np.exp(rng.uniform(*np.log(zoom))) * min(w / width, h / height)
    x, y = rng.uniform(0.3, 0.7) * width, rng.uniform(0.25, 0.75) * height
    m = cv2.getRotationMatrix2D((x, y), rng.uniform(-turn, turn), scale)
    if rng.random() < 0.5:
        m = m @ np.array([[-1, 0, width - 1], [0, 1, 0], [0, 0, 1]], float)
    m[:, 2] += (w / 2 - x, h / 2 - y)
    flags = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.warpAffine(picture, m, (w, h), flags=flags, borderMode=cv2.BORDER_REFLECT_101)


def placed(
    source: tuple[float, float], target: tuple[float, float], scale: float, degrees: float, mirrored: bool
) -> Affine:
    """Return the map that brings point `source` to `target`."""
    t = np.deg2rad(degrees)
    turn = scale * np.array([[np.cos(t), np.sin(t)], [-np.sin(t), np.cos(t)]])
    if mirrored:
        turn = turn @ np.diag([-1, 1])
    return np.concatenate([turn, (np.array(target) - turn @ np.array(source))[:, None]], axis=1)


def paste(canvas: Picture, picture: Picture, mask: Picture, place: Affine) -> None:
    """Draw the masked part of a picture into `canvas`."""
    scale = float(np.sqrt(abs(np.linalg.det(place[:, :2]))))
    if scale < 0.5:  # shrunk first, or it aliases
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        mask = cv2.resize(mask, (small.shape[1], small.shape[0]), interpolation=cv2.INTER_AREA)
        grown = np.diag([picture.shape[1] / small.shape[1], picture.shape[0] / small.shape[0], 1.0])
        picture, place = small, place @ grown
    size = canvas.shape[1], canvas.shape[0]
    drawn = cv2.warpAffine(picture, place, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    part = cv2.warpAffine(mask, place, size, flags=cv2.INTER_LINEAR)[..., None].astype(np.float32) / 255
    canvas[:] = (canvas * (1 - part) + drawn * part).astype(np.uint8)
