"""Posteriors by matrix products equal the defining sum, on both search paths."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from cryocloud.engine.alignment import direct
from cryocloud.engine.alignment.direct import (
    PoseSamples,
    Prior,
    ScoringImages,
    direct_posterior,
    prepare_scoring,
    reference_table,
)
from cryocloud.engine.fourier import make_pixel_list, phase_ramps
from cryocloud.engine.geometry import shift_grid

N_IMAGES, N_REFERENCES = 12, 90


class Case:
    """Images of known references at known shifts, with CTF-like weights and noise."""

    def __init__(self, noise: float = 1.0, device: str = "cpu") -> None:
        generator = torch.Generator().manual_seed(2)
        self.pixels = make_pixel_list(32, 10).to(device)
        n = len(self.pixels)
        self.references = torch.randn(N_REFERENCES, n, generator=generator, dtype=torch.complex64).to(device)
        self.shifts = shift_grid(2.0, 1.0).to(device)
        self.ramps = phase_ramps(self.shifts, self.pixels)
        self.truth = torch.randint(N_REFERENCES, (N_IMAGES,), generator=generator).to(device)
        self.shift = torch.randint(len(self.shifts), (N_IMAGES,), generator=generator).to(device)
        self.transfer = torch.rand(N_IMAGES, n, generator=generator).to(device)
        clean = self.references[self.truth] * self.transfer * self.ramps[self.shift].conj()
        drawn = torch.randn(N_IMAGES, n, generator=generator, dtype=torch.complex64).to(device)
        self.images = clean + noise * drawn
        self.sigma2 = torch.full((11,), max(noise, 0.1) ** 2, dtype=torch.float64, device=device)
        self.scoring: ScoringImages = prepare_scoring(self.images, self.transfer, self.sigma2, self.pixels)
        self.prior = Prior(
            torch.randn(N_REFERENCES, generator=generator).to(device),
            -0.5 * (self.shifts**2).sum(1),
        )

    def exhaustive(self) -> Tensor:
        """Log posterior [b, s, o] from -sum |X - C R e^(+...)|^2 / sigma^2 in double precision."""
        scores = torch.empty(N_IMAGES, len(self.shifts), N_REFERENCES, dtype=torch.float64)
        for s, ramp in enumerate(self.ramps):
            for o, reference in enumerate(self.references):
                model = (reference * self.transfer * ramp.conj()).to(torch.complex128)
                misfit = (self.images.to(torch.complex128) - model).abs() ** 2 / self.sigma2[self.pixels.ring]
                scores[:, s, o] = -misfit.sum(1)
        return scores + self.prior.log_shift[None, :, None] + self.prior.log_reference[None, None]


def _dense(samples: PoseSamples, n_shifts: int) -> Tensor:
    table = torch.zeros(N_IMAGES, n_shifts, N_REFERENCES, dtype=torch.float64)
    table[samples.image, samples.shift, samples.reference] = samples.weight.to(torch.float64)
    return table


@pytest.mark.parametrize("path", ["_search_cpu", "_search_cuda"])
def test_posterior_equals_the_defining_sum(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(noise=6.0)
    monkeypatch.setattr(direct, "_search_cpu", getattr(direct, path))
    found = direct_posterior(
        case.scoring, reference_table(case.references), case.ramps, case.prior, max_samples=2000, mass=0.9999
    )
    log = case.exhaustive().flatten(1)
    expected = torch.softmax(log, 1).view(N_IMAGES, len(case.shifts), N_REFERENCES)
    # Float32 sums of 150 products leave 1e-4 in the exponent; the cut leaves out 1e-4 of the mass.
    assert (_dense(found, len(case.shifts)) - expected).abs().max() < 1e-3
    assert torch.allclose(
        found.log_evidence - found.log_evidence[0],
        (torch.logsumexp(log, 1) + _power(case)) - (torch.logsumexp(log, 1) + _power(case))[0],
        atol=1e-2,
    )


def _power(case: Case) -> Tensor:
    """What the scores leave out: |X|^2 / sigma^2 of each image."""
    return ((case.images.abs() ** 2).to(torch.float64) / case.sigma2[case.pixels.ring]).sum(1)


def test_true_pose_is_found(device: str) -> None:
    case = Case(noise=1.0, device=device)
    found = direct_posterior(case.scoring, reference_table(case.references), case.ramps, case.prior)
    best = found.best()
    assert torch.equal(found.reference[best], case.truth)
    assert torch.equal(found.shift[best], case.shift)


def test_samples_are_sorted_limited_and_normalized() -> None:
    case = Case(noise=20.0)
    found = direct_posterior(
        case.scoring, reference_table(case.references), case.ramps, case.prior, max_samples=30, mass=1.0
    )
    totals = torch.zeros(N_IMAGES).index_add_(0, found.image, found.weight)
    assert torch.allclose(totals, torch.ones(N_IMAGES), atol=1e-5)
    for i in range(N_IMAGES):
        weights = found.weight[found.image == i]
        assert 1 <= len(weights) <= 30
        assert (weights[:-1] >= weights[1:]).all()


def test_temperature_flattens_the_posterior() -> None:
    case = Case(noise=6.0)
    cold, warm = (
        direct_posterior(
            case.scoring,
            reference_table(case.references),
            case.ramps,
            Prior(case.prior.log_reference, case.prior.log_shift, beta),
        )
        for beta in (1.0, 0.1)
    )
    assert warm.weight[warm.best()].mean() < cold.weight[cold.best()].mean()


def test_precision_of_the_first_pass_fits_the_processor() -> None:
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    expected = torch.bfloat16 if native else torch.float32
    assert direct.coarse_dtype(torch.device("cpu")) is expected
    assert math.isfinite(float(reference_table(torch.ones(2, 3, dtype=torch.complex64)).coarse.float().sum()))


@pytest.mark.parametrize("path", ["_search_cpu", "_search_cuda"])
def test_of_many_equal_scores_the_better_one_is_kept(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case()
    monkeypatch.setattr(direct, "_search_cpu", getattr(direct, path))
    # Empty references score 0 all alike, and are more than a buffer of candidates holds.
    references = torch.zeros(400, len(case.pixels), dtype=torch.complex64)
    # Scales the model to a log-likelihood about 1 above that of nothing: well within what candidates may differ by.
    references[5] = 0.01 * case.references[case.truth[0]]
    first = ScoringImages(case.scoring.weighted[:1], case.scoring.power[:1])
    alone = case.shift[:1]
    prior = Prior(torch.zeros(400), torch.zeros(1))
    found = direct_posterior(first, reference_table(references), case.ramps[alone], prior, max_samples=2)
    assert found.reference[0] == 5
