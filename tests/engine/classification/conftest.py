"""Particle images of a few views of one object, some of them junk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from cryocloud.engine.classification import (
    ClassificationParameters,
    ClassificationState,
    classify,
    start_classification,
)
from cryocloud.engine.geometry import random_rotations, rotation_from_euler
from cryocloud.engine.records.particle_set import ParticleSet

JUNK = -1


@dataclass(frozen=True)
class LabelledParticles:
    """Particles and the view that each shows; junk (empty or contaminated boxes) is -1."""

    particles: ParticleSet
    view: Tensor


@dataclass(frozen=True)
class Finished:
    """A classification that ran to its end."""

    labelled: LabelledParticles
    parameters: ClassificationParameters
    states: list[ClassificationState]


@pytest.fixture(scope="session")
def labelled_particles(blob_volume: Any, simulated_particles: Any) -> Callable[..., LabelledParticles]:
    """Factory: n images of ``n_views`` views at random in-plane angles, a share of them junk."""

    def make(
        n: int, *, n_views: int, snr: float, box_size_px: int = 48, junk_share: float = 0.2, seed: int = 0
    ) -> LabelledParticles:
        generator = torch.Generator().manual_seed(seed)
        views = random_rotations(n_views, generator)
        view = torch.randint(n_views, (n,), generator=generator)
        zero = torch.zeros(n, dtype=torch.float64)
        psi_deg = 360 * torch.rand(n, generator=generator, dtype=torch.float64)
        rotation = views[view] @ rotation_from_euler(zero, zero, psi_deg)
        volume = blob_volume(box_size_px=box_size_px)
        sim = simulated_particles(volume, n, rotation=rotation, snr=snr, seed=seed)
        images = sim.images.clone()
        for row in torch.randperm(n, generator=generator)[: round(junk_share * n)].tolist():
            view[row] = JUNK
            images[row] = _junk(box_size_px, sim.noise_variance**0.5, generator)
        read = images.numpy()
        return LabelledParticles(replace(sim.particles, read_images=lambda rows: read[rows]), view)

    return make


@pytest.fixture(scope="session")
def finished(labelled_particles: Callable[..., LabelledParticles]) -> Finished:
    """900 images of 6 views and junk, sorted into 12 classes."""
    labelled = labelled_particles(900, n_views=6, snr=0.1)
    parameters = ClassificationParameters(12, 115.0, updates=12, full_passes=1, seed=1)
    start = start_classification(labelled.particles, parameters)
    return Finished(labelled, parameters, list(classify(labelled.particles, start, parameters)))


def _junk(box_size_px: int, noise_sd: float, generator: torch.Generator) -> Tensor:
    """Noise; in half of the cases with one to three bright smooth spots anywhere."""
    image = noise_sd * torch.randn(box_size_px, box_size_px, generator=generator)
    n_spots = int(torch.randint(-2, 4, (1,), generator=generator))
    line = torch.arange(box_size_px, dtype=torch.float32)
    for _ in range(n_spots):
        y, x, width, height = torch.rand(4, generator=generator).tolist()
        squared = (line[:, None] - y * box_size_px) ** 2 + (line - x * box_size_px) ** 2
        image += (0.5 + 1.5 * height) * noise_sd * torch.exp(-squared / (2 * (2 + 6 * width) ** 2))
    return image
