"""Masked, phase-randomized and corrected FSC."""

from __future__ import annotations

import pytest
import torch

from cryocloud.engine.fourier import fsc, rfftn, shell_index
from cryocloud.engine.masking import correlate_half_maps, soft_sphere
from cryocloud.engine.masking.correlation import randomize_phases

BOX = 48


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(5)


def test_random_phases_keep_amplitudes_and_low_shells(blobs, generator):
    volume = blobs.volume(BOX)
    before, after = rfftn(volume), rfftn(randomize_phases(volume, 10, generator))
    shell = shell_index(BOX, 3)
    scale = before.abs().max()
    assert torch.allclose(after[shell < 10], before[shell < 10], atol=1e-5 * scale)
    inside = (shell >= 10) & (shell < BOX // 2)
    assert torch.allclose(after.abs()[inside], before.abs()[inside], atol=1e-5 * scale)
    # Few voxels in shell 10: its FSC is 0 within 4 / sqrt(n / 2).
    assert fsc(volume, randomize_phases(volume, 10, generator))[10:20].abs().mean() < 0.05


def test_a_tight_mask_on_noise_is_found_out(generator):
    """Two independent noises share only the mask: masked FSC high by itself would claim a resolution."""
    noise = [torch.randn(BOX, BOX, BOX, generator=generator) for _ in range(2)]
    mask = soft_sphere(BOX, 5.0, 3.0)
    # A common mean makes the mask itself the signal of the lowest shells, as a real map's contrast does.
    curves = correlate_half_maps(*(n + 3 for n in noise), mask, generator)
    beyond = slice(curves.randomized_from_shell + 2, BOX // 2)
    assert curves.masked[3:6].mean() > 0.3
    assert abs(float(curves.corrected[beyond].mean())) < 0.1


def test_signal_survives_the_correction(blobs, generator):
    volume = blobs.volume(BOX)
    halves = [volume + 0.3 * torch.randn(BOX, BOX, BOX, generator=generator) for _ in range(2)]
    mask = soft_sphere(BOX, 12.0, 6.0)
    curves = correlate_half_maps(*halves, mask, generator)
    # The mask removes solvent noise: more FSC than without, and the correction takes little of it away.
    compared = slice(3, BOX // 4)
    assert (curves.corrected > curves.unmasked)[compared].all()
    assert (curves.masked - curves.corrected)[compared].abs().max() < 0.1
    # Against the truth: FSC of the mean to the object is sqrt(2 FSC / (1 + FSC)).
    to_truth = fsc((halves[0] + halves[1]) * mask, volume * mask)
    expected = torch.sqrt(2 * curves.corrected / (1 + curves.corrected).clamp(min=1e-6))
    assert (to_truth - expected)[compared].abs().max() < 0.05


def test_maps_without_detail_to_randomize(blobs, generator):
    """Equal maps never fall below 0.8: the curves are all 1 and nothing is corrected."""
    volume = blobs.volume(BOX)
    curves = correlate_half_maps(volume, volume, torch.ones_like(volume), generator)
    assert curves.randomized_from_shell == BOX // 2 + 1
    assert torch.allclose(curves.corrected, torch.ones_like(curves.corrected), atol=1e-6)
