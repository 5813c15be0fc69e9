"""The report's pictures of networks that see crops, whatever their decoder."""

from __future__ import annotations

import pytest

from export.report.pictures import _reader
from quant.cards.read import read_own_card, template_names


@pytest.mark.parametrize("name", template_names())
def test_each_card_of_the_package_has_a_decoder_for_the_report(name: str) -> None:
    assert callable(_reader(read_own_card(name)))
