"""Cards written by hand, and the mistakes that would leave a network blind."""

from __future__ import annotations

from pathlib import Path

import pytest

from quant.cards.read import read_own_card, template_names
from rpi_runtime.errors import CardError
from tests.quant.cards.test_attach import TOML

MEAN, SCALE = "mean = [0.0, 0.0, 0.0]", f"scale = {[0.00392156862745098] * 3}"


def card(folder: Path, mean: list[float], scale: list[float]) -> Path:
    path = folder / "card.toml"
    assert MEAN in TOML
    assert SCALE in TOML
    path.write_text(TOML.replace(MEAN, f"mean = {mean}").replace(SCALE, f"scale = {scale}"))
    return path


@pytest.mark.parametrize(
    ("mean", "scale"),
    [
        ([0.0] * 3, [1.0] * 3),  # pixels as they are
        ([0.0] * 3, [1 / 255] * 3),
        ([127.5] * 3, [1 / 127.5] * 3),
        ([128.0] * 3, [1.0] * 3),
        ([103.53, 116.28, 123.675], [0.017429, 0.017507, 0.017125]),
        ([103.94, 116.78, 123.68], [1.0] * 3),
    ],
)
def test_normalisations_of_pixels_are_taken(tmp_path: Path, mean: list[float], scale: list[float]) -> None:
    assert read_own_card(str(card(tmp_path, mean, scale))).input.mean == tuple(mean)


@pytest.mark.parametrize(
    ("mean", "scale"),
    [
        ([0.485, 0.456, 0.406], [4.367, 4.464, 4.444]),  # of values 0..1, as torchvision has them
        ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ([0.485, 0.456, 0.406], [1 / 255] * 3),
        ([0.5] * 3, [2.0] * 3),
        ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375]),  # deviations instead of factors
    ],
)
def test_other_normalisations_are_refused_with_what_to_write(
    tmp_path: Path, mean: list[float], scale: list[float]
) -> None:
    with pytest.raises(
        CardError, match=r"card\.toml: input mean .* to .*; .* mean = 255 \* MEAN and scale = 1 / "
    ):
        read_own_card(str(card(tmp_path, mean, scale)))


def test_cards_of_the_package_are_taken() -> None:
    assert [read_own_card(name).name for name in template_names()] == template_names()
