"""A line chart as inline SVG, so that a report needs no script and no network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

# of Okabe and Ito, which colour-blind readers can distinguish, too
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 960, 300, 50, 12, 28, 24
LABEL_EVERY = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line: `values` at the labels' positions."""

    name: str
    values: Sequence[float]


def line_chart(series: Sequence[Series], labels: Sequence[str], unit: str) -> str:
    """Return an SVG element with a point per label and series. Each point has a tooltip."""
    values = [v for s in series for v in s.values]
    top, bottom = max(values, default=1.0), min([0.0, *values])
    step = 10.0 if top - bottom > 30 else 5.0
    ceiling, floor = step * math.ceil(top / step), step * math.floor(bottom / step)

    def x(index: int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * index / max(len(labels) - 1, 1)

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (ceiling - value) / max(ceiling - floor, 1e-9)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(unit)} per layer">']
    for tick in range(int((ceiling - floor) / step) + 1):
        value = floor + tick * step
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
        )
        parts.append(
            f'<text class="tick" x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>'
        )
    for index in range(0, len(labels), LABEL_EVERY):
        place = f'x="{x(index):.1f}" y="{HEIGHT - BOTTOM + 16}"'
        parts.append(f'<text class="tick" text-anchor="middle" {place}>{index + 1}</text>')
    for number, line in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{x(i):.1f},{y(v):.1f}" for i, v in enumerate(line.values))
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{path}"/>')
        for i, v in enumerate(line.values):
            title = f"{labels[i]}: {v:.1f} dB ({line.name})"
            parts.append(
                f'<circle cx="{x(i):.1f}" cy="{y(v):.1f}" r="3" fill="{colour}"><title>{escape(title)}</title></circle>'
            )
        parts.append(f'<rect x="{LEFT + 220 * number}" y="4" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{LEFT + 220 * number + 18}" y="15">{escape(line.name)}</text>')
    parts.append(
        f'<text class="tick" x="{WIDTH - RIGHT}" y="15" text-anchor="end">{escape(unit)}</text></svg>'
    )
    return "".join(parts)
