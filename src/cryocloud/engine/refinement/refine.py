"""The iterations of a gold-standard refinement.

A particle is searched everywhere until the map stops improving, then moves only within its basin, and at last all
rings are inserted once. How far the band reaches, when a phase ends and which particles are searched again follows
from the FSC of the half maps and from the particles' own likelihoods; there is no schedule to choose.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cryocloud.engine.errors import InputError
from cryocloud.engine.fourier import PixelList, low_pass, make_pixel_list
from cryocloud.engine.geometry import angular_distance_deg
from cryocloud.engine.masking import soft_circle, soft_sphere
from cryocloud.engine.noise import initial_noise_spectrum, noise_from_residuals
from cryocloud.engine.reconstruction import Accumulator, VolumeTransform, volume_transform
from cryocloud.engine.records.particle_set import ParticleSet
from cryocloud.engine.refinement.amplitude import matched_amplitude
from cryocloud.engine.refinement.envelope import EnvelopeSums, updated_envelope
from cryocloud.engine.refinement.expectation import (
    CurrentPoses,
    PoseSearch,
    accumulate,
    best_poses,
    compare_with_models,
    estimate_poses,
    micrograph_numbers,
    read_batches,
)
from cryocloud.engine.refinement.maximization import MASK_EDGE_PX, maximize, shell_above
from cryocloud.engine.refinement.records import Phase, RefinementParameters, RefinementState
from cryocloud.engine.refinement.search import GlobalSearch, prepare_search, search_order

# FSC down to which a half map may judge the micrographs; iterations without gain that end the local phase.
_SUPPORT_FSC = 0.5
_STALLS = 2
# A particle is lost that gains less than others by so many robust deviations, or whose best pose is not this sure.
_LOST_SIGMAS = 3.0
_SURE = 0.9
_GAUSS_FROM_MAD = 1.4826
PER_PARTICLE = ("rotation", "shift_px", "best_probability", "log_gain", "log_gain_expected")
"""Fields of the state that each iteration finds anew for every particle."""

Progress = Callable[[int, float], None]
"""Told the number of the iteration, from 1, and how far it is (0..1)."""


def start_refinement(
    particles: ParticleSet, reference: Tensor, parameters: RefinementParameters
) -> RefinementState:
    """Split the particles, filter and scale the reference, and estimate the noise.

    Both halves begin with the same map, low-passed to ``start_resolution_angstrom`` and cut by a sphere. Finer detail
    that the half maps later agree in cannot come from it.

    Parameters
    ----------
    particles
        Half sets 1 and 2 are kept where every particle has one; else they are drawn from the seed.
    reference
        Density map float32 [D, D, D] in the particles' box and pixel size, on any gray scale.
    parameters
        Stay the same for all iterations of the run.

    Returns
    -------
    RefinementState
        Before iteration 1, in the phase "global"; curves and half maps are place-holders until the first iteration.
        The shifts of ``particles`` are where the search begins, their rotations are not used by it.

    Raises
    ------
    InputError
        Fewer than 10 particles a half, or a reference of another box; images without noise in a ring.
    """
    box, pixel = particles.box_size_px, particles.pixel_size_angstrom
    if tuple(reference.shape) != (box, box, box):
        raise InputError(
            f"the reference measures {tuple(reference.shape)} voxels but the particles' box is {box} px; "
            "resample the reference"
        )
    generator = torch.Generator().manual_seed(parameters.seed)
    half_set = _half_sets(particles, generator)
    device = parameters.device
    radius_px = parameters.mask_diameter_angstrom / 2 / pixel
    everything = make_pixel_list(box, box // 2 - 1).to(device)
    circle = soft_circle(box, radius_px, MASK_EDGE_PX, device)
    sigma2 = initial_noise_spectrum(particles, everything, generator, mask=circle)
    r_start = max(4, round(box * pixel / parameters.start_resolution_angstrom))
    sphere = soft_sphere(box, radius_px, MASK_EDGE_PX, device)
    filtered = low_pass(reference.to(device), parameters.start_resolution_angstrom, pixel) * sphere
    amplitude = matched_amplitude(filtered, particles, sigma2, parameters, r_max_px=r_start)
    n = len(particles)
    nothing = torch.zeros(box // 2 + 1, dtype=torch.float64, device=device)
    return RefinementState(
        iteration=0,
        phase="global",
        r_max_px=r_start,
        rotation=particles.rotation.clone(),
        shift_px=particles.shift_px.clone(),
        half_set=half_set,
        references=torch.stack([filtered * amplitude] * 2),
        half_maps=torch.stack([filtered * amplitude] * 2),
        sigma2=torch.stack([sigma2] * 2),
        ring_weight=torch.zeros(2, box // 2, dtype=torch.float64, device=device),
        envelope=_flat_envelope(particles).to(device),
        mask=sphere,
        fsc=nothing,
        fsc_masked=nothing,
        fsc_randomized=nothing,
        fsc_corrected=nothing,
        sigma_shift_px=parameters.shift_range_angstrom / pixel / 2,
        pose_change_deg=torch.full((n,), 180.0, dtype=torch.float64),
        best_probability=torch.zeros(n, dtype=torch.float64),
        log_gain=torch.zeros(n, dtype=torch.float64),
        log_gain_expected=torch.zeros(n, dtype=torch.float64),
        history=(),
        randomized_from_shell=1,
    )


def refine(
    particles: ParticleSet,
    state: RefinementState,
    parameters: RefinementParameters,
    *,
    progress: Progress = lambda iteration, fraction: None,
) -> Iterator[RefinementState]:
    """Iterate until the resolution stands still; yields the state after each iteration.

    While the phase is "global", each iteration searches all orientations and refines the best modes locally; in the
    "local" phase poses only move within their basin; the "final" iteration uses all Fourier rings. An iteration
    depends on nothing but the state it starts from, so a stored state continues as if never interrupted.

    Parameters
    ----------
    particles, parameters
        As they were given to :func:`start_refinement`.
    state
        The first one, or any that was yielded; one in the phase "done" yields nothing.
    progress
        Called after each batch.

    Yields
    ------
    RefinementState
        The last one has the phase "done". Its combined map is :func:`combined_map`.

    Examples
    --------
    >>> state = start_refinement(particles, start_map, parameters)  # doctest: +SKIP
    >>> for state in refine(particles, state, parameters):  # doctest: +SKIP
    ...     print(state.iteration, state.phase, state.history[-1])
    """
    while state.phase != "done":
        state = _iterate(particles, state, parameters, progress)
        yield state


def _half_sets(particles: ParticleSet, generator: torch.Generator) -> Tensor:
    """Half set 1 or 2 of each particle, int64 [n]; drawn in equal shares unless every particle has one already."""
    n = len(particles)
    assigned = particles.half_set
    if not bool(((assigned == 1) | (assigned == 2)).all()):
        assigned = torch.empty(n, dtype=torch.int64)
        assigned[torch.randperm(n, generator=generator)] = 1 + torch.arange(n) % 2
    smallest = int(min((assigned == 1).sum(), (assigned == 2).sum()))
    if smallest < 10:
        raise InputError(f"a half set has {smallest} particles; refinement needs at least 10 in each")
    return assigned


def _flat_envelope(particles: ParticleSet) -> Tensor:
    """Scale 1 and B-factor 0 for each micrograph, float64 [2, m, 2]."""
    n_micrographs = int(micrograph_numbers(particles).max()) + 1
    return torch.tensor([1.0, 0.0], dtype=torch.float64).repeat(2, n_micrographs, 1)


def _iterate(
    particles: ParticleSet, state: RefinementState, parameters: RefinementParameters, progress: Progress
) -> RefinementState:
    """One iteration: pose and insert both halves, then maps, curves and the next phase.

    Slices are inserted a quarter and eight rings beyond the band that scores use (all rings in the final iteration),
    so that the FSC can show detail that no reference held; that detail has not been aligned to.
    """
    box = particles.box_size_px
    r_insert = min(box // 2 - 1, math.ceil(1.25 * state.r_max_px) + 8)
    if state.phase == "final":
        r_insert = box // 2 - 1
    pixels = make_pixel_list(box, r_insert).to(parameters.device)
    per_particle = {name: getattr(state, name).clone() for name in PER_PARTICLE}
    sigma2, envelope = state.sigma2.clone(), state.envelope.clone()
    accumulators = []
    for half in (0, 1):
        accumulator = Accumulator(box, r_insert, device=parameters.device)
        update = _process_half(particles, state, parameters, half, accumulator, pixels, progress)
        for name, values in update.per_particle.items():
            per_particle[name][update.rows] = values
        sigma2[half, : r_insert + 1] = update.sigma2
        envelope[half] = update.envelope
        accumulators.append(accumulator)
    moved = angular_distance_deg(per_particle["rotation"], state.rotation, parameters.operators)
    updated = replace(
        state,
        **per_particle,
        iteration=state.iteration + 1,
        sigma2=sigma2,
        envelope=envelope,
        sigma_shift_px=max(1.0, float((per_particle["shift_px"] ** 2).mean().sqrt())),
        pose_change_deg=moved,
    )
    updated = maximize(updated, accumulators, parameters, particles.pixel_size_angstrom)
    return replace(updated, phase=_next_phase(state.phase, updated.history, parameters.max_iterations))


@dataclass(frozen=True)
class _HalfUpdate:
    """New values of the particles in ``rows``, by the field of the state, and of their half."""

    rows: Tensor
    per_particle: dict[str, Tensor]
    sigma2: Tensor
    envelope: Tensor


def _process_half(
    particles: ParticleSet,
    state: RefinementState,
    parameters: RefinementParameters,
    half: int,
    accumulator: Accumulator,
    pixels: PixelList,
    progress: Progress,
) -> _HalfUpdate:
    """Pose every particle of a half against its own reference and insert it into the half's accumulator."""
    device = parameters.device
    rows = (state.half_set == half + 1).nonzero()[:, 0]
    band = pixels.within(min(state.r_max_px, pixels.r_max_px))
    reference = volume_transform(state.references[half], r_max_px=band.r_max_px)
    sigma2 = state.sigma2[half, : pixels.r_max_px + 1]
    is_searched = searched_particles(state)
    wide = None
    if is_searched[rows].any():
        wide = _wide_search(reference, band, state, parameters, half, particles)
    operators = parameters.operators.to(device)
    search = PoseSearch(wide, state.sigma_shift_px, parameters.max_modes, operators)
    envelope = state.envelope[half]
    sums = EnvelopeSums.zeros(len(envelope), pixels.r_max_px + 1, device)
    power = torch.zeros(pixels.r_max_px + 1, dtype=torch.float64, device=device)
    found: list[tuple[Tensor, ...]] = []
    done = 0
    for batch in read_batches(particles, rows, pixels, envelope, parameters):
        current = CurrentPoses(
            state.rotation[batch.rows].to(device),
            state.shift_px[batch.rows].to(device),
            is_known=state.iteration > 0,
            is_searched=is_searched[batch.rows].to(device),
        )
        poses = estimate_poses(
            batch, reference, search, current, sigma2=sigma2[: band.r_max_px + 1], pixels=band
        )
        fit = compare_with_models(batch, poses, reference, (sigma2, pixels), sums)
        accumulate(accumulator, batch, poses, fit.log_gain >= 0, (sigma2, pixels))
        power += fit.residual
        found.append((*best_poses(poses), fit.log_gain, fit.log_gain_expected))
        done += len(batch.rows)
        progress(state.iteration + 1, (half + done / len(rows)) / 2)
    noise = noise_from_residuals(power, float(len(rows)))
    columns = (torch.cat(column).cpu() for column in zip(*found, strict=True))
    return _HalfUpdate(
        rows,
        dict(zip(PER_PARTICLE, columns, strict=True)),
        noise,
        updated_envelope(
            envelope,
            sums,
            sigma2=noise,
            last_ring=min(_supported_ring(state.fsc_corrected), band.r_max_px),
            box_angstrom=particles.box_size_px * particles.pixel_size_angstrom,
            particles=torch.bincount(micrograph_numbers(particles)[rows], minlength=len(envelope)).to(device),
        ),
    )


