"""Starts judged by particles that none of them has seen, and by each other.

A map from nothing can fit its own particles well and still be wrong: noise aligned to a reference looks like that
reference. Two things tell more. Particles held out of the search are explained better by a right map than by one
without information; and starts that know nothing of each other end in the same map only if the particles lead them
there.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import torch
from jaxtyping import Float32
from torch import Tensor

from cryocloud.engine.abinitio.expectation import explain, prepare_references
from cryocloud.engine.abinitio.observations import Observations
from cryocloud.engine.abinitio.records import AbInitioParameters, Solution, StartComparison
from cryocloud.engine.abinitio.schedule import Step, generator, locating_step, search_step
from cryocloud.engine.abinitio.symmetry import rotational_average, without_rotational_average
from cryocloud.engine.alignment.volumes import align_volumes, apply_alignment
from cryocloud.engine.fourier import fsc, irfftn, low_pass, resolution_angstrom, rfftn

COMPARED_ANGSTROM = 20.0
_FSC_THRESHOLD = 0.5
_COMPARISON = 2_000_000


def compare_starts(
    solutions: tuple[Solution, ...],
    observations: Observations,
    parameters: AbInitioParameters,
    former: StartComparison | None,
) -> StartComparison:
    """Evidence of each start with the same noise, band and grid, and how alike the starts are.

    How alike the starts of a ``former`` comparison are is taken from there.

    The noise spectra of the starts are averaged for the comparison. With its own, a start that takes signal for noise
    would be judged by another measure than the rest.

    Parameters
    ----------
    solutions
        Maps and noise of the s finished starts, centered.
    observations, parameters
        The same for all starts.
    former
        Comparison of the starts but the last one; none for the first two. Evidence is measured anew, as the mean noise
        changes with each start.
    """
    step = replace(search_step(parameters.n_updates, observations, parameters), inverse_temperature=1.0)
    sigma2 = torch.stack([s.sigma2 for s in solutions]).mean(0)
    evidence, gain, gain_error = [], [], []
    for solution in solutions:
        judged = replace(solution, sigma2=sigma2)
        own, mean, error = evidence_gain(judged, observations, parameters, step, None)
        evidence.append(own)
        gain.append(mean)
        gain_error.append(error)
    pairs = tuple(itertools.combinations(range(len(solutions)), 2))
    known = {} if former is None else former.likeness
    likeness = [
        known.get((a, b)) or _likeness(solutions[b], solutions[a], observations, parameters, step.r_max_px)
        for a, b in pairs
    ]
    return StartComparison(
        evidence=tuple(evidence),
        gain=tuple(gain),
        gain_error=tuple(gain_error),
        pairs=pairs,
        correlation=tuple(cc for cc, _ in likeness),
        agreement_angstrom=tuple(angstrom for _, angstrom in likeness),
    )


def evidence_gain(
    solution: Solution,
    observations: Observations,
    parameters: AbInitioParameters,
    step: Step,
    operators: Tensor | None,
) -> tuple[float, float, float]:
    """Mean log-evidence of a held-out particle, its gain over maps without information, and that gain's error.

    Such maps are the rotational averages, which explain everything but orientations, and maps with the same power
    and random phases. The better of the two counts.

    The log-evidence of a particle is ``log sum over (class, rotation, shift) of prior * exp(l)``, with l the
    log-likelihood relative to no model at all: natural logarithms, and a constant for the number of shifts, that the
    gain is free of. The differences are taken particle by particle, so that the scatter between particles cancels.

    Parameters
    ----------
    solution
        Class maps, weights and noise.
    step
        Band, grid and shifts of the comparison.
    operators
        Point group of the maps, which thins the grid out; none for maps made without symmetry.

    Returns
    -------
    mean, gain, error
        Of h held-out particles: mean evidence, mean gain, and the gain's standard deviation over sqrt(h).
    """
    random = generator(parameters.seed, _COMPARISON)
    averages = torch.stack([rotational_average(v) for v in solution.volumes])
    scrambled = torch.stack([with_random_phases(v, random) * observations.mask for v in solution.volumes])
    own = _held_out_evidence(solution.volumes, solution, observations, parameters, step, operators)
    nulls = [
        _held_out_evidence(volumes, solution, observations, parameters, step, operators)
        for volumes in (averages, scrambled)
    ]
    null = max(nulls, key=lambda evidence: float(evidence.mean()))
    gain = own - null
    return float(own.mean()), float(gain.mean()), float(gain.std() / len(gain) ** 0.5)


def _held_out_evidence(
    volumes: Tensor,
    solution: Solution,
    observations: Observations,
    parameters: AbInitioParameters,
    step: Step,
    operators: Tensor | None,
) -> Tensor:
    """Log-evidence [h] of the held-out particles, which are located at low resolution first.

    Nobody has found their shifts yet: a coarse look at 30 Angstrom, about where they were cut, comes before the one
    that counts. All maps meet the same randomly turned grid.
    """
    rows, shift_px = observations.rows(-1), observations.original_shift_px
    poses = None
    for stage in (locating_step(observations, parameters), step):
        random = generator(parameters.seed, _COMPARISON, 1)
        references = prepare_references(
            volumes, solution.class_weight, stage, observations, operators, random
        )
        poses = explain(
            rows, references, observations, sigma2=solution.sigma2, shift_px=shift_px, step=stage
        ).poses
        shift_px = shift_px.clone()
        shift_px[rows] = poses.shift_px
    assert poses is not None
    return poses.log_evidence


def with_random_phases(volume: Float32[Tensor, "d d d"], random: torch.Generator) -> Float32[Tensor, "d d d"]:
    """A map with the amplitudes of ``volume`` at every frequency and the phases of white noise."""
    noise = rfftn(torch.randn(volume.shape, generator=random).to(volume.device))
    return irfftn(noise / noise.abs().clamp(min=1e-20) * rfftn(volume).abs(), volume.shape[0])


def _likeness(
    moving: Solution,
    fixed: Solution,
    observations: Observations,
    parameters: AbInitioParameters,
    r_max_px: int,
) -> tuple[float, float]:
    """Correlation at 20 Angstrom and resolution of agreement of two starts; each class with its best partner.

    Both are means over the classes of ``fixed``, weighted by their shares. Starts differ by any rotation, by a shift
    and by the hand, which projections cannot tell; the alignment tries both hands. The resolution (Angstrom) is where
    the FSC of the aligned maps falls below 0.5, and no finer than ring ``r_max_px``.
    """
    box, pixel = observations.box_size_px, observations.pixel_size_angstrom
    finest_angstrom = box * pixel / r_max_px
    correlation, agreement = 0.0, 0.0
    for weight, target in zip(fixed.class_weight.tolist(), fixed.volumes, strict=True):
        best = (-1.0, 0.0)
        for volume in moving.volumes:
            alignment = align_volumes(
                volume, target, pixel_size_angstrom=pixel, resolution_angstrom=max(15.0, finest_angstrom)
            )
            aligned = apply_alignment(volume, alignment)
            curve = fsc(aligned, target)[: r_max_px + 1]
            reached = resolution_angstrom(curve, _FSC_THRESHOLD, box, pixel)
            best = max(best, (_correlation(aligned, target, pixel), reached))
        correlation += weight * best[0]
        agreement += weight * best[1]
    return correlation, agreement


def _correlation(a: Tensor, b: Tensor, pixel_size_angstrom: float) -> float:
    """Correlation of two maps without their rotational averages, at 20 Angstrom.

    The averages of any two globular particles are alike, and would make any two maps agree.
    """
    filtered = [
        low_pass(without_rotational_average(v), COMPARED_ANGSTROM, pixel_size_angstrom) for v in (a, b)
    ]
    x, y = (v.to(torch.float64).flatten() - float(v.mean()) for v in filtered)
    return float((x @ y) / (x.norm() * y.norm()).clamp(min=1e-300))
