"""One start: from random orientations to a map, by mini-batches, without symmetry.

Each update looks at a few hundred particles and adds them to sums that decay: expectation maximization with running
sufficient statistics. A small batch makes the map change often and at little cost, and its randomness, with the
annealed likelihood, carries a map out of poor optima. The two halves of the particles take turns and have sums of
their own, so that their FSC shows how much of the map is signal.

References
----------
Cappe & Moulines 2009, J. R. Stat. Soc. B 71:593 (expectation maximization with decaying sums).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from cryocloud.engine.abinitio.expectation import BatchSums, explain, prepare_references
from cryocloud.engine.abinitio.maximization import accumulator_of, empty_sums, half_map, regularized_map
from cryocloud.engine.abinitio.observations import Observations
from cryocloud.engine.abinitio.records import AbInitioParameters, Solution, Sums
from cryocloud.engine.abinitio.schedule import Step, generator, search_step
from cryocloud.engine.alignment.direct import prepare_scoring
from cryocloud.engine.fourier import phase_ramps, ring_average
from cryocloud.engine.geometry import random_rotations
from cryocloud.engine.reconstruction import Accumulator, solve

_FIRST_PARTICLES = 300
# How much of the noise and of the class weights a batch replaces.
_NOISE_RATE = 0.2
_CLASS_RATE = 0.1
# The noise is never taken to be less than this share of the images' power, however much a map explains.
_LOWEST_NOISE_SHARE = 0.05
# In standard deviations of the map.
_NEGATIVE_LIMIT = -0.3
# Least weight of a class, as a part of an equal share: an empty class could never come back.
_CLASS_FLOOR = 0.2


def first_guess(
    observations: Observations, parameters: AbInitioParameters, start: int
) -> tuple[Sums, Solution]:
    """Maps of random particles at random orientations, low-passed; each start and class draws its own.

    300 particles are inserted with the images' power for the noise. The sums stay empty: the random map serves as the
    reference of the first update, and is then forgotten.

    Parameters
    ----------
    start
        Number of the start, from 0, which sets its random numbers.

    Returns
    -------
    sums, solution
        Empty sums; maps of the first band, uniform class weights, random orientations and the particles' own shifts.
    """
    random = generator(parameters.seed, start, 0)
    step = search_step(0, observations, parameters)
    pixels = observations.pixels.within(step.r_max_px)
    known = torch.cat([observations.rows(0), observations.rows(1)])
    volumes = []
    for _ in range(parameters.n_classes):
        rows = known[torch.randperm(len(known), generator=random)[:_FIRST_PARTICLES]]
        rotation = random_rotations(len(rows), random)
        n = len(pixels)
        shift_px = observations.original_shift_px[rows].to(pixels.kx.device)
        centered = observations.coefficients[rows, :n] * phase_ramps(shift_px, pixels)
        images = prepare_scoring(centered, observations.transfer[rows, :n], observations.power, pixels)
        accumulator = Accumulator(observations.box_size_px, step.r_max_px, device=pixels.kx.device)
        accumulator.insert(images.weighted, images.power, rotation.to(pixels.kx.device), pixels)
        volumes.append(solve(accumulator, r_max_px=step.r_max_px) * observations.mask)
    n, n_classes, volume = len(observations), parameters.n_classes, torch.stack(volumes)
    solution = Solution(
        volumes=volume,
        half_volumes=torch.stack([volume, volume], 1) * 0,
        agreement=torch.zeros(n_classes, observations.pixels.r_max_px + 1, dtype=torch.float64),
        sigma2=observations.power.clone(),
        class_weight=torch.full((n_classes,), 1 / n_classes, dtype=torch.float64),
        rotation=random_rotations(n, random),
        shift_px=observations.original_shift_px.clone(),
        class_index=torch.zeros(n, dtype=torch.int64),
        probability=torch.zeros(n, dtype=torch.float64),
    )
    return empty_sums(observations, n_classes), solution


def search_update(
    sums: Sums,
    solution: Solution,
    observations: Observations,
    parameters: AbInitioParameters,
    start: int,
    update: int,
) -> tuple[Sums, Solution]:
    """Align one mini-batch, from the halves of the particles in turn, and renew the maps.

    The sums of the half become ``S <- memory S + new``; then both halves' maps, their FSC and the regularized map are
    made from what there is. Inputs stay as they are.

    Parameters
    ----------
    sums, solution
        Those after update ``update - 1`` of this start.
    start, update
        Numbers, from 0; they set the random numbers and the schedule.
    """
    step = search_step(update, observations, parameters)
    half = update % 2
    rows = _batch(half, step, observations, parameters, start, update)
    random = generator(parameters.seed, start, update + 1)
    references = prepare_references(solution.volumes, solution.class_weight, step, observations, None, random)
    accumulators = [accumulator_of(sums, index, half, observations) for index in range(parameters.n_classes)]
    for accumulator in accumulators:
        accumulator.scale_(step.memory)
    batch = explain(
        rows,
        references,
        observations,
        sigma2=solution.sigma2,
        shift_px=solution.shift_px,
        step=step,
        accumulators=accumulators,
    )
    numerator, weight = sums.numerator.clone(), sums.weight.clone()
    for index, accumulator in enumerate(accumulators):
        numerator[index, half], weight[index, half] = accumulator.numerator, accumulator.weight
    updated = Sums(numerator, weight)
    moved = with_batch(solution, batch, observations, parameters)
    return updated, _with_maps(moved, updated, half, update, step, observations)


def with_batch(
    solution: Solution,
    batch: BatchSums,
    observations: Observations,
    parameters: AbInitioParameters,
    *,
    noise_rate: float = _NOISE_RATE,
    class_rate: float = _CLASS_RATE,
) -> Solution:
    """Noise, class weights and poses after a batch.

    The noise of a ring is the images' mean power less what the maps explain of it, at least 5 % of the power, and
    replaces ``noise_rate`` of the former one; rings beyond the band stay. Class weights are renewed at ``class_rate``,
    and no class falls much below a fifth of an equal share. Poses of the batch's particles replace the former ones.
    """
    rows = batch.poses.rows
    n_rings = len(batch.explained)
    pixels = observations.pixels.within(n_rings - 1)
    images = observations.coefficients[rows, : len(pixels)]
    power = ring_average(images.real**2 + images.imag**2, pixels).mean(0)
    residual = torch.maximum(power - batch.explained / len(rows), _LOWEST_NOISE_SHARE * power)
    residual[0] = residual[1]
    sigma2 = solution.sigma2.clone()
    sigma2[:n_rings] = (1 - noise_rate) * sigma2[:n_rings] + noise_rate * residual
    share = batch.class_weight.cpu() / batch.class_weight.sum().cpu()
    class_weight = (1 - class_rate) * solution.class_weight + class_rate * share
    class_weight = class_weight.clamp(min=_CLASS_FLOOR / len(class_weight))
    renewed = {
        "rotation": batch.poses.rotation,
        "shift_px": _bounded(
            batch.poses.shift_px, observations.original_shift_px[rows], observations, parameters
        ),
        "class_index": batch.poses.class_index,
        "probability": batch.poses.probability,
    }
    changed = {}
    for name, values in renewed.items():
        changed[name] = getattr(solution, name).clone()
        changed[name][rows] = values
    return replace(solution, sigma2=sigma2, class_weight=class_weight / class_weight.sum(), **changed)


def _bounded(
    shift_px: Tensor, original_px: Tensor, observations: Observations, parameters: AbInitioParameters
) -> Tensor:
    """Shifts [b, 2], pulled back onto a circle about the place the particle was cut at where they lie outside of it.

    Its radius is the shift range. Without it particles could drift to their neighbors.
    """
    limit_px = parameters.shift_range_angstrom / observations.pixel_size_angstrom
    moved = shift_px - original_px
    length = moved.norm(dim=1, keepdim=True)
    bounded: Tensor = original_px + moved * (limit_px / length.clamp(min=limit_px))
    return bounded


def _batch(
    half: int,
    step: Step,
    observations: Observations,
    parameters: AbInitioParameters,
    start: int,
    update: int,
) -> Tensor:
    """The next rows of the half in a random order that is gone through again and again."""
    rows = observations.rows(half)
    order = torch.randperm(len(rows), generator=generator(parameters.seed, start, half, 7))
    before = sum(search_step(u, observations, parameters).batch for u in range(half, update, 2))
    chosen = (before + torch.arange(min(step.batch, len(rows)))) % len(rows)
    return rows[order[chosen]]


def _with_maps(
    solution: Solution, sums: Sums, half: int, update: int, step: Step, observations: Observations
) -> Solution:
    """Maps of all classes from the sums, after one half's have changed.

    While the step asks for it, density below -0.3 standard deviations is cut: protein is bright, so that deep holes
    are mostly errors.
    """
    volumes, half_volumes, agreement = [], solution.half_volumes.clone(), []
    for index in range(len(solution.volumes)):
        pair = tuple(accumulator_of(sums, index, h, observations) for h in (0, 1))
        half_volumes[index, half] = half_map(pair[half], observations, step.r_max_px, None)
        if update == 0:
            # The other half has seen nothing yet.
            half_volumes[index, 1 - half] = half_volumes[index, half]
        volume, curve = regularized_map(
            (pair[0], pair[1]), half_volumes[index], observations, step.r_max_px, None
        )
        if step.non_negative:
            volume = volume.clamp(min=_NEGATIVE_LIMIT * float(volume.std()))
        volumes.append(volume)
        agreement.append(curve.cpu())
    return replace(
        solution, volumes=torch.stack(volumes), half_volumes=half_volumes, agreement=torch.stack(agreement)
    )
