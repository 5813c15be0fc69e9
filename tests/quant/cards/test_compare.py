"""What two cards disagree about."""

from __future__ import annotations

from dataclasses import replace

from quant.cards.compare import disagreements
from tests.rpi_runtime.toys import CARD


def test_equal_cards_agree_whatever_their_names_and_thresholds() -> None:
    other = replace(CARD, name="other", decoder=replace(CARD.decoder, peak_threshold=0.4))
    assert disagreements(CARD, other) == []
    assert disagreements(CARD, replace(CARD, input=replace(CARD.input, scale=(0.003906,) * 3))) == []


def test_what_feeds_the_network_is_named() -> None:
    given = replace(
        CARD.input, width=CARD.input.width * 2, channels="rgb", mean=(0.0,) * 3, scale=(0.1, 0.2, 0.3)
    )
    assert disagreements(CARD, replace(CARD, input=given)) == [
        f"size {CARD.input.size}, not {given.size}",
        "channels bgr, not rgb",
        "mean 128, not 0",
        "scale 0.00390625, not (0.1, 0.2, 0.3)",
    ]


def test_outputs_of_the_same_name_are_compared_and_another_cut_is_not() -> None:
    first, *others = CARD.outputs
    moved = replace(CARD, outputs=(replace(first, stride=first.stride * 2), *others))
    (words,) = disagreements(CARD, moved)
    assert words == (
        f"outputs {first.name} ({first.role}, {first.channels} channels, stride {first.stride}), "
        f"not {first.name} ({first.role}, {first.channels} channels, stride {first.stride * 2})"
    )
    (words,) = disagreements(CARD, replace(CARD, outputs=(replace(first, first=1), *others)))
    assert words.endswith(
        f"not {first.name} ({first.role}, {first.channels} channels from 1, stride {first.stride})"
    )
    cut = replace(
        CARD, outputs=tuple(replace(o, name=f"inner_{o.name}", stride=o.stride * 2) for o in CARD.outputs)
    )
    assert disagreements(CARD, cut) == []
