"""The fit of quant.speed to published latencies, and its error on networks that it has not seen.

    python -m tests.benchmarks.pi.fit [--constants]

For each board and type of values: the figures that were published, those of the fit, and those of a fit without the
network and its relatives. Four parameters are fitted to 2 to 15 figures, so each begins at what the processor's data
sheet lets expect and may leave it by about a factor of 2 (1.5 for the overhead), as far as the figures ask. A family
weighs like two figures at most, however many it has. `--constants` prints what quant/speed/boards.py holds.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from quant.speed.boards import BOARDS, Speed, total
from tests.benchmarks.pi.networks import NETWORKS
from tests.benchmarks.pi.published import FIGURES, Published

# Convolutions and depthwise convolutions in GMAC/s and thread, GB/s, us an operation. A72 at 1.5 GHz: 4 float or 8 INT8
# multiply-adds a cycle; A76 at 2.4 GHz: 8 float, 32 INT8 by SDOT; LPDDR4-3200 and LPDDR4X-4267, as far as a processor
# reaches them.
EXPECTED = {
    ("pi4", "float32"): (6.0, 3.0, 4.0, 5.0),
    ("pi4", "int8"): (12.0, 4.0, 4.0, 5.0),
    ("pi5", "float32"): (18.0, 9.0, 9.0, 3.0),
    ("pi5", "int8"): (70.0, 15.0, 9.0, 3.0),
}
SPREAD = np.log([2, 2, 2, 1.5])
NOISE = 0.15  # of a published figure, as a part of it


def figures_of(board: str, kind: str) -> list[Published]:
    """What was published of a board and type of values."""
    return [f for f in FIGURES if (f.board, f.int8) == (board, kind == "int8")]


def predicted(logs: NDArray[np.float64], figure: Published) -> float:
    """Milliseconds by the logarithms of the four parameters."""
    return _speed(logs).milliseconds(_amounts(figure.network, 1 if figure.int8 else 4), figure.threads)


@cache
def _amounts(network: str, width: int) -> NDArray[np.float64]:
    return total(NETWORKS[network](width).work)


def fit(figures: Sequence[Published], board: str, kind: str) -> NDArray[np.float64]:
    """Logarithms of the parameters, by Gauss and Newton's method on relative errors."""
    expected = np.log(EXPECTED[board, kind])
    relatives = Counter(f.family for f in figures)
    weights = np.array([min(1.0, np.sqrt(2 / relatives[f.family])) / NOISE for f in figures])
    published = np.log([f.ms for f in figures])

    def residuals(logs: NDArray[np.float64]) -> NDArray[np.float64]:
        errors = np.array([np.log(predicted(logs, f)) for f in figures]) - published
        return np.concatenate([errors * weights, (logs - expected) / SPREAD])

    logs = expected.copy()
    for _ in range(50):
        now = residuals(logs)
        slopes = np.stack([(residuals(logs + 1e-5 * unit) - now) / 1e-5 for unit in np.eye(4)], axis=1)
        step = np.linalg.lstsq(slopes, -now, rcond=None)[0]
        logs = logs + np.clip(step, -0.5, 0.5)
        if np.abs(step).max() < 1e-9:
            break
    return logs


def left_out(board: str, kind: str) -> dict[Published, float]:
    """Each figure's prediction by a fit that has not seen its network or a relative."""
    figures = figures_of(board, kind)
    result: dict[Published, float] = {}
    for family in dict.fromkeys(f.family for f in figures):
        logs = fit([f for f in figures if f.family != family], board, kind)
        result |= {f: predicted(logs, f) for f in figures if f.family == family}
    return result


def typical_factor(unseen: dict[Published, float]) -> float:
    """Root mean square of the logarithmic error, each family weighing the same, as a factor."""
    squares: dict[str, list[float]] = {}
    for figure, ms in unseen.items():
        squares.setdefault(figure.family, []).append(float(np.log(ms / figure.ms)) ** 2)
    return float(np.exp(np.sqrt(np.mean([np.mean(s) for s in squares.values()]))))


def fitted(board: str, kind: str) -> Speed:
    """What quant/speed/boards.py holds, to its three digits."""
    speed = _speed(fit(figures_of(board, kind), board, kind), typical_factor(left_out(board, kind)))
    rounded = {name: float(f"{getattr(speed, name):.3g}") for name in Speed.__slots__}
    return Speed(**rounded)


def _speed(logs: NDArray[np.float64], factor: float = 1.0) -> Speed:
    dense, depthwise, bandwidth, overhead = map(float, np.exp(logs))
    return Speed(
        convolution=dense, depthwise=depthwise, bandwidth=bandwidth, overhead=overhead, factor=factor
    )


def print_table(board: str, kind: str) -> None:
    """Print one board's figures."""
    logs, unseen = fit(figures_of(board, kind), board, kind), left_out(board, kind)
    print(
        f"\n{BOARDS[board]}, {kind}: typical error on unseen networks a factor of {typical_factor(unseen):.2f}"
    )
    print(f"{'':20} threads source published   fitted           unseen")
    for figure, other in unseen.items():
        ms = predicted(logs, figure)
        print(
            f"{figure.network:20} {figure.threads:7} {figure.source:>6} {figure.ms:9.1f} {ms:8.1f} "
            f"{100 * (ms / figure.ms - 1):+5.0f} % {other:8.1f} {100 * (other / figure.ms - 1):+5.0f} %"
        )


def main() -> None:
    """Print the tables, or the constants."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--constants", action="store_true", help="print the constants of quant/speed/boards.py"
    )
    args = parser.parse_args()
    for board, kind in EXPECTED:
        if args.constants:
            print(f'    ("{board}", "{kind}"): {fitted(board, kind)},')
        else:
            print_table(board, kind)


if __name__ == "__main__":
    main()
