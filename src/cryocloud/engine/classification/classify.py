"""The updates of a 2D classification.

Expectation maximization with running sums: each batch of particles is compared with all averages at all poses, added
to decaying sums at its probable ones, and the averages are made anew. Small batches at first make many quick updates
while the averages are poor; the last passes take every particle and forget everything else.

References
----------
Scheres et al. 2005, J. Mol. Biol. 348:139 (maximum-likelihood classification); Cappe & Moulines 2009, J. R. Stat.
Soc. B 71:593 (decaying sums); Ueda & Nakano 1998, Neural Netw. 11:271 (annealed likelihood).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import fields, replace

import torch
from torch import Tensor

from cryocloud.engine.classification.assignment import (
    assign_,
    drawn_samples,
    nothing_assigned,
    sample_models,
)
from cryocloud.engine.classification.expectation import (
    ClassSamples,
    prepare_search,
    search_batch,
    turned_taps,
)
from cryocloud.engine.classification.images import WorkingImages, read_batch, working_images
from cryocloud.engine.classification.maximization import (
    add_samples_,
    centroids_px,
    empty_sums,
    faded,
    reseeded,
    shifted,
    solve_averages,
)
from cryocloud.engine.classification.records import (
    Assignments,
    ClassificationParameters,
    ClassificationState,
    ClassSums,
)
from cryocloud.engine.classification.schedule import UpdatePlan, plan_update
from cryocloud.engine.fourier import resolution_angstrom
from cryocloud.engine.noise import initial_noise_spectrum, noise_from_residuals, residual_power
from cryocloud.engine.records.particle_set import ParticleSet

_IMAGES_AT_ONCE = 2000
# Images are added in a wider band than they are scored in, so that the halves can show that finer detail is there.
_ADDED_BAND = 1.25
_SEED_IMAGES = 40
_FRC_LIMIT = 0.143
_MARGIN_RINGS = 4
# Of an equal share; a class with less is given half of the largest one.
_EMPTY_SHARE = 0.15

Progress = Callable[[int, float], None]
"""Told the number of the update, from 1, and how far it is (0..1)."""


def start_classification(particles: ParticleSet, parameters: ClassificationParameters) -> ClassificationState:
    """First averages: random groups of images as they lie, low-passed; first noise spectrum.

    Groups of up to 40 unaligned images differ by chance, which is enough to begin with: the first updates turn chance
    into views. The low-pass is ``start_resolution_angstrom``.

    Parameters
    ----------
    particles
        With their images, optics and box; former poses are not used.
    parameters
        Stay the same for all updates of the run.

    Returns
    -------
    ClassificationState
        Before the first update; nothing is assigned, and the sums are empty.

    Raises
    ------
    InputError
        Fewer than two particles a class, a mask wider than the box, or images without noise in a ring.
    """
    work = working_images(particles, parameters)
    generator = torch.Generator().manual_seed(parameters.seed)
    pixels = work.pixels
    sigma2 = initial_noise_spectrum(work.particles, pixels, generator, mask=work.window)
    n, k = len(particles), parameters.n_classes
    sums = empty_sums(k, pixels)
    group_size = min(_SEED_IMAGES, n // k)
    rows = torch.randperm(n, generator=generator)[: group_size * k]
    taps = turned_taps(pixels, torch.zeros(1, dtype=torch.float64), pixels.r_max_px)
    for first in range(0, len(rows), _IMAGES_AT_ONCE):
        block = rows[first : first + _IMAGES_AT_ONCE]
        position = torch.arange(first, first + len(block), device=pixels.kx.device)
        one = torch.ones(len(block), device=pixels.kx.device)
        samples = ClassSamples(position - first, position % k, torch.zeros(len(block), 2).to(one), one, one)
        batch = read_batch(work, block)
        half = position // k % 2
        add_samples_(sums, batch, samples, taps, sigma2, half=half, pixels=pixels)
    ssnr = torch.zeros(k, pixels.r_max_px + 1, dtype=torch.float64, device=pixels.kx.device)
    ssnr[:, : work.first_ring_px + 1] = 1.0
    averages = solve_averages(sums, work, ssnr=ssnr)
    return ClassificationState(
        update=0,
        r_max_px=work.first_ring_px,
        averages=averages.images,
        frc=averages.frc,
        sigma2=sigma2,
        sums=faded(sums, 0.0),
        class_prior=torch.full((k,), 1 / k, dtype=torch.float64, device=pixels.kx.device),
        sigma_shift_px=parameters.shift_range_angstrom / work.particles.pixel_size_angstrom / 2,
        assignments=nothing_assigned(n),
        occupancy_history=torch.zeros(0, k, dtype=torch.float64),
        resolution_history=torch.zeros(0, k, dtype=torch.float64),
    )


def classify(
    particles: ParticleSet,
    state: ClassificationState,
    parameters: ClassificationParameters,
    *,
    progress: Progress = lambda update, fraction: None,
) -> Iterator[ClassificationState]:
    """Mini-batch updates and full passes; yields the state after each.

    An update depends on nothing but the state it starts from, so a stored state continues as if never
    interrupted.

    Parameters
    ----------
    particles, parameters
        As they were given to :func:`start_classification`.
    state
        The first one, or any that was yielded.
    progress
        Called before each block of images.

    Notes
    -----
    Each batch adds to decaying sums of aligned images (an EM step with a running average), the likelihood is
    tempered at first, and the band limit rises with the schedule as far as the classes' ring correlation
    allows.

    Examples
    --------
    >>> state = start_classification(particles, parameters)  # doctest: +SKIP
    >>> for state in classify(particles, state, parameters):  # doctest: +SKIP
    ...     print(state.update, state.r_max_px)
    """
    work = working_images(particles, parameters)
    while state.update < parameters.updates + parameters.full_passes:
        state = _update(work, state, parameters, progress)
        yield state


def _update(
    work: WorkingImages, state: ClassificationState, parameters: ClassificationParameters, progress: Progress
) -> ClassificationState:
    """One update: search the batch, add it to the faded sums, and make the averages anew."""
    limits = (work.first_ring_px, work.pixels.r_max_px)
    plan = plan_update(state.update, len(work.particles), parameters, limits)
    generator = torch.Generator().manual_seed(parameters.seed * 1_000_003 + 7919 * (state.update + 1))
    range_px = parameters.shift_range_angstrom / work.particles.pixel_size_angstrom
    search = prepare_search(
        work,
        state,
        shift_range_px=range_px,
        inverse_temperature=plan.inverse_temperature,
        generator=generator,
    )
    added = work.pixels.within(math.ceil(_ADDED_BAND * state.r_max_px) + _MARGIN_RINGS)
    taps = turned_taps(added, search.psi_deg, work.pixels.r_max_px)
    half_of = _random_halves(len(work.particles), parameters.seed)
    sums = faded(state.sums, plan.memory)
    assignments = Assignments(*(getattr(state.assignments, f.name).clone() for f in fields(Assignments)))
    for first in range(0, len(plan.rows), _IMAGES_AT_ONCE):
        progress(state.update + 1, first / len(plan.rows))
        rows = plan.rows[first : first + _IMAGES_AT_ONCE]
        batch = read_batch(work, rows)
        samples = search_batch(search, work, batch, rows, state.sigma2)
        half = half_of[rows].to(work.mask.device)
        add_samples_(sums, batch, samples, taps, state.sigma2, half=half, pixels=added)
        models = sample_models(samples, drawn_samples(samples, len(rows), generator), batch, search)
        power = residual_power(
            batch.windowed, models, torch.ones(len(rows), device=models.device), work.pixels
        )
        sums = replace(sums, noise_power=sums.noise_power + power, noise_weight=sums.noise_weight + len(rows))
        assign_(assignments, rows, batch, samples, search, state.sigma2)
    return _maximize(replace(state, assignments=assignments), sums, work, parameters, plan)


def _random_halves(n: int, seed: int) -> Tensor:
    """0 or 1 for each particle; drawn, as neighbors in a table may have something in common."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + 1)
    return torch.randperm(n, generator=generator) % 2