def searched_particles(state: RefinementState) -> Tensor:
    """Which particles the next iteration searches all orientations for, bool [n].

    In the "global" phase all. Later those that may sit in a wrong basin: their best pose is not sure, or explains
    the image much worse than the model's power lets expect, compared with the other particles (robust z-score).

    With the gain g and its expectation P, ``z = (g - P) / sqrt(2 P)`` is a standard normal number for a right model. A
    particle is lost where z lies more than 3 robust deviations (1.4826 times the median absolute deviation) below the
    median of all, or where its best pose holds less than 90 % of the probability. The comparison is with the others
    and not with 0, because the reference is never quite right and all gains are lower than they should be.
    """
    n = len(state.rotation)
    if state.phase == "global":
        return torch.ones(n, dtype=torch.bool)
    if state.phase == "final":
        return torch.zeros(n, dtype=torch.bool)
    expected = state.log_gain_expected.clamp(min=1e-6)
    score = (state.log_gain - expected) / (2 * expected).sqrt()
    middle = score.median()
    spread = _GAUSS_FROM_MAD * (score - middle).abs().median()
    return (score < middle - _LOST_SIGMAS * spread) | (state.best_probability < _SURE)


def _supported_ring(curve: Tensor) -> int:
    """Last shell before the FSC first falls below 0.5: what the half map shows there is mostly signal."""
    return shell_above(curve, _SUPPORT_FSC)


