"""Positions that stand for one particle twice."""

from __future__ import annotations

import numpy as np

from cryocloud.engine.extraction import repeated_positions


def test_the_first_of_near_positions_stays():
    xy = np.array([[0.0, 0], [50, 0], [3, 4], [0, 0], [55.1, 0], [50, 5]])
    one = np.zeros(6, dtype=np.int64)
    # (3, 4) lies exactly at the distance, (55.1, 0) beyond it.
    assert repeated_positions(xy, one, 5.0).tolist() == [-1, -1, 0, 0, -1, 1]


def test_a_chain_keeps_every_position_that_repeats_no_kept_one():
    xy = np.array([[0.0, 0], [4, 0], [8, 0], [12, 0]])
    assert repeated_positions(xy, np.zeros(4, dtype=np.int64), 5.0).tolist() == [-1, 0, -1, 2]


def test_micrographs_are_apart_and_what_is_no_number_repeats_nothing():
    xy = np.array([[1.0, 1], [1, 1], [np.nan, 1], [np.nan, 1], [1, 1]])
    assert repeated_positions(xy, np.array([0, 1, 0, 0, 1]), 5.0).tolist() == [-1, -1, -1, -1, 1]


def test_against_all_pairs():
    generator = np.random.default_rng(0)
    xy, micrograph = generator.uniform(0, 40, (300, 2)), generator.integers(0, 3, 300)
    expected = np.full(300, -1)
    for row in range(300):
        earlier = np.flatnonzero((expected[:row] == -1) & (micrograph[:row] == micrograph[row]))
        near = earlier[np.hypot(*(xy[earlier] - xy[row]).T) <= 2.0]
        expected[row] = near[0] if len(near) else -1
    assert repeated_positions(xy, micrograph, 2.0).tolist() == expected.tolist()
    assert (expected >= 0).sum() > 50
