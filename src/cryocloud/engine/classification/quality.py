"""How good each class is, from its average and the particles in it, and which classes to keep.

There is no absolute measure of a good class: sharpness and match depend on the particle, the dose and the number of
images. So classes are compared with the better ones of the same run, and only the match has a fixed zero, that
of noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cryocloud.engine.classification.classify import class_resolutions_angstrom
from cryocloud.engine.classification.images import working_images
from cryocloud.engine.classification.records import ClassificationParameters, ClassificationState
from cryocloud.engine.errors import InputError
from cryocloud.engine.records.particle_set import ParticleSet

# What the best of many poses gives noise; least distance from there to the standard.
_NOISE_MATCH = 3.5
_MIN_MATCH_RANGE = 3.0
# Rim at which the score is a half: so many times the standard's, and a bit for standards with a clean rim.
_EDGE_FACTOR, _EDGE_TOLERANCE = 4.0, 0.2
_BEST_QUARTER = 0.75
_WORST_RESOLUTION = 2.25


@dataclass(frozen=True)
class ClassQuality:
    """Measures of k classes, float64 [k], and scores from 0 (bad) to 1 made of them.

    ``particles`` counts the particles whose most probable class it is; ``resolution_angstrom`` is where the
    averages of two halves correlate to 0.5; ``match`` is the median, over the particles, of the correlation
    with the average in units of its spread for pure noise; ``edge_ratio`` the mean square of the average at
    the rim of the mask over that in the center. ``score`` is the product of the four scores.

    ``center_density`` is the mean gray value within 0.6 radii of the mask; the rim is what lies between 0.85 and 1.
    A product, because a class must be good in every respect: one that is sharp and well matched but bright at the
    rim shows ice or a neighbor.
    """

    particles: Tensor
    resolution_angstrom: Tensor
    match: Tensor
    center_density: Tensor
    edge_ratio: Tensor
    resolution_score: Tensor
    match_score: Tensor
    center_score: Tensor
    edge_score: Tensor

    @property
    def score(self) -> Tensor:
        """Overall rank of the classes, 0 to 1."""
        return self.resolution_score * self.match_score * self.center_score * self.edge_score


@dataclass(frozen=True)
class SelectionRules:
    """What a class must reach to be kept; classes named by hand (from 1) override the rules.

    ``min_score`` is a score from 0 to 1. Below ``min_particles`` a class is not judged at all but rejected: its median
    match and its ring correlation would be chance.
    """

    min_score: float = 0.25
    min_particles: int = 10
    include: frozenset[int] = frozenset()
    exclude: frozenset[int] = frozenset()


@dataclass(frozen=True)
class ClassDecision:
    """Whether a class is kept, and why."""

    kept: bool
    reason: str


def rate_classes(
    particles: ParticleSet, state: ClassificationState, parameters: ClassificationParameters
) -> ClassQuality:
    """Measure each class and score it against the better classes of the same run.

    The standard is the best-matching quarter of the particles and the classes like it. A class scores by how
    far its match lies between pure noise and the standard; by its resolution (1 up to 1.25 times, 0 from 2.25
    times the standard's length on); by the density in its center, where particles are brighter than their
    surroundings (1 from half of the standard on, 0 if dark); and by how little is bright at the rim of the
    mask, where neighbors may be but ice or carbon surely is.

    Parameters
    ----------
    particles
        Those that were classified, white on black.
    state
        After the last update.
    parameters
        Of the run; they give the working box and the mask.
    """
    n_classes = parameters.n_classes
    assigned = state.assignments.class_index
    counts = torch.bincount(assigned[assigned >= 0], minlength=n_classes).to(torch.float64)
    match = torch.zeros(n_classes, dtype=torch.float64)
    for index in counts.nonzero()[:, 0].tolist():
        match[index] = state.assignments.match[assigned == index].median()
    work = working_images(particles, parameters)
    resolution = class_resolutions_angstrom(state.frc, work.particles)
    center, edge = _center_and_edge(state.averages, work.mask_radius_px)
    return score_classes(counts, resolution, match, center, edge)


def score_classes(
    particles: Tensor,
    resolution_angstrom: Tensor,
    match: Tensor,
    center_density: Tensor,
    edge_ratio: Tensor,
) -> ClassQuality:
    """Scores from measures [k]; see :func:`rate_classes`.

    The standard's match is the third quartile over particles of their class' match; the classes no further below it
    than half its distance from noise give the standards of the other measures, as medians over their particles. With
    resolution d in Angstrom, match m, center c and rim e, and the standards marked by 0::

        2.25 - d / d0,   (m - 3.5) / max(m0 - 3.5, 3),   2 c / c0,   1 / (1 + (e / (4 e0 + 0.2))^2)

    each cut to 0 .. 1. The least range of 3 keeps a run without any particles from scoring well against itself.
    """
    standard_match = _weighted_quantile(match, particles, _BEST_QUARTER)
    good = match >= standard_match - 0.5 * max(standard_match - _NOISE_MATCH, 0)
    standard_resolution = _weighted_quantile(-resolution_angstrom[good], particles[good], 0.5)
    standard_edge = _weighted_quantile(edge_ratio[good], particles[good], 0.5)
    standard_center = _weighted_quantile(center_density[good], particles[good], 0.5)
    match_range = max(standard_match - _NOISE_MATCH, _MIN_MATCH_RANGE)
    allowed_edge = _EDGE_FACTOR * standard_edge + _EDGE_TOLERANCE
    return ClassQuality(
        particles,
        resolution_angstrom,
        match,
        center_density,
        edge_ratio,
        resolution_score=(_WORST_RESOLUTION + resolution_angstrom / standard_resolution).clamp(0, 1),
        match_score=((match - _NOISE_MATCH) / match_range).clamp(0, 1),
        center_score=(center_density / max(0.5 * standard_center, 1e-30)).clamp(0, 1),
        edge_score=1 / (1 + (edge_ratio / allowed_edge) ** 2),
    )


def choose_classes(quality: ClassQuality, rules: SelectionRules) -> list[ClassDecision]:
    """Keep or reject each class by the rules, with the reason.

    Returns
    -------
    list of ClassDecision
        One a class, in order. Where the score rejects a class, the reason names its lowest part.

    Raises
    ------
    InputError
        A class named by hand does not exist, or is both included and excluded.
    """
    n_classes = len(quality.score)
    for number in sorted(rules.include | rules.exclude):
        if not 1 <= number <= n_classes:
            raise InputError(f"class {number} does not exist; classes are numbered 1 to {n_classes}")
        if number in rules.include and number in rules.exclude:
            raise InputError(f"class {number} is both included and excluded; name it once")
    return [_decide(quality, index, rules) for index in range(n_classes)]


def _decide(quality: ClassQuality, index: int, rules: SelectionRules) -> ClassDecision:
    if index + 1 in rules.include:
        return ClassDecision(True, "included by hand")
    if index + 1 in rules.exclude:
        return ClassDecision(False, "excluded by hand")
    count, score = int(quality.particles[index]), float(quality.score[index])
    if count < rules.min_particles:
        return ClassDecision(False, f"{count} particles, fewer than {rules.min_particles}")
    if score >= rules.min_score:
        return ClassDecision(True, f"score {score:.2f}")
    parts: Sequence[tuple[float, str]] = (
        (
            float(quality.match_score[index]),
            f"its particles match the average little better than noise does ({quality.match[index]:.1f} "
            "standard deviations)",
        ),
        (
            float(quality.resolution_score[index]),
            f"its halves agree only to {quality.resolution_angstrom[index]:.1f} Å",
        ),
        (
            float(quality.center_score[index]),
            f"its center is not brighter than the background ({quality.center_density[index]:.2f})",
        ),
        (
            float(quality.edge_score[index]),
            f"the average is bright at the rim of the mask ({quality.edge_ratio[index]:.2f} of the center)",
        ),
    )
    return ClassDecision(False, f"score {score:.2f} below {rules.min_score:.2f}: {min(parts)[1]}")


def _center_and_edge(averages: Tensor, mask_radius_px: float) -> tuple[Tensor, Tensor]:
    """Mean gray value of the centers, and mean square at the rims over that of the centers; both [k], on the CPU."""
    line = torch.arange(averages.shape[-1], device=averages.device) - averages.shape[-1] // 2
    radius = torch.hypot(line[:, None].float(), line.float()) / mask_radius_px
    rim, center = (radius > 0.85) & (radius < 1), radius < 0.6
    values = averages.double()
    ratio = (values[:, rim] ** 2).mean(1) / (values[:, center] ** 2).mean(1).clamp(min=1e-30)
    return values[:, center].mean(1).cpu(), ratio.cpu()


def _weighted_quantile(values: Tensor, weights: Tensor, fraction: float) -> float:
    """Smallest value at which the running sum of weights reaches ``fraction`` of all."""
    order = torch.argsort(values)
    running = torch.cumsum(weights[order], 0)
    place = int(torch.searchsorted(running, fraction * running[-1]))
    return float(values[order][min(place, len(order) - 1)])
