"""Micrographs with weak or damped signal are found out."""

from __future__ import annotations

from dataclasses import replace

import torch

from cryocloud.engine.fourier import make_pixel_list
from cryocloud.engine.refinement.envelope import EnvelopeSums, damping, updated_envelope

BOX_PX, PIXEL_ANGSTROM, N = 48, 2.5, 400


def _sums(truth: torch.Tensor, sigma: float) -> tuple[EnvelopeSums, torch.Tensor]:
    """Images of four micrographs, each damped by its own envelope, compared with undamped models."""
    generator = torch.Generator().manual_seed(0)
    pixels = make_pixel_list(BOX_PX, 20)
    micrograph = torch.arange(N) % len(truth)
    models = torch.randn(N, len(pixels), generator=generator, dtype=torch.complex64)
    noise = torch.randn(N, len(pixels), generator=generator, dtype=torch.complex64)
    images = models * damping(truth[micrograph], pixels, PIXEL_ANGSTROM) + sigma * noise
    sums = EnvelopeSums.zeros(len(truth), 21, torch.device("cpu"))
    sums.add_(micrograph, images, models, pixels)
    return sums, torch.bincount(micrograph)


def _updated(
    sums: EnvelopeSums, count: torch.Tensor, last_ring: int = 20, present: torch.Tensor | None = None
) -> torch.Tensor:
    flat = torch.tensor([1.0, 0.0], dtype=torch.float64).repeat(len(count), 1)
    return updated_envelope(
        flat if present is None else present,
        sums,
        sigma2=torch.full((21,), 4.0, dtype=torch.float64),
        last_ring=last_ring,
        box_angstrom=BOX_PX * PIXEL_ANGSTROM,
        particles=count,
    )


def test_scale_and_b_factor_are_recovered_relative_to_the_mean() -> None:
    truth = torch.tensor([[1.2, -60.0], [1.0, 0.0], [1.0, 20.0], [0.8, 40.0]], dtype=torch.float64)
    found = _updated(*_sums(truth, sigma=2.0))
    # 100 images x 700 pixels at this noise give the scale to 1 %, B to 4 A^2; B is searched in steps of 10.
    assert (found[:, 0] - truth[:, 0]).abs().max() < 0.05
    assert (found[:, 1] - truth[:, 1]).abs().max() < 15.0


def test_the_mean_particle_is_left_unchanged() -> None:
    truth = torch.tensor([[1.5, 100.0], [1.5, 200.0]], dtype=torch.float64)
    sums, count = _sums(truth, sigma=2.0)
    found = _updated(sums, count)
    assert torch.allclose(found.mean(0), torch.tensor([1.0, 0.0], dtype=torch.float64), atol=1e-9)


def test_a_map_without_detail_changes_nothing() -> None:
    truth = torch.tensor([[2.0, 100.0], [0.5, -100.0]], dtype=torch.float64)
    sums, count = _sums(truth, sigma=2.0)
    flat = torch.tensor([1.0, 0.0], dtype=torch.float64).repeat(2, 1)
    assert torch.equal(_updated(sums, count, last_ring=5), flat)


def test_noise_alone_is_held_by_the_prior() -> None:
    truth = torch.tensor([[1.0, 0.0]] * 4, dtype=torch.float64)
    sums, count = _sums(truth, sigma=2.0)
    nothing = replace(sums, cross=torch.zeros_like(sums.cross), power=1e-9 * sums.power)
    # No evidence: every micrograph stays at the prior's mean.
    assert (_updated(nothing, count) - torch.tensor([1.0, 0.0])).abs().max() < 1e-3


def test_the_present_scale_does_not_pull_the_next_one() -> None:
    truth = torch.tensor([[1.4, 0.0], [0.6, 0.0]], dtype=torch.float64)
    sums, count = _sums(truth, sigma=2.0)
    # So few data that the prior counts; then the same sums as seen with models of twice and half the scale.
    few = EnvelopeSums(1e-5 * sums.cross, 1e-5 * sums.power)
    present = torch.tensor([[2.0, 0.0], [0.5, 0.0]], dtype=torch.float64)
    scale = present[:, :1]
    scaled = EnvelopeSums(scale * few.cross, scale**2 * few.power)
    assert torch.allclose(_updated(scaled, count, present=present), _updated(few, count), atol=1e-9)
    assert _updated(few, count)[0, 0] < _updated(sums, count)[0, 0] - 0.05
