"""Picking without references: Laplacian of Gaussian first, then the particles' own radial profile.

A profile has no detail that noise could imitate, and it comes from the micrograph itself: its defocus is
in it, and nothing of an expected structure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from cryocloud.engine.picking.contamination import deviation_limit
from cryocloud.engine.picking.correlation import Correlation, local_correlation, template_bank
from cryocloud.engine.picking.field import prepare_field
from cryocloud.engine.picking.peaks import Peaks, find_peaks, values_at
from cryocloud.engine.picking.picks import Picks, PickSettings, choose_peaks

PIXELS_PER_DIAMETER = 20.0
LOG_SCALES = (0.8, 0.9, 1.0, 1.1, 1.25)
WINDOW_RADII = 1.25
TEMPLATE_RADII = 1.6
PROFILE_SAMPLES_PER_PX = 2
PROFILE_SHARE = 0.5
FEWEST_FOR_PROFILE = 8
MOST_FOR_PROFILE = 300


@dataclass(frozen=True)
class _Scale:
    """Particle radius and template edge in pixels of the field."""

    radius_px: float

    @property
    def edge_px(self) -> int:
        return 2 * math.ceil(TEMPLATE_RADII * self.radius_px) + 1

    def radii(self, device: torch.device) -> Float32[Tensor, "n n"]:
        line = torch.arange(self.edge_px, dtype=torch.float32, device=device) - self.edge_px // 2
        return torch.hypot(line[:, None], line[None, :])


def pick_blobs(
    micrograph: Float32[Tensor, "h w"],
    *,
    pixel_size_angstrom: float,
    settings: PickSettings,
    generator: torch.Generator,
) -> Picks:
    """Pick round things of about one diameter, solid or hollow, without any reference.

    Locally normalised correlation with Laplacians of Gaussians at five scales around the diameter finds
    the first candidates; their mean radial profile, which shows whether the particle is a ball or a ring
    and how defocus fringes it, is the template of the second pass. The same two passes over the micrograph
    with randomised phases tell which scores chance can reach.

    Parameters
    ----------
    micrograph
        Of any gray scale, particles dark unless ``settings`` say otherwise. It is worked on at 20 pixels a
        diameter.
    pixel_size_angstrom
        Of the micrograph.
    generator
        Of the CPU; for the random phases. The same state gives the same picks.

    Returns
    -------
    Picks
        Scores are correlation coefficients, -1 to 1.

    Raises
    ------
    InputError
        As :func:`prepare_field`.
    """
    field = prepare_field(
        micrograph,
        pixel_size_angstrom=pixel_size_angstrom,
        coarse_pixel_size_angstrom=settings.diameter_angstrom / PIXELS_PER_DIAMETER,
        diameter_angstrom=settings.diameter_angstrom,
        dark_particles=settings.dark_particles,
    )
    scale = _Scale(settings.diameter_angstrom / 2 / field.pixel_size_angstrom)

    def two_passes(image: Float32[Tensor, "h w"], usable: Bool[Tensor, "h w"]) -> tuple[Peaks, Correlation]:
        return _two_passes(image, usable, scale, settings.min_distance_diameters)

    return choose_peaks(field, two_passes, settings, generator)


def _two_passes(
    image: Float32[Tensor, "h w"],
    usable: Bool[Tensor, "h w"],
    scale: _Scale,
    min_distance_diameters: float,
) -> tuple[Peaks, Correlation]:
    """Peaks and correlation of the second pass, whose template comes from the peaks of the first.

    Where fewer than eight boxes are fit for an average, the second pass repeats the first. Chance must go
    through both passes too: a template averaged from the best noise peaks fits noise better than any given
    template.
    """
    radii = scale.radii(image.device)
    window = torch.sigmoid((WINDOW_RADII * scale.radius_px - radii) / 0.5)
    templates = torch.stack([_laplacian(radii, factor * scale.radius_px) for factor in LOG_SCALES])
    distance_px = 2 * min_distance_diameters * scale.radius_px
    for last in (False, True):
        correlation = local_correlation(image, template_bank(templates, window))
        score = torch.where(usable, correlation.score, -1.0)
        peaks = find_peaks(score, min_distance_px=distance_px)
        if last:
            break
        profile = _mean_profile(image, _exemplary(peaks, correlation), scale)
        if profile is not None:
            templates = profile[None]
    return peaks, correlation


def _laplacian(radii: Float32[Tensor, "n n"], radius_px: float) -> Float32[Tensor, "n n"]:
    """Negative Laplacian of a Gaussian whose zero lies at the radius.

    ``(1 - r^2 / R^2) exp(-r^2 / R^2)``, that is a Gaussian of deviation R / sqrt(2): bright within R, dark
    around it.
    """
    ratio = (radii / radius_px) ** 2
    return (1 - ratio) * torch.exp(-ratio)


def _exemplary(peaks: Peaks, correlation: Correlation) -> Peaks:
    """The better half of the peaks, without contamination."""
    if len(peaks) == 0:
        return peaks
    better = peaks.score >= np.quantile(peaks.score, 1 - PROFILE_SHARE)
    deviation = values_at(peaks, correlation.deviation)
    clean = better & (deviation <= deviation_limit(deviation))
    return peaks.select(np.flatnonzero(clean)[:MOST_FOR_PROFILE])


def _mean_profile(
    image: Float32[Tensor, "h w"], peaks: Peaks, scale: _Scale
) -> Float32[Tensor, "n n"] | None:
    """Rotational average of the boxes around peaks; None where too few boxes fit into the image."""
    half = scale.edge_px // 2
    height, width = image.shape
    boxes = [
        image[y - half : y + half + 1, x - half : x + half + 1]
        for x, y in peaks.pixel_xy
        if half <= x < width - half and half <= y < height - half
    ]
    if len(boxes) < FEWEST_FOR_PROFILE:
        return None
    stack = torch.stack(boxes)
    deviation, mean = torch.std_mean(stack, dim=(1, 2), keepdim=True)
    average = ((stack - mean) / deviation.clamp(min=1e-12)).mean(0)
    ring = (scale.radii(image.device) * PROFILE_SAMPLES_PER_PX).round().long()
    total = torch.zeros(int(ring.max()) + 1, device=image.device).index_add_(0, ring.ravel(), average.ravel())
    count = torch.bincount(ring.ravel(), minlength=len(total)).clamp(min=1)
    return (total / count)[ring]