def _wide_search(
    reference: VolumeTransform,
    band: PixelList,
    state: RefinementState,
    parameters: RefinementParameters,
    half: int,
    particles: ParticleSet,
) -> GlobalSearch:
    """The global search of a half in this iteration, with a turn of the grid of its own.

    Particles may lie anywhere in the shift range in the first iteration; afterwards, near where they were found.
    """
    pixel = particles.pixel_size_angstrom
    radius_px = parameters.mask_diameter_angstrom / 2 / pixel
    box = particles.box_size_px
    n_operators = len(parameters.operators)
    order = search_order(box, radius_px, band.r_max_px, n_operators, parameters.max_orientations)
    seed = parameters.seed * 1_000_003 + 2 * state.iteration + half
    return prepare_search(
        reference,
        band,
        order,
        operators=parameters.operators,
        radius_px=radius_px,
        shift_range_px=parameters.shift_range_angstrom / pixel if state.iteration == 0 else 0.0,
        generator=torch.Generator().manual_seed(seed),
    )


def _next_phase(phase: Phase, history: tuple[int, ...], max_iterations: int) -> Phase:
    """Global until one iteration brings nothing, local until two do, then one final iteration."""
    if phase == "final":
        return "done"
    if len(history) >= max_iterations:
        return "final"
    if phase == "global":
        return "local" if len(history) >= 3 and history[-1] <= max(history[:-1]) else "global"
    earlier = history[:-_STALLS]
    return "final" if max(history[-_STALLS:]) <= max(earlier) else "local"
