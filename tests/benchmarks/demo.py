"""The way of Lightweight OpenPose's original demo: PyTorch eager, decoding in Python and NumPy; a yardstick.

Written from the published description (Osokin 2018, arXiv:1811.12004): bilinear resize to the network's
height, (value - 128) / 256 in float32, grey padding to a multiple of 8, maps enlarged four times by cv2's
bicubic interpolation, peaks and limbs in NumPy, people put together in Python. What costs time there costs
time here; the steps are not made faster, and not slower, than they are in that form.
"""

from __future__ import annotations

import contextlib
import math

import cv2
import numpy as np
import torch

from rpi_runtime.model.card import ModelCard
from rpi_runtime.model.decoders import Limb

UPSAMPLE = 4
RADIUS = 6
POINTS = 10


Person = tuple[dict[int, int], float, int]  # rows of keypoints by type, score, how many counted


class Demo:
    """Picture to people.

    Parameters
    ----------
    net : torch.nn.Module
        Normalised (1, 3, H, W) to heatmaps and PAFs.
    card : ModelCard
        For the size, the scale and the limbs.
    grad : bool
        Record gradients, as the demo does, which does not ask for less.
    """

    def __init__(self, net: torch.nn.Module, card: ModelCard, *, grad: bool) -> None:
        self.net, self.card, self.grad = net, card, grad
        self.keypoints = len(card.skeleton.keypoints)

    def __call__(self, image: np.ndarray) -> list[Person]:
        """Find the people on a BGR picture."""
        return self.decode(*self.infer(image))

    def infer(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Heatmaps and PAFs, enlarged four times, (H, W, C)."""
        spec = self.card.input
        scale = spec.height / image.shape[0]
        small = cv2.resize(image, (0, 0), fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
        real = (np.array(small, np.float32) - spec.mean[0]) * spec.scale[0]
        width = max(math.ceil(real.shape[1] / 8) * 8, spec.height)
        left = (width - real.shape[1]) // 2
        real = cv2.copyMakeBorder(
            real, 0, 0, left, width - real.shape[1] - left, cv2.BORDER_CONSTANT, value=(0, 0, 0)
        )
        tensor = torch.from_numpy(real).permute(2, 0, 1).unsqueeze(0).float()
        with contextlib.nullcontext() if self.grad else torch.no_grad():
            heatmaps, pafs = self.net(tensor)
        return _enlarge(heatmaps), _enlarge(pafs)

    def decode(self, heatmaps: np.ndarray, pafs: np.ndarray) -> list[Person]:
        """Peaks, limbs, people."""
        by_type: list[list[tuple[int, int, float, int]]] = []
        total = 0
        for kind in range(self.keypoints):
            by_type.append(_peaks(heatmaps[:, :, kind], self.card.decoder.peak_threshold, total))
            total += len(by_type[-1])
        values = np.array([peak for peaks in by_type for peak in peaks])
        people: list[Person] = []
        for limb in self.card.decoder.limbs:
            a, b = by_type[limb.a], by_type[limb.b]
            if a and b:
                found = _connect(a, b, pafs[:, :, [limb.paf_x, limb.paf_y]], self.card.decoder.limb_threshold)
                people = _assemble(people, limb, found, values)
        least = self.card.decoder
        return [p for p in people if p[2] >= least.min_keypoints and p[1] / p[2] >= least.min_score]


def _enlarge(maps: torch.Tensor) -> np.ndarray:
    array = np.transpose(maps.squeeze().detach().cpu().numpy(), (1, 2, 0))
    return cv2.resize(array, (0, 0), fx=UPSAMPLE, fy=UPSAMPLE, interpolation=cv2.INTER_CUBIC)


def _peaks(heatmap: np.ndarray, threshold: float, first_id: int) -> list[tuple[int, int, float, int]]:
    """Pixels above their four neighbours; of two nearer than 6 the left one."""
    padded = np.pad(np.where(heatmap < threshold, 0, heatmap), 2)
    centre = padded[1:-1, 1:-1]
    above = (
        (centre > padded[1:-1, 2:])
        & (centre > padded[1:-1, :-2])
        & (centre > padded[2:, 1:-1])
        & (centre > padded[:-2, 1:-1])
    )[1:-1, 1:-1]
    points = sorted(zip(np.nonzero(above)[1], np.nonzero(above)[0], strict=True), key=lambda p: p[0])
    hidden = np.zeros(len(points), np.uint8)
    kept: list[tuple[int, int, float, int]] = []
    for i, (x, y) in enumerate(points):
        if hidden[i]:
            continue
        for j in range(i + 1, len(points)):
            if math.sqrt((x - points[j][0]) ** 2 + (y - points[j][1]) ** 2) < RADIUS:
                hidden[j] = 1
        kept.append((x, y, heatmap[y, x], first_id + len(kept)))
    return kept


def _connect(
    a: list[tuple[int, int, float, int]],
    b: list[tuple[int, int, float, int]],
    field: np.ndarray,
    threshold: float,
) -> list[tuple[int, int, float]]:
    """One-to-one connections of a limb, best first."""
    from_, to = np.array([p[:2] for p in a], np.float32), np.array([p[:2] for p in b], np.float32)
    start = np.broadcast_to(from_[None], (len(b), len(a), 2)).reshape(-1, 2)
    vector = (to[:, None] - from_[None]).reshape(-1, 2)
    steps = np.arange(POINTS, dtype=np.float32).reshape(1, -1, 1) / (POINTS - 1)
    at = (start[:, None] + steps * vector[:, None]).round().astype(np.int32)
    sampled = field[at[..., 1], at[..., 0]]
    unit = vector / (np.linalg.norm(vector, axis=-1, keepdims=True) + 1e-6)
    dots = (sampled * unit[:, None]).sum(-1)
    valid = dots > threshold
    count = valid.sum(1)
    score = (dots * valid).sum(1) / (count + 1e-6)
    pairs = np.nonzero((score > 0) & (count / POINTS > 0.8))[0]
    used_a: set[int] = set()
    used_b: set[int] = set()
    found = []
    for pair in pairs[np.argsort(score[pairs])[::-1]]:
        j, i = divmod(int(pair), len(a))
        if i not in used_a and j not in used_b:
            used_a.add(i)
            used_b.add(j)
            found.append((a[i][3], b[j][3], float(score[pair])))
    return found


def _assemble(
    people: list[Person],
    limb: Limb,
    found: list[tuple[int, int, float]],
    values: np.ndarray,
) -> list[Person]:
    """Extend the people that hold the limb's first end, open one where there is none."""
    for i, j, score in found:
        holders = [n for n, (parts, _, _) in enumerate(people) if parts.get(limb.a) == i]
        if limb.fill_only:
            for n in holders:
                people[n][0].setdefault(limb.b, j)
            for parts, _, _ in people:
                if parts.get(limb.b) == j:
                    parts.setdefault(limb.a, i)
            continue
        for n in holders:
            parts, total, count = people[n]
            parts[limb.b] = j
            people[n] = (parts, total + values[j, 2] + score, count + 1)
        if not holders:
            people.append(({limb.a: i, limb.b: j}, values[i, 2] + values[j, 2] + score, 2))
    return people
