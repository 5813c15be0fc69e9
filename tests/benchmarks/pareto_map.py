"""What `tests.benchmarks.pareto` measured, as a table, a picture and a choice for each board and frame rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

BOARDS = {"pi4": "Pi 4", "pi5": "Pi 5"}
RATES = (10, 15, 30)  # frames a second
SHARE = (
    0.8  # of a frame's time for the networks: the rest of a frame with two people takes a fifth to a quarter
)
EVERY = 5  # the runtime's default of --look-every
WIDTH, HEIGHT, LEFT, BOTTOM, RIM = 760, 460, 56, 44, 20
LINE = 14  # height of a label


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One subject on the map.

    Attributes
    ----------
    name : str
    ap : float
    gmacs : float
        Of a frame with two people.
    ms : tuple of float
        For 1, 2 and 5 people.
    ratio : float
        Time for two people by that of the first subject.
    memory_mb : float
    predicted_ms : tuple of float
        On a Pi 4 and a Pi 5, two people, four threads, a look at every frame.
    look_ms : tuple of float
        The part of them that is the finder's, in a pair; 0 for a network by itself.
    frontier : bool
    """

    name: str
    ap: float
    gmacs: float
    ms: tuple[float, ...]
    ratio: float
    memory_mb: float
    predicted_ms: tuple[float, ...]
    look_ms: tuple[float, ...]
    frontier: bool = False

    @property
    def sparse_ms(self) -> tuple[float, ...]:
        """Predicted milliseconds of a mean frame with a look at every fifth."""
        return tuple(
            ms - look * (1 - 1 / EVERY) for ms, look in zip(self.predicted_ms, self.look_ms, strict=True)
        )


def mark_frontier(points: Sequence[Point]) -> list[Point]:
    """Say of each point whether none with as much AP is faster for two people."""
    return [replace(p, frontier=not any(q.ap >= p.ap and q.ms[1] < p.ms[1] for q in points)) for p in points]


def markdown(points: Sequence[Point]) -> str:
    """The table, surest first."""
    heads = ["network or pair", "AP", "G, 2 people", "ms, 1 person", "2", "5", "by the first", "MB"]
    heads += [f"{board} ms, predicted" for board in BOARDS.values()]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for p in sorted(points, key=lambda p: -p.ap):
        name = f"**{p.name}**" if p.frontier else p.name
        times = " | ".join(f"{ms:.1f}" for ms in p.ms)
        boards = " | ".join(f"{ms:.0f}" for ms in p.predicted_ms)
        lines.append(
            f"| {name} | {p.ap:.1f} | {p.gmacs:.2f} | {times} | {p.ratio:.2f} | {p.memory_mb:.0f} | {boards} |"
        )
    return "\n".join(lines) + "\n"


def choices(points: Sequence[Point]) -> str:
    """For each frame rate and board the subject with the most AP whose predicted time fits, as a table."""
    lines = [f"| frames a second | {' | '.join(BOARDS.values())} |", "|---" * (len(BOARDS) + 1) + "|"]
    for rate in RATES:
        room = SHARE * 1000 / rate
        cells = [_choice(points, number, room) for number in range(len(BOARDS))]
        lines.append(f"| {rate} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _choice(points: Sequence[Point], board: int, room: float) -> str:
    """The best with a look at every frame, and a better one with a look at every fifth where there is one."""
    always = max((p for p in points if p.predicted_ms[board] <= room), key=lambda p: p.ap, default=None)
    sparse = max((p for p in points if p.sparse_ms[board] <= room), key=lambda p: p.ap, default=None)
    said = [f"{always.name}: AP {always.ap:.1f}, {always.predicted_ms[board]:.0f} ms"] if always else []
    if sparse and (always is None or sparse.ap > always.ap):
        mean, most = sparse.sparse_ms[board], sparse.predicted_ms[board]
        said.append(
            f"with `--look-every {EVERY}` {sparse.name}: AP {sparse.ap:.1f}, {mean:.0f} ms, {most:.0f} with a look"
        )
    return "; ".join(said) or "none here"


def svg(points: Sequence[Point]) -> str:
    """AP over the time for two people, the frontier drawn; times on a logarithmic axis."""
    scale = _Scale(points)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<path d="M{LEFT},{RIM}V{HEIGHT - BOTTOM}H{WIDTH - RIM}" fill="none" stroke="#444"/>',
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 8}" text-anchor="middle">ms a frame with two people, one thread '
        "(logarithmic)</text>",
        f'<text x="16" y="{HEIGHT / 2}" transform="rotate(-90 16 {HEIGHT / 2})" text-anchor="middle">'
        "AP, val2017</text>",
        *scale.ticks(),
    ]
    best = sorted((p for p in points if p.frontier), key=lambda p: p.ms[1])
    line = " ".join(f"{x:.0f},{y:.0f}" for x, y in map(scale.place, best))
    parts.append(f'<polyline points="{line}" fill="none" stroke="#0072b2" stroke-width="2"/>')
    taken: list[tuple[float, float, float]] = []
    for p in sorted(points, key=lambda p: -p.ap):
        x, y = scale.place(p)
        colour = "#0072b2" if p.frontier else "#767676"
        parts.append(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="4" fill="{colour}"/>')
        parts.append(_label(p.name, x, y, taken))
    return "\n".join([*parts, "</svg>\n"])


def _label(name: str, x: float, y: float, taken: list[tuple[float, float, float]]) -> str:
    """A label beside its point, as near as the labels so far allow; its place is added to them."""
    width = 6.2 * len(name)
    left, anchor, shift = (x - 8 - width, "end", -8) if x + 8 + width > WIDTH - RIM else (x + 8, "start", 8)
    places = (y + 4 + LINE * n for n in (0, 1, -1, 2, -2, 3, -3, 4, -4))
    row = next((at for at in places if not any(_meets((left, at, width), other) for other in taken)), y + 4)
    taken.append((left, row, width))
    return f'<text x="{x + shift:.0f}" y="{row:.0f}" text-anchor="{anchor}">{name}</text>'


def _meets(one: tuple[float, float, float], other: tuple[float, float, float]) -> bool:
    beside = one[0] + one[2] < other[0] or other[0] + other[2] < one[0]
    return not beside and abs(one[1] - other[1]) < LINE


class _Scale:
    """Places on the picture."""

    def __init__(self, points: Sequence[Point]) -> None:
        times = [p.ms[1] for p in points]
        self.least, self.most = min(times) / 1.3, max(times) * 1.6
        self.high = max(p.ap for p in points) * 1.1

    def place(self, point: Point) -> tuple[float, float]:
        return self._x(point.ms[1]), self._y(point.ap)

    def ticks(self) -> list[str]:
        """Lines and numbers."""
        parts = []
        for ap in range(0, int(self.high), 10):
            y = self._y(ap)
            parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.0f}" text-anchor="end">{ap}</text>')
            parts.append(f'<path d="M{LEFT},{y:.0f}H{WIDTH - RIM}" stroke="#eee"/>')
        for ms in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000):
            if self.least <= ms <= self.most:
                x, foot = self._x(ms), HEIGHT - BOTTOM
                parts.append(f'<text x="{x:.0f}" y="{foot + 18}" text-anchor="middle">{ms}</text>')
        return parts

    def _x(self, ms: float) -> float:
        part = float(np.log(ms / self.least) / np.log(self.most / self.least))
        return LEFT + (WIDTH - LEFT - RIM) * part

    def _y(self, ap: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - RIM) * ap / self.high
