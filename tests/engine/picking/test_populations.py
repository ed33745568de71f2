from __future__ import annotations

import math

import numpy as np
import pytest

from cryocloud.engine.picking.populations import population_threshold


def test_the_valley_between_two_populations_is_found() -> None:
    rng = np.random.default_rng(1)
    scores = np.concatenate([rng.normal(0.15, 0.04, 150), rng.normal(0.5, 0.06, 60)])
    threshold = population_threshold(scores)
    assert 0.25 < threshold < 0.36
    assert int((scores > threshold).sum()) == pytest.approx(60, abs=1)


@pytest.mark.parametrize("count", [300, 10])
def test_one_population_gives_no_threshold(count: int) -> None:
    assert population_threshold(np.random.default_rng(2).normal(0.2, 0.05, count)) == -math.inf
