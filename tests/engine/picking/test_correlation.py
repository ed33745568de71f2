from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from cryocloud.engine.picking.correlation import local_correlation, template_bank
from cryocloud.engine.picking.peaks import find_peaks
from cryocloud.engine.picking.significance import randomize_phases, significance_threshold


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def disc(edge: int, radius: float) -> torch.Tensor:
    line = torch.arange(edge, dtype=torch.float32) - edge // 2
    return (torch.hypot(line[:, None], line[None]) <= radius).float()


def test_correlation_equals_the_definition(device: str) -> None:
    image, template, window = random(40, 50), random(1, 9, 9, seed=1), disc(9, 4)
    found = local_correlation(image.to(device), template_bank(template.to(device), window.to(device)))
    inside = window > 0
    for y, x in ((10, 12), (30, 44), (20, 25)):
        patch = image[y - 4 : y + 5, x - 4 : x + 5][inside]
        expected = torch.corrcoef(torch.stack([patch, template[0][inside]]))[0, 1]
        assert float(found.score[y, x]) == pytest.approx(float(expected), abs=1e-4)


def test_gray_scale_does_not_matter() -> None:
    image, bank = random(40, 40), template_bank(random(3, 9, 9, seed=1), disc(9, 4))
    a, b = local_correlation(image, bank).score, local_correlation(5 * image + 3, bank).score
    # float32: squares of an image with an offset cancel
    assert torch.allclose(a, b, atol=1e-3)


def test_compressed_templates_give_the_same_scores() -> None:
    image, window = random(60, 60), disc(15, 7)
    smooth = torch.nn.functional.avg_pool2d(random(40, 1, 19, 19, seed=2), 5, stride=1)[:, 0]
    together = local_correlation(image, template_bank(smooth, window))
    one_by_one = [local_correlation(image, template_bank(smooth[[k]], window)).score for k in range(40)]
    exact, which = torch.stack(one_by_one).max(0)
    # A thousandth of the power may be lost, 3 % of the amplitude.
    assert float((together.score - exact).abs().max()) < 0.03
    y, x = torch.meshgrid(torch.arange(60), torch.arange(60), indexing="ij")
    chosen = together.best_template(x.ravel(), y.ravel())
    assert float((chosen == which.ravel()).float().mean()) > 0.9


def test_peaks_keep_their_distance_and_find_fractions() -> None:
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(50.0), indexing="ij")
    score = torch.exp(-((x - 12.3) ** 2 + (y - 9.6) ** 2) / 18)
    score = score + 0.5 * torch.exp(-((x - 17) ** 2 + (y - 9) ** 2) / 18)
    score = score + 0.8 * torch.exp(-((x - 35) ** 2 + (y - 30.25) ** 2) / 18)
    peaks = find_peaks(score, min_distance_px=12.0)
    assert len(peaks.select(peaks.score > 0.3)) == 2
    assert peaks.xy_px[1] == pytest.approx([35.0, 30.25], abs=0.05)
    assert peaks.score[0] > peaks.score[1]


def test_random_phases_keep_the_power_only() -> None:
    image = random(64, 48)
    other = randomize_phases(image, torch.Generator().manual_seed(1))
    assert torch.allclose(
        torch.fft.rfft2(other).abs()[:, 1:-1], torch.fft.rfft2(image).abs()[:, 1:-1], atol=1e-2
    )
    assert abs(float(torch.corrcoef(torch.stack([image.ravel(), other.ravel()]))[0, 1])) < 0.1


def test_threshold_holds_the_share_of_chance() -> None:
    rng = np.random.default_rng(1)
    chance = rng.normal(size=2000)
    scores = np.concatenate([rng.normal(size=1000), rng.normal(5, 1, size=200)])
    threshold = significance_threshold(scores, chance, chance_images=2, false_share=0.05)
    false = int((scores[:1000] >= threshold).sum())
    assert false / int((scores >= threshold).sum()) < 0.1
    assert int((scores[1000:] >= threshold).sum()) > 190
    nothing = significance_threshold(
        np.array([0.1, 0.2]), np.array([0.5, 0.6]), chance_images=1, false_share=0.05
    )
    assert nothing == math.inf
