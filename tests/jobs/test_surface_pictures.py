"""Pictures of a turning surface against shapes that are known exactly."""

import numpy as np

from cryocloud.jobs.result_previews.surface import FRAMES, TILE_PX, level_without_dust, turning_pictures

EDGE_PX = 64


def ball(radius_px, center_zyx=(0.0, 0.0, 0.0)):
    """Density that falls by 1 a voxel from its center, so that it is 0 at ``radius_px``."""
    grid = np.indices((EDGE_PX,) * 3) - (EDGE_PX - 1) / 2
    away = np.linalg.norm(grid - np.array(center_zyx)[:, None, None, None], axis=0)
    return (radius_px - away).astype(np.float32)


def test_a_ball_is_a_disc_from_every_side_lit_from_above():
    pictures = turning_pictures(ball(16.0), 0.0)
    assert pictures.shape == (FRAMES, TILE_PX, TILE_PX, 2)
    # A tile reaches two voxels beyond the farthest voxel of the surface.
    away = np.linalg.norm(np.argwhere(ball(16.0) > 0) - (EDGE_PX - 1) / 2, axis=1)
    voxel_px = (TILE_PX - 1) / 2 / (away.max() + 2)
    wanted = np.pi * (16.0 * voxel_px) ** 2
    for picture in pictures:
        inside = picture[..., 1] == 255
        # A ring of half a pixel is 1.4 % of the disc.
        assert abs(inside.sum() / wanted - 1) < 0.03
        above, below = np.split(np.where(inside, picture[..., 0], 0).sum(axis=1, dtype=float), 2)
        assert above.sum() > 1.2 * below.sum()


def test_what_lies_to_the_side_comes_round_and_stays_at_its_height():
    """At +x, 20 px off and 8 up: to the right at first, in front after a quarter, then to the left."""
    pictures = turning_pictures(np.maximum(ball(3.0, (8.0, 0.0, 20.0)), ball(3.0)), 0.0)
    right, high = [], []
    for picture in pictures:
        row, column = np.nonzero(picture[..., 1])
        up = (TILE_PX - 1) / 2 - row
        outer = up > up.max() - 4
        right.append(column[outer].mean() - (TILE_PX - 1) / 2)
        high.append(up.max())
    turn = 2 * np.pi * np.arange(FRAMES) / FRAMES
    scale = right[0]
    assert scale > 40
    np.testing.assert_allclose(right, scale * np.cos(turn), atol=1.5)
    np.testing.assert_allclose(high, high[0], atol=1.0)


def test_specks_are_neither_drawn_nor_let_in_by_the_level():
    volume = ball(12.0)
    clean = turning_pictures(volume, 0.0)
    speckled = volume.copy()
    speckled[4::12, 4::12, 4] = 5.0
    assert np.array_equal(turning_pictures(speckled, 0.0), clean)
    noise = np.random.default_rng(0).normal(size=volume.shape).astype(np.float32)
    noisy = np.where(volume > 0, np.float32(4), 0) + noise
    # The ball fills 2.8 % of the box, and 2 % of normal noise lies above 2.05 deviations.
    level = level_without_dust(noisy)
    inside = noisy > level
    assert inside[volume <= 0].sum() < 0.05 * inside.sum()


def test_a_map_of_nothing_is_an_empty_picture():
    assert not turning_pictures(np.zeros((8, 8, 8), np.float32), 0.0).any()
    assert level_without_dust(np.zeros((8, 8, 8), np.float32)) == 0.0