def _maximize(
    state: ClassificationState,
    sums: ClassSums,
    work: WorkingImages,
    parameters: ClassificationParameters,
    plan: UpdatePlan,
) -> ClassificationState:
    """Averages, noise, priors and the next band from the sums.

    Averages are centered in all updates but the last, whose poses must fit the averages that are written. Empty
    classes are filled only between batches: what a full pass finds empty is left so. Class priors are uniform until
    the full passes, as a class that is small by chance would shrink further.
    """
    averages = solve_averages(sums, work)
    last = state.update + 1 == parameters.updates + parameters.full_passes
    if parameters.recenter and not last:
        reach_px = 0.2 * work.mask_radius_px
        displacement = -centroids_px(averages.images).clamp(-reach_px, reach_px)
        sums = shifted(sums, displacement, work)
        averages = solve_averages(sums, work)
    images = averages.images
    if not plan.full:
        sums, images = reseeded(sums, averages, work, min_share=_EMPTY_SHARE / parameters.n_classes)
    share = sums.occupancy.sum(0) / sums.occupancy.sum()
    shift_px = state.assignments.shift_px[plan.rows]
    next_plan = plan_update(
        state.update + 1, len(work.particles), parameters, (work.first_ring_px, work.pixels.r_max_px)
    )
    supported_px = _supported_ring(averages.frc, share) + _MARGIN_RINGS
    uniform = torch.full_like(share, 1 / len(share))
    return replace(
        state,
        update=state.update + 1,
        r_max_px=max(work.first_ring_px, min(next_plan.r_limit_px, supported_px)),
        averages=images,
        frc=averages.frc,
        sigma2=noise_from_residuals(sums.noise_power, sums.noise_weight, mask=work.window),
        sums=sums,
        class_prior=share.clamp(min=1e-6) if next_plan.full else uniform,
        sigma_shift_px=max(1.0, float((shift_px**2).mean().sqrt())),
        occupancy_history=torch.cat([state.occupancy_history, share.cpu()[None]]),
        resolution_history=torch.cat(
            [state.resolution_history, class_resolutions_angstrom(averages.frc, work.particles)[None]]
        ),
    )


