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
LINE = 16  # height of a line of the legend
COLUMNS = 2  # of the legend
NUMBER = 13  # room for the number beside a point, pixels


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
    """AP over the time for two people, the frontier drawn, numbers for names; times on a logarithmic axis."""
    scale = _Scale(points)
    ranked = sorted(points, key=lambda p: -p.ap)
    rows = -(-len(ranked) // COLUMNS)
    whole = HEIGHT + LINE * (rows + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {whole}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{whole}" fill="white"/>',
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
    taken: list[tuple[float, float]] = [scale.place(p) for p in points]
    for number, p in enumerate(ranked):
        x, y = scale.place(p)
        colour = "#0072b2" if p.frontier else "#767676"
        parts.append(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="4" fill="{colour}"/>')
        parts.append(_numbered(number + 1, x, y, taken))
        column, row = divmod(number, rows)
        left, foot = RIM + column * (WIDTH - 2 * RIM) // COLUMNS, HEIGHT + LINE * (row + 1)
        parts.append(f'<text x="{left}" y="{foot}" fill="{colour}">{number + 1}  {p.name}</text>')
    return "\n".join([*parts, "</svg>\n"])


def _numbered(number: int, x: float, y: float, taken: list[tuple[float, float]]) -> str:
    """A number beside its point, where it meets no point and no other number; its place is added to them."""
    ways = [(dx * far, dy * far) for far in (1, 1.7, 2.4) for dx, dy in _AROUND]
    free = [(x + dx, y + dy) for dx, dy in ways if all(_apart((x + dx, y + dy), other) for other in taken)]
    at = free[0] if free else (x + ways[0][0], y + ways[0][1])
    taken.append(at)
    return f'<text x="{at[0]:.0f}" y="{at[1] + 4:.0f}" text-anchor="middle" font-size="11">{number}</text>'


_AROUND = [(NUMBER, 0), (-NUMBER, 0), (0, -NUMBER), (0, NUMBER), (10, -10), (-10, 10), (10, 10), (-10, -10)]


def _apart(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return abs(one[0] - other[0]) >= NUMBER or abs(one[1] - other[1]) >= NUMBER - 2


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
