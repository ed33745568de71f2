"""Posterior of a batch over classes, orientations and shifts, and its sums for the next maps.

The model of an image is ``X = CTF * slice of class c at rotation M * exp(+2 pi i k.shift / D) + noise``, the noise
independent with variance sigma2 in each Fourier ring. Nothing is assigned: an image enters each class at all its
poses, weighted by their probability. While a map is poor these are many, and a single best pose would be chance.

References
----------
Scheres 2012, J. Mol. Biol. 415:406 (the posterior and its prior); Ueda & Nakano 1998, Neural Netw. 11:271
(annealed likelihoods in expectation maximization).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cryocloud.engine.abinitio.observations import Observations
from cryocloud.engine.abinitio.schedule import Step
from cryocloud.engine.abinitio.symmetry import rotational_average
from cryocloud.engine.alignment.direct import (
    PoseSamples,
    Prior,
    ReferenceTable,
    direct_posterior,
    prepare_scoring,
    reference_table,
)
from cryocloud.engine.alignment.sample_sums import sums_of_samples
from cryocloud.engine.fourier import PixelList, phase_ramps, ring_average
from cryocloud.engine.fourier.space import sample_space, space_grid
from cryocloud.engine.geometry import random_rotations, rotation_grid
from cryocloud.engine.reconstruction import Accumulator, slice_volume, volume_transform

_PARTICLES_AT_ONCE = 512


@dataclass(frozen=True)
class References:
    """Slices of k maps at o rotations [o, 3, 3], class after class, with the log prior of each slice.

    Slice ``c * o + i`` is class c at ``rotation[i]``; its log prior [k o] is ``log(class weight / o)``. ``pixels`` is
    the band of the slices.
    """

    table: ReferenceTable
    rotation: Tensor
    log_prior: Tensor
    pixels: PixelList


@dataclass(frozen=True)
class BestPoses:
    """Most probable sample of each of b images; ``shift_px`` is the mean over the posterior.

    ``rows`` int64 [b] are the particles, ``rotation`` float64 [b, 3, 3] and ``class_index`` int64 [b] those of the
    best sample, ``probability`` its share of the posterior, ``log_evidence`` [b] the log of the likelihood summed
    over all poses, relative to an empty model. ``shift_px`` float64 [b, 2] is the whole shift in working pixels; its
    mean is finer than the step of the shift grid. All are on the CPU.
    """

    rows: Tensor
    rotation: Tensor
    shift_px: Tensor
    class_index: Tensor
    probability: Tensor
    log_evidence: Tensor


@dataclass(frozen=True)
class BatchSums:
    """What a batch leaves besides its slices: power explained a ring [r], class weights [k], best poses.

    ``explained`` is the sum over images of ``E[|X|^2 - |X - model|^2]``, averaged over each ring, the expectation E
    over the posterior; the images' power less this is the noise. ``class_weight`` sums the probabilities of each
    class, b in all.
    """

    explained: Tensor
    class_weight: Tensor
    poses: BestPoses


def prepare_references(
    volumes: Tensor,
    class_weight: Tensor,
    step: Step,
    observations: Observations,
    operators: Tensor | None,
    random: torch.Generator,
) -> References:
    """Slices of every class on a grid of rotations that is turned at random as a whole.

    A fixed grid would pull the particles to its points, update after update.

    Parameters
    ----------
    volumes
        Class maps float32 [k, d, d, d], masked.
    class_weight
        Shares [k], more than 0.
    step
        Gives the rings and the HEALPix order.
    operators
        Point group; one of each set of equivalent directions is kept. None keeps all.
    random
        CPU generator of the turn.
    """
    pixels = observations.pixels.within(step.r_max_px)
    turn = random_rotations(1, random)[0]
    rotation = rotation_grid(step.order, operators, turn).to(volumes.device)
    slices = [_slices(volume, rotation, pixels) for volume in volumes]
    log_prior = torch.log(class_weight / len(rotation)).repeat_interleave(len(rotation))
    return References(reference_table(torch.cat(slices)), rotation, log_prior, pixels)


def _slices(volume: Tensor, rotation: Tensor, pixels: PixelList) -> Tensor:
    """Slices of a map whose rotational average is taken exactly.

    Trilinear slices are wrong by about 3 % in a pattern that has the symmetry of the voxel lattice. Of a hollow
    shell that error is as strong as what makes its orientations differ, and maps would lock to the lattice.
    """
    average = rotational_average(volume)
    points = torch.stack([pixels.kx, pixels.ky, torch.zeros_like(pixels.kx)], 1)
    identity = torch.eye(3, device=volume.device)[None]
    common = sample_space(space_grid(average, pixels.r_max_px), identity, points)
    return slice_volume(volume_transform(volume - average, r_max_px=pixels.r_max_px), rotation, pixels).add_(
        common
    )


def explain(
    rows: Tensor,
    references: References,
    observations: Observations,
    *,
    sigma2: Tensor,
    shift_px: Tensor,
    step: Step,
    accumulators: list[Accumulator] | None = None,
) -> BatchSums:
    """Posterior of the particles ``rows`` about their shifts ``shift_px`` [n, 2].

    Where ``accumulators`` (one a class) are given, the particles are inserted into them.

    Of each image the samples that hold 99.9 % of the posterior are kept, ``step.max_samples`` at most. Images are
    summed over all samples of one slice before that is inserted: with broad posteriors hundreds of them share it.

    Parameters
    ----------
    rows
        Particles of the batch, int64 [b].
    references
        Slices of all classes; their band is that of the scores and of the insertion.
    sigma2
        Noise variance [r].
    shift_px
        Present shift of every particle (not only of the batch) in working pixels; ``step.shifts_px`` are tried about
        it.
    step
        Shifts, inverse temperature and number of samples.
    accumulators
        Added to in place.

    Notes
    -----
    Scores cost 4 b s k o n operations (s shifts, o rotations, n pixels).
    """
    totals = [
        _explain_block(block, references, observations, sigma2, shift_px, step, accumulators)
        for block in torch.split(rows, _PARTICLES_AT_ONCE)
    ]
    poses = [t.poses for t in totals]
    names = ("rows", "rotation", "shift_px", "class_index", "probability", "log_evidence")
    return BatchSums(
        torch.stack([t.explained for t in totals]).sum(0),
        torch.stack([t.class_weight for t in totals]).sum(0),
        BestPoses(*(torch.cat([getattr(p, name) for p in poses]) for name in names)),
    )


def _explain_block(
    rows: Tensor,
    references: References,
    observations: Observations,
    sigma2: Tensor,
    shift_px: Tensor,
    step: Step,
    accumulators: list[Accumulator] | None,
) -> BatchSums:
    """The same for as many particles as fit into memory at once.

    With numerator D and weight W of the images at one slice S, ``E[|X|^2 - |X - C S|^2]`` is
    ``sigma2 (2 Re(D conj(S)) - W |S|^2)`` summed over slices: no image needs to be looked at again.
    """
    pixels = references.pixels
    n, device = len(pixels), sigma2.device
    center = shift_px[rows].to(device)
    centered = observations.coefficients[rows, :n] * phase_ramps(center, pixels)
    scoring = prepare_scoring(centered, observations.transfer[rows, :n], sigma2, pixels)
    ramps = phase_ramps(step.shifts_px, pixels)
    flat = torch.zeros(len(ramps), device=device)
    prior = Prior(references.log_prior.to(device), flat, step.inverse_temperature)
    samples = direct_posterior(scoring, references.table, ramps, prior, max_samples=step.max_samples)
    n_classes = len(references.log_prior) // len(references.rotation)
    explained = torch.zeros(pixels.r_max_px + 1, dtype=torch.float64, device=device)
    if accumulators is not None:
        sums = sums_of_samples(scoring, samples, ramps)
        slices = references.table.slices[sums.reference]
        difference = 2 * (sums.data * slices.conj()).real - sums.weight * (slices.real**2 + slices.imag**2)
        explained = ring_average(difference, pixels).sum(0) * sigma2[: pixels.r_max_px + 1]
        rotation = references.rotation[sums.reference % len(references.rotation)]
        owner = sums.reference // len(references.rotation)
        for index, accumulator in enumerate(accumulators):
            mine = owner == index
            accumulator.insert(sums.data[mine], sums.weight[mine], rotation[mine], pixels)
    return BatchSums(
        explained,
        torch.bincount(
            samples.reference // len(references.rotation), samples.weight.double(), minlength=n_classes
        ),
        _best_poses(rows, samples, references, center, step.shifts_px),
    )


def _best_poses(
    rows: Tensor, samples: PoseSamples, references: References, center: Tensor, shifts_px: Tensor
) -> BestPoses:
    first = samples.best()
    reference = samples.reference[first]
    moved = torch.zeros(len(rows), 2, dtype=torch.float64, device=center.device)
    moved.index_add_(0, samples.image, samples.weight[:, None].double() * shifts_px[samples.shift])
    n_rotations = len(references.rotation)
    return BestPoses(
        rows,
        references.rotation[reference % n_rotations].cpu(),
        (center + moved).cpu(),
        (reference // n_rotations).cpu(),
        samples.weight[first].double().cpu(),
        samples.log_evidence.cpu(),
    )
