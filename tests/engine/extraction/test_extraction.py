from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial import KDTree

from cryocloud.engine.errors import InputError
from cryocloud.engine.extraction import (
    NormalizeSettings,
    cut_boxes,
    gap_positions,
    normalize_boxes,
    place_boxes,
)


def test_a_box_is_centered_on_the_nearest_pixel() -> None:
    xy = np.array([[50.3, 60.8], [49.5, 60.0]])
    placement = place_boxes(xy, box_size_px=16, height_px=100, width_px=120)
    assert placement.center_px.tolist() == [[50, 61], [50, 60]]
    # RELION's origin is minus the displacement of the particle from the box center.
    assert placement.origin_px == pytest.approx(np.array([[-0.3, 0.2], [0.5, 0.0]]))
    image = np.arange(100 * 120, dtype=np.uint16).reshape(100, 120)
    boxes = cut_boxes(image, placement.center_px, 16)
    assert boxes[0, 8, 8] == image[61, 50]
    assert boxes.dtype == np.float32


def test_boxes_beyond_the_border_are_marked() -> None:
    xy = np.array([[8.0, 8.0], [7.4, 50.0], [112.0, 92.0], [112.6, 50.0], [50.0, 92.6]])
    placement = place_boxes(xy, box_size_px=16, height_px=100, width_px=120)
    assert placement.inside.tolist() == [True, False, True, False, False]


def test_a_box_larger_than_the_micrograph_is_refused() -> None:
    with pytest.raises(InputError, match=r"box of 256 px is larger than the micrograph of 300 x 200 px"):
        place_boxes(np.zeros((0, 2)), box_size_px=256, height_px=200, width_px=300)


def test_bad_pixels_are_refused(tmp_path: Path) -> None:
    image = np.zeros((64, 64), dtype=np.float32)
    image[30, 30] = np.nan
    with pytest.raises(InputError, match="1 pixels within the boxes"):
        cut_boxes(image, np.array([[32, 32]]), 16)


def boxes_with_ramp(edge: int = 64, count: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise with a dark ball on a ramp of bright ice; and the background pixels of a 40 px circle."""
    generator = torch.Generator().manual_seed(1)
    line = torch.arange(edge, dtype=torch.float32) - edge // 2
    radius = torch.hypot(line[:, None], line[None])
    ball = (radius < 12).float()
    noise = torch.randn(count, edge, edge, generator=generator)
    return 1000 + 20 * noise - 30 * ball + 2 * line[:, None] - 3 * line[None], radius > 20


def test_background_is_flat_with_unit_deviation_and_particles_are_white(device: str) -> None:
    boxes, background = boxes_with_ramp()
    images = normalize_boxes(boxes.to(device), NormalizeSettings(20.0, 64)).cpu()
    outside = images[:, background]
    # Exact but for float32 and the clamp.
    assert outside.mean(1).abs().max() < 1e-4
    assert (outside.std(1) - 1).abs().max() < 1e-3
    line = torch.arange(64, dtype=torch.float32) - 32
    for slope in (line[:, None], line[None]):
        weight = slope.expand(64, 64)[background]
        assert float((outside * weight).mean().abs() / weight.std()) < 0.03
    assert float(images[:, 26:39, 26:39].mean()) == pytest.approx(1.5, abs=0.15)


def test_fourier_crop_keeps_center_and_unit_background() -> None:
    boxes, _ = boxes_with_ramp(count=20)
    small = normalize_boxes(boxes, NormalizeSettings(20.0, 32))
    assert small.shape == (20, 32, 32)
    line = torch.arange(32, dtype=torch.float32) - 16
    outside = small[:, torch.hypot(line[:, None], line[None]) > 10]
    assert (outside.std(1) - 1).abs().max() < 1e-3
    mean = small.mean(0) * (torch.hypot(line[:, None], line[None]) < 9)
    middle = (mean * line[None]).sum() / mean.sum(), (mean * line[:, None]).sum() / mean.sum()
    # Noise of 20 averaged boxes
    assert max(abs(float(value)) for value in middle) < 0.1
    # Half the pixels a side average four old ones: the same ball stands out twice as much.
    assert float(small[:, 13:20, 13:20].mean()) == pytest.approx(3.0, abs=0.4)


def test_dust_is_clamped() -> None:
    boxes, _ = boxes_with_ramp(count=2)
    boxes[0, 3, 3] = 1e5
    clamped = normalize_boxes(boxes, NormalizeSettings(20.0, 64))
    kept = normalize_boxes(boxes, NormalizeSettings(20.0, 64, clamp_dust=False))
    assert float(kept[0].abs().max()) > 20
    assert float(clamped.abs().max()) < 6
    # Dust is in the background, so it must not change the rest of the image either.
    boxes[0, 3, 3] = 1000
    clean = normalize_boxes(boxes, NormalizeSettings(20.0, 64))
    assert float((clamped[0, 10:] - clean[0, 10:]).abs().max()) < 0.05


def test_an_empty_box_becomes_zero() -> None:
    assert normalize_boxes(torch.full((1, 32, 32), 7.0), NormalizeSettings(10.0, 32)).abs().max() == 0


def gaps(picks: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    return gap_positions(
        picks,
        count=count,
        box_size_px=64,
        height_px=400,
        width_px=500,
        diameter_px=40.0,
        rng=np.random.default_rng(seed),
    )


def test_gaps_keep_a_diameter_from_sparse_picks() -> None:
    picks = np.random.default_rng(1).uniform(0, 400, (10, 2))
    found = gaps(picks, 50)
    assert len(found) == 50
    assert KDTree(picks).query(found)[0].min() >= 40
    assert (found >= 32).all() and (found[:, 0] <= 500 - 32).all() and (found[:, 1] <= 400 - 32).all()
    assert np.array_equal(found, gaps(picks, 50)) and not np.array_equal(found, gaps(picks, 50, seed=1))


def test_crowded_micrographs_give_the_farthest_positions() -> None:
    grid = (
        np.stack(np.meshgrid(np.arange(20, 500, 42), np.arange(20, 400, 42)), -1).reshape(-1, 2).astype(float)
    )
    found = gaps(grid, 60)
    assert len(found) == 60
    # The farthest points of a square lattice lie half a diagonal, 29.7 px, from its points.
    assert np.median(KDTree(grid).query(found)[0]) > 24


def test_gaps_without_picks_lie_anywhere() -> None:
    assert len(gaps(np.zeros((0, 2)), 30)) == 30
