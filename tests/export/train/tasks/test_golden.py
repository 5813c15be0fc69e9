"""Training targets and losses are those that once agreed with the original implementations; see golden/make.py."""

from __future__ import annotations

import numpy as np
import pytest

from tests.export.train.tasks.golden.make import PATH, computed

FOUND = computed()


@pytest.mark.parametrize("name", FOUND)
def test_a_result_is_the_stored_one(name: str) -> None:
    with np.load(PATH) as stored:
        assert set(stored.files) == set(FOUND)
        assert FOUND[name].shape == stored[name].shape
        assert np.allclose(FOUND[name], stored[name], rtol=1e-5, atol=1e-6)
    assert np.count_nonzero(FOUND[name])
