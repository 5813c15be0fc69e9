"""Random geometry and light for training pictures, each from the sample's own random numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.train.tasks.targets import MIRRORED
from rpi_runtime.errors import InputError
from rpi_runtime.poses import Image

Affine = NDArray[np.float64]  # (2, 3), picture pixels to network pixels, both by pixel index
FILL = (128, 128, 128)  # the padding of the runtime
LEAST_NOISE = 0.5  # standard deviation below which rounding hides it
LEAST_SHRINK = 0.6  # below this relative size bilinear sampling aliases, so a halved copy is sampled


@dataclass(frozen=True, slots=True, kw_only=True)
class LightRange:
    """How the light of pictures is varied.

    Attributes
    ----------
    gain, offset : float
        Largest relative change of contrast, largest change of brightness (of 255).
    grey : float
        Probability of a picture without colour.
    noise : float
        Largest standard deviation of added noise (of 255), as of a small camera in the evening.
    """

    gain: float = 0.3
    offset: float = 30.0
    grey: float = 0.1
    noise: float = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation(LightRange):
    """How whole pictures are varied. `export.train.data.crops.Crops` varies crops of one person.

    Attributes
    ----------
    scale : (float, float)
        Range of the picture's size, relative to the whole picture fitted into the input; drawn log-uniformly. For
        networks with tags, see `square_affine`.
    rotation : float
        Degrees to either side.
    shift : float
        Largest shift of the centre, as a part of the input's sides.
    flip : float
        Probability of a mirrored picture.
    """

    scale: tuple[float, float] = (0.7, 2.2)
    rotation: float = 30.0
    shift: float = 0.2
    flip: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.scale[0] <= self.scale[1]:
            raise InputError(f"augmentation: scale {self.scale}: expected 0 < smallest <= largest")


def random_affine(
    rng: np.random.Generator,
    spec: Augmentation,
    picture: tuple[int, int],
    network: tuple[int, int],
    anchor: NDArray[np.float64] | None,
) -> Affine:
    """Draw where a picture goes.

    Parameters
    ----------
    rng, spec
    picture, network : (int, int)
        Width and height of each.
    anchor : ndarray, shape (2,), or None
        A point of the picture (a person's middle) that goes to about the middle of the input once the picture is
        larger than the input; None for the picture's own middle.

    Returns
    -------
    ndarray, shape (2, 3)
    """
    fit = min(network[0] / picture[0], network[1] / picture[1])
    low, high = np.log(spec.scale)
    zoom = math.exp(rng.uniform(low, high))
    angle = math.radians(rng.uniform(-spec.rotation, spec.rotation))
    moved = rng.uniform(-spec.shift, spec.shift, 2) * network
    middle = (np.array(picture) - 1) / 2
    if anchor is not None:
        pull = min(max((zoom - 1) / 0.5, 0.0), 1.0)  # a picture that fits stays where a camera shows it
        middle = middle + pull * (anchor - middle)
    scale = fit * zoom
    rotated = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    mirror = np.diag([-1.0, 1.0]) if rng.random() < spec.flip else np.eye(2)
    linear = mirror @ rotated
    target = (np.array(network) - 1) / 2 + moved * min(zoom, 1.0)
    return np.column_stack((linear, target - linear @ middle))


def square_affine(
    rng: np.random.Generator, spec: Augmentation, picture: tuple[int, int], network: tuple[int, int]
) -> Affine:
    """Draw where a picture goes, as HigherHRNet and EfficientHRNet do.

    Here `spec.scale` is relative to the picture's short side fitted into the input's. Its inverse, the side of the part
    that is cut out, is drawn uniformly, and shifts are parts of that side. The middle of the picture, as an index, goes
    to index ``(width / 2, height / 2)``.
    """
    low, high = spec.scale
    side = min(picture) * rng.uniform(1 / high, 1 / low)
    angle = math.radians(rng.uniform(-spec.rotation, spec.rotation))
    middle = np.array(picture) / 2 + rng.uniform(-spec.shift, spec.shift, 2) * side
    rotated = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    mirror = np.diag([-1.0, 1.0]) if rng.random() < spec.flip else np.eye(2)
    linear = mirror @ rotated * (min(network) / side)
    return np.column_stack((linear, np.array(network) / 2 - linear @ middle))


def from_copy(sizes: Sequence[tuple[int, int]], affine: Affine) -> tuple[int, Affine]:
    """Choose the copy of a picture that is sampled: the largest that shrinks to no less than `LEAST_SHRINK`.

    Parameters
    ----------
    sizes : sequence of (int, int)
        Width and height of the picture and of its halved copies (`export.train.data.examples.halved`).
    affine : ndarray, shape (2, 3)

    Returns
    -------
    level : int
    affine : ndarray, shape (2, 3)
        From that copy's pixels to the network's.
    """
    level, scale = 0, math.sqrt(abs(np.linalg.det(affine[:, :2])))
    while level + 1 < len(sizes) and scale * 2**level < LEAST_SHRINK:
        level += 1
    grown = np.array(sizes[0]) / np.array(sizes[level])
    matrix = affine.copy()
    matrix[:, :2] = affine[:, :2] * grown
    matrix[:, 2] = affine[:, 2] + affine[:, :2] @ ((grown - 1) / 2)
    return level, matrix


def warp(
    pyramid: tuple[Image, ...],
    affine: Affine,
    network: tuple[int, int],
    fill: tuple[int, int, int] = FILL,
) -> Image:
    """Resample a picture. If it shrinks, a copy is sampled (`from_copy`), against aliasing.

    Parameters
    ----------
    pyramid : tuple of ndarray
        The picture and its halved copies; the picture alone to use no copies.
    affine, network, fill
    """
    import cv2

    level, matrix = from_copy([(p.shape[1], p.shape[0]) for p in pyramid], affine)
    return np.asarray(
        cv2.warpAffine(pyramid[level], matrix, network, flags=cv2.INTER_LINEAR, borderValue=fill), np.uint8
    )


def move_points(
    people: NDArray[np.float64], affine: Affine, partners: tuple[int, ...]
) -> NDArray[np.float64]:
    """Map (P, K, 3) keypoints into the network's picture; in a mirrored one, left and right are exchanged."""
    moved = people.copy()
    moved[..., :2] = people[..., :2] @ affine[:, :2].T + affine[:, 2]
    return moved[:, list(partners)] if np.linalg.det(affine[:, :2]) < 0 else moved


def move_people(people: NDArray[np.float64], affine: Affine, network: tuple[int, int]) -> NDArray[np.float64]:
    """Map (P, 18, 3) keypoints into the network's picture; those outside lose their label."""
    moved = move_points(people, affine, MIRRORED)
    inside = ((moved[..., :2] >= 0) & (moved[..., :2] <= np.array(network) - 1)).all(axis=-1)
    moved[..., 2] *= inside
    return moved


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """Changes of a picture's light: contrast of each channel, grey or not, brightness, noise (of 255)."""

    contrast: tuple[float, float, float]
    grey: bool
    offset: float
    noise: float

    @property
    def numbers(self) -> tuple[float, ...]:
        """Contrast of the three channels, 1 for grey, brightness, and noise; 0 if the noise is too little to add."""
        return (*self.contrast, float(self.grey), self.offset, self.noise * self.has_noise)

    @property
    def has_noise(self) -> bool:
        """Whether there is enough noise to add."""
        return self.noise > LEAST_NOISE


def draw_light(rng: np.random.Generator, spec: LightRange) -> Light:
    """Draw a picture's light."""
    gain = 1 + rng.uniform(-spec.gain, spec.gain)
    channels = gain * (1 + rng.uniform(-0.1, 0.1, 3)) if spec.gain else np.full(3, gain)
    return Light(
        contrast=(float(channels[0]), float(channels[1]), float(channels[2])),
        grey=bool(rng.random() < spec.grey),
        offset=float(rng.uniform(-spec.offset, spec.offset)),
        noise=float(rng.uniform(0, spec.noise)),
    )


def relight(rng: np.random.Generator, spec: LightRange, picture: Image) -> Image:
    """Change light, colour and noise."""
    light = draw_light(rng, spec)
    pixels = picture.astype(np.float32)
    if light.grey:
        pixels[:] = pixels.mean(axis=2, keepdims=True)
    pixels = (pixels - 128) * np.array(light.contrast, np.float32) + 128 + light.offset
    if light.has_noise:
        pixels += rng.standard_normal(pixels.shape, dtype=np.float32) * np.float32(light.noise)
    return np.clip(pixels, 0, 255, out=pixels).astype(np.uint8)
