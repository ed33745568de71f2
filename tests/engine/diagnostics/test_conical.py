"""Directional FSC."""

from __future__ import annotations

import pytest
import torch

from cryocloud.engine.diagnostics import conical_fsc
from cryocloud.engine.fourier import fsc, irfftn, rfftn

BOX = 48


def half_maps(blobs, scale_along_z):
    """Noise that is stronger along z of Fourier space by the given factor."""
    generator = torch.Generator().manual_seed(2)
    full, half = torch.fft.fftfreq(BOX), torch.fft.rfftfreq(BOX)
    z, y, x = torch.meshgrid(full, full, half, indexing="ij")
    cosine = z.abs() / (z**2 + y**2 + x**2).sqrt().clamp(min=1e-6)
    factor = torch.where(cosine > 0.8, scale_along_z, 1.0)
    noise = [0.05 * torch.randn(BOX, BOX, BOX, generator=generator) for _ in range(2)]
    return [blobs.volume(BOX) + irfftn(rfftn(n) * factor, BOX) for n in noise]


def test_even_noise_gives_even_cones(blobs):
    """engine.md section 4.13: above 0.9 for an even distribution; here with random noise of shells of few voxels."""
    cones = conical_fsc(*half_maps(blobs, 1.0))
    assert cones.axis.shape == (96, 3)
    assert cones.area_ratio() > 0.8


def test_noise_along_one_axis_shows(blobs):
    cones = conical_fsc(*half_maps(blobs, 20.0))
    assert cones.area_ratio() < 0.6
    area = cones.curve.clamp(min=0).sum(1)
    assert cones.axis[area.argmin()][2].abs() > 0.8


def test_a_cone_of_the_whole_sphere_is_the_fsc(blobs):
    maps = half_maps(blobs, 1.0)
    cones = conical_fsc(*maps, half_angle_deg=91.0, order=0)
    whole = fsc(*maps)[: BOX // 2]
    # The FSC counts both members of the pairs in the plane x = 0, the cones one: a few voxels of a shell.
    assert torch.allclose(cones.curve, whole.expand_as(cones.curve), atol=0.02)


def test_identical_maps_correlate_fully(blobs):
    volume = blobs.volume(BOX)
    assert conical_fsc(volume, volume, r_max_px=12).area_ratio() == pytest.approx(1.0)
