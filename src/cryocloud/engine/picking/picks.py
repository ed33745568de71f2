"""What a picker returns, and the choice of peaks that all pickers share."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from cryocloud.engine.picking.contamination import deviation_limit
from cryocloud.engine.picking.correlation import Correlation
from cryocloud.engine.picking.field import Field
from cryocloud.engine.picking.peaks import Peaks, values_at
from cryocloud.engine.picking.populations import population_threshold
from cryocloud.engine.picking.significance import randomize_phases, significance_threshold

SMALLEST_FREE_SHARE = 0.1
CHANCE_ROUNDS = 4
QUIET_QUANTILE = 0.1
# Pure noise stays below this ratio nearly everywhere.
QUIET_RATIO = 1.15
MASKING_FALSE_SHARE = 0.2
# Local deviation relative to the median of the field; particles in empty ice stay below it.
GROSS_CONTAMINATION = 4.0

Pass = Callable[[Tensor, Tensor], tuple[Peaks, Correlation]]


@dataclass(frozen=True)
class PickSettings:
    """What is picked.

    Attributes
    ----------
    diameter_angstrom
        Of the particle; it sets window, templates and distances.
    dark_particles
        Whether particles are darker than the ice, as cameras see them.
    min_distance_diameters
        Of two picks nearer than this the better one is kept.
    false_share
        Expected share of picks that chance alone would give.
    score_min
        Replaces the threshold that ``false_share`` gives.
    most_picks
        At most so many of a micrograph, the best.
    chance_images
        Micrographs with random phases to compare with.
    """

    diameter_angstrom: float
    dark_particles: bool = True
    min_distance_diameters: float = 0.7
    false_share: float = 0.05
    score_min: float | None = None
    most_picks: int | None = None
    chance_images: int = 2


@dataclass(frozen=True)
class Picks:
    """Picks of one micrograph in order of falling score.

    Attributes
    ----------
    xy_px
        Centers (x, y) in pixels of the micrograph, pixel centers at whole numbers from 0.
    score
        Correlation coefficient with the best template.
    template
        Number of the template that fits best; 0 for pickers without templates.
    threshold
        Least score of a pick; infinite where nothing is more than chance.
    candidate_scores, chance_scores
        All peaks before the threshold, and those of the micrographs with random phases.
    contaminated_xy_px
        Peaks above the threshold that were left out because they scatter far more than particles.
    """

    xy_px: Float64[np.ndarray, "n 2"]
    score: Float64[np.ndarray, " n"]
    template: Int64[np.ndarray, " n"]
    threshold: float
    candidate_scores: Float64[np.ndarray, " c"]
    chance_scores: Float64[np.ndarray, " m"]
    contaminated_xy_px: Float64[np.ndarray, "j 2"]


def choose_peaks(field: Field, find: Pass, settings: PickSettings, generator: torch.Generator) -> Picks:
    """Peaks of a field that chance does not explain and contamination does not spoil.

    Chance is judged in rounds. The spectrum of the whole field (without contamination) holds the
    particles' own power, which makes chance look too able; in each further round the likely particles
    found so far are left out of it, until no more are found or too little of the field is left. The lowest
    threshold of all rounds counts; where the scores fall into two clear populations it is raised to their
    border.

    Parameters
    ----------
    find
        The picker: peaks and correlation of an image and its usable pixels. Chance images go through the
        same.
    generator
        Of the CPU.
    """
    peaks, correlation = find(field.image, field.usable)
    free = field.usable & (correlation.deviation <= _quiet_limit(field, correlation))
    radius_px = settings.diameter_angstrom / 2 / field.pixel_size_angstrom
    gross = GROSS_CONTAMINATION * correlation.deviation.median()
    clean = values_at(peaks, field.usable & (correlation.deviation <= gross))
    level = field.image / correlation.deviation
    candidates = peaks.select(clean)
    found = candidates.select(np.zeros(0, dtype=np.int64))
    threshold, chance_scores = math.inf, np.zeros(0)
    for _ in range(1 if settings.score_min is not None else CHANCE_ROUNDS):
        if float(free.float().mean()) < SMALLEST_FREE_SHARE:
            break
        chance = _chance_scores(level, free, find, settings, generator)
        strict, loose = (
            significance_threshold(
                candidates.score, chance, chance_images=settings.chance_images, false_share=share
            )
            for share in (settings.false_share, MASKING_FALSE_SHARE)
        )
        if strict < threshold or len(chance_scores) == 0:
            threshold, chance_scores = strict, chance
        masked = candidates.select(candidates.score >= loose)
        if len(masked) <= len(found):
            break
        found = masked
        free = free & ~_discs(found, radius_px, field.image)
    if settings.score_min is not None:
        threshold = settings.score_min
    elif math.isfinite(threshold):
        threshold = max(threshold, population_threshold(candidates.score))
    above = peaks.score >= threshold
    if (above & clean).any():
        clean &= values_at(peaks, correlation.deviation) <= deviation_limit(
            values_at(peaks.select(above & clean), correlation.deviation)
        )
    good = peaks.select(np.flatnonzero(above & clean)[: settings.most_picks])
    return Picks(
        xy_px=good.xy_px * field.scale,
        score=good.score,
        template=correlation.best_template(*_pixels(good, field.image)).cpu().numpy(),
        threshold=threshold,
        candidate_scores=peaks.score,
        chance_scores=chance_scores,
        contaminated_xy_px=peaks.select(above & ~clean).xy_px * field.scale,
    )


def _quiet_limit(field: Field, correlation: Correlation) -> float:
    """Local deviation up to which the field looks like its quietest tenth: ice without particles."""
    quietest = torch.quantile(correlation.deviation[field.usable], QUIET_QUANTILE)
    return QUIET_RATIO * float(quietest)


def _chance_scores(
    image: Float32[Tensor, "h w"],
    free: Bool[Tensor, "h w"],
    find: Pass,
    settings: PickSettings,
    generator: torch.Generator,
) -> Float64[np.ndarray, " m"]:
    """Scores of all peaks of images that have the spectrum of the free part of an image and random phases."""
    background = torch.where(free, image, 0.0) / free.float().mean().clamp(min=1e-3).sqrt()
    everywhere = torch.ones_like(free)
    images = [randomize_phases(background, generator) for _ in range(settings.chance_images)]
    return np.concatenate([find(random, everywhere)[0].score for random in images])


def _discs(peaks: Peaks, radius_px: float, image: Float32[Tensor, "h w"]) -> Bool[Tensor, "h w"]:
    """Pixels within ``radius_px`` of a peak."""
    points = np.ones(image.shape, dtype=bool)
    x, y = peaks.pixel_xy.T
    points[y, x] = False
    return torch.from_numpy(distance_transform_edt(points) <= radius_px).to(image.device)


def _pixels(peaks: Peaks, image: Tensor) -> tuple[Int64[Tensor, " n"], Int64[Tensor, " n"]]:
    x, y = torch.from_numpy(peaks.pixel_xy.T.copy()).to(image.device)
    return x, y