def class_resolutions_angstrom(frc: Tensor, particles: ParticleSet) -> Tensor:
    """Resolution [k] at which each class' halves correlate to 0.5; float64 on the CPU.

    The curves are smoothed over three rings, and ring 1, with its few pixels, is not asked.

    Both halves were aligned to the same average, so that noise correlates too: the number compares the classes of one
    run, and is no resolution in the sense of independent halves.

    Parameters
    ----------
    frc
        Ring correlation of the halves, [k, r].
    particles
        In the working box, whose edge in Angstrom turns rings into resolutions.
    """
    box, pixel = particles.box_size_px, particles.pixel_size_angstrom
    curves = frc.cpu()
    padded = torch.cat([curves, curves[:, -1:]], 1)
    smooth = torch.cat([curves[:, :1], padded.unfold(1, 3, 1) @ torch.tensor([0.25, 0.5, 0.25]).double()], 1)
    smooth[:, 1] = smooth[:, 1].clamp(min=0.5)
    return torch.tensor(
        [resolution_angstrom(curve, 0.5, box, pixel) for curve in smooth], dtype=torch.float64
    )


def _supported_ring(frc: Tensor, share: Tensor) -> int:
    """Last ring with a correlation above 0.143 in the better classes: three quarters of the particles have
    less.
    """
    below = frc[:, 1:] < _FRC_LIMIT
    last = torch.where(below.any(1), below.int().argmax(1), below.shape[1])
    order = torch.argsort(last)
    reached = torch.cumsum(share[order], 0) >= 0.75
    return int(last[order][reached.int().argmax()])
