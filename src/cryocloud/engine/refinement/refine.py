"""The iterations of a gold-standard refinement."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cryocloud.engine.errors import InputError
from cryocloud.engine.fourier import (
    PixelList,
    fsc,
    irfftn,
    low_pass,
    make_pixel_list,
    rfftn,
    shell_index,
)
from cryocloud.engine.geometry import angular_distance_deg
from cryocloud.engine.masking import soft_circle, soft_sphere
from cryocloud.engine.noise import initial_noise_spectrum, noise_from_residuals
from cryocloud.engine.reconstruction import Accumulator, solve, volume_transform
from cryocloud.engine.records.particle_set import ParticleSet
from cryocloud.engine.refinement.amplitude import matched_amplitude
from cryocloud.engine.refinement.envelope import EnvelopeSums, updated_envelope
from cryocloud.engine.refinement.expectation import (
    accumulate,
    best_poses,
    compare_with_models,
    estimate_poses,
    micrograph_numbers,
    read_batches,
)
from cryocloud.engine.refinement.records import Phase, RefinementParameters, RefinementState
from cryocloud.engine.refinement.search import GlobalSearch, prepare_search, search_order

_MASK_EDGE_PX = 5.0
_FSC_THRESHOLD = 0.143
_SUPPORT_FSC = 0.5
_JOIN_HALVES_ANGSTROM = 40.0
_MARGIN_SHELLS = 5
_STALLS = 2

Progress = Callable[[int, float], None]
"""Told the number of the iteration, from 1, and how far it is (0..1)."""


def start_refinement(
    particles: ParticleSet, reference: Tensor, parameters: RefinementParameters
) -> RefinementState:
    """Split the particles, filter and scale the reference, and estimate the noise.

    Parameters
    ----------
    particles
        Half sets 1 and 2 are kept where every particle has one; else they are drawn from the seed.
    reference
        Density map float32 [D, D, D] in the particles' box and pixel size, on any gray scale.

    Raises
    ------
    InputError
        Fewer than 10 particles a half, or a reference of another box.
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
    circle = soft_circle(box, radius_px, _MASK_EDGE_PX, device)
    sigma2 = initial_noise_spectrum(particles, everything, generator, mask=circle)
    r_start = max(4, round(box * pixel / parameters.start_resolution_angstrom))
    sphere = soft_sphere(box, radius_px, _MASK_EDGE_PX, device)
    filtered = low_pass(reference.to(device), parameters.start_resolution_angstrom, pixel) * sphere
    amplitude = matched_amplitude(filtered, particles, sigma2, parameters, r_max_px=r_start)
    n = len(particles)
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
        fsc=torch.zeros(box // 2 + 1, dtype=torch.float64, device=device),
        fsc_in_sphere=torch.zeros(box // 2 + 1, dtype=torch.float64, device=device),
        sigma_shift_px=parameters.shift_range_angstrom / pixel / 2,
        pose_change_deg=torch.full((n,), 180.0, dtype=torch.float64),
        best_probability=torch.zeros(n, dtype=torch.float64),
        history=(),
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
    """
    while state.phase != "done":
        state = _iterate(particles, state, parameters, progress)
        yield state


def half_maps(state: RefinementState) -> tuple[Tensor, Tensor]:
    """The two unregularized, unmasked half maps [D, D, D]."""
    return state.half_maps[0], state.half_maps[1]


def combined_map(state: RefinementState) -> Tensor:
    """Mean of the half maps with the figure-of-merit weight sqrt(2 FSC / (1 + FSC)) a shell, nothing beyond 0.143.

    References
    ----------
    Rosenthal & Henderson 2003, J. Mol. Biol. 333:721.
    """
    mean = state.half_maps.mean(0)
    box = mean.shape[0]
    curve = state.fsc_in_sphere.clamp(0, 1).clone()
    curve[resolution_shell(state.fsc_in_sphere) + 1 :] = 0
    weight = torch.sqrt(2 * curve / (1 + curve)).to(torch.float32)
    shell = shell_index(box, 3, mean.device).clamp(max=box // 2)
    return irfftn(rfftn(mean) * weight[shell], box)


def resolution_shell(curve: Tensor) -> int:
    """Last shell before the FSC first falls below 0.143."""
    return _shell_above(curve, _FSC_THRESHOLD)


def _half_sets(particles: ParticleSet, generator: torch.Generator) -> Tensor:
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
    n_micrographs = int(micrograph_numbers(particles).max()) + 1
    return torch.tensor([1.0, 0.0], dtype=torch.float64).repeat(2, n_micrographs, 1)


def _iterate(
    particles: ParticleSet, state: RefinementState, parameters: RefinementParameters, progress: Progress
) -> RefinementState:
    box = particles.box_size_px
    r_insert = min(box // 2 - 1, math.ceil(1.25 * state.r_max_px) + 8)
    if state.phase == "final":
        r_insert = box // 2 - 1
    pixels = make_pixel_list(box, r_insert).to(parameters.device)
    rotation, shift_px = state.rotation.clone(), state.shift_px.clone()
    probability, sigma2 = state.best_probability.clone(), state.sigma2.clone()
    envelope = state.envelope.clone()
    accumulators = []
    for half in (0, 1):
        accumulator = Accumulator(box, r_insert, device=parameters.device)
        update = _process_half(particles, state, parameters, half, pixels, accumulator, progress)
        rotation[update.rows] = update.rotation
        shift_px[update.rows] = update.shift_px
        probability[update.rows] = update.probability
        sigma2[half, : r_insert + 1] = update.sigma2
        envelope[half] = update.envelope
        accumulators.append(accumulator)
    updated = replace(
        state,
        iteration=state.iteration + 1,
        rotation=rotation,
        shift_px=shift_px,
        sigma2=sigma2,
        envelope=envelope,
        sigma_shift_px=max(1.0, float((shift_px**2).mean().sqrt())),
        pose_change_deg=angular_distance_deg(rotation, state.rotation, parameters.operators),
        best_probability=probability,
    )
    return _maximize(updated, accumulators, parameters, particles.pixel_size_angstrom)


@dataclass(frozen=True)
class _HalfUpdate:
    rows: Tensor
    rotation: Tensor
    shift_px: Tensor
    probability: Tensor
    sigma2: Tensor
    envelope: Tensor


def _process_half(
    particles: ParticleSet,
    state: RefinementState,
    parameters: RefinementParameters,
    half: int,
    pixels: PixelList,
    accumulator: Accumulator,
    progress: Progress,
) -> _HalfUpdate:
    """Pose every particle of a half against its own reference and insert it into the half's accumulator."""
    device = parameters.device
    rows = (state.half_set == half + 1).nonzero()[:, 0]
    band = pixels.within(min(state.r_max_px, pixels.r_max_px))
    reference = volume_transform(state.references[half], r_max_px=band.r_max_px)
    sigma2 = state.sigma2[half, : pixels.r_max_px + 1]
    search = _search_of(state, parameters, half, band, particles) if state.phase == "global" else None
    settings = (state.sigma_shift_px, parameters.max_modes)
    power = torch.zeros(pixels.r_max_px + 1, dtype=torch.float64, device=device)
    envelope = state.envelope[half]
    sums = EnvelopeSums.zeros(len(envelope), pixels.r_max_px + 1, device)
    rotations, shifts, probabilities = [], [], []
    done = 0
    for batch in read_batches(particles, rows, pixels, envelope, parameters):
        current = (state.rotation[batch.rows].to(device), state.shift_px[batch.rows].to(device))
        poses = estimate_poses(
            batch,
            reference,
            search,
            current,
            sigma2=sigma2[: band.r_max_px + 1],
            pixels=band,
            settings=settings,
        )
        accumulate(accumulator, batch, poses, sigma2, pixels)
        power += compare_with_models(batch, poses, reference, pixels, sums)
        best_rotation, best_shift, probability = best_poses(poses)
        rotations.append(best_rotation)
        shifts.append(best_shift)
        probabilities.append(probability)
        done += len(batch.rows)
        progress(state.iteration + 1, (half + done / len(rows)) / 2)
    noise = noise_from_residuals(power, float(len(rows)))
    return _HalfUpdate(
        rows,
        torch.cat(rotations).cpu(),
        torch.cat(shifts).cpu(),
        torch.cat(probabilities).cpu(),
        noise,
        updated_envelope(
            envelope,
            sums,
            sigma2=noise,
            last_ring=min(_supported_ring(state.fsc_in_sphere), band.r_max_px),
            box_angstrom=particles.box_size_px * particles.pixel_size_angstrom,
            particles=torch.bincount(micrograph_numbers(particles)[rows], minlength=len(envelope)).to(device),
        ),
    )


def _supported_ring(curve: Tensor) -> int:
    """Last shell before the FSC first falls below 0.5: what the half map shows there is mostly signal."""
    return _shell_above(curve, _SUPPORT_FSC)


def _shell_above(curve: Tensor, threshold: float) -> int:
    below = (curve[1:] < threshold).nonzero()
    return int(below[0, 0]) if len(below) else len(curve) - 2


def _search_of(
    state: RefinementState,
    parameters: RefinementParameters,
    half: int,
    band: PixelList,
    particles: ParticleSet,
) -> GlobalSearch:
    pixel = particles.pixel_size_angstrom
    radius_px = parameters.mask_diameter_angstrom / 2 / pixel
    box = particles.box_size_px
    n_operators = len(parameters.operators)
    order = search_order(box, radius_px, band.r_max_px, n_operators, parameters.max_orientations)
    seed = parameters.seed * 1_000_003 + 2 * state.iteration + half
    return prepare_search(
        volume_transform(state.references[half], r_max_px=band.r_max_px),
        band,
        order,
        operators=parameters.operators,
        radius_px=radius_px,
        shift_range_px=parameters.shift_range_angstrom / pixel if state.iteration == 0 else 0.0,
        generator=torch.Generator().manual_seed(seed),
    )


def _maximize(
    state: RefinementState,
    accumulators: list[Accumulator],
    parameters: RefinementParameters,
    pixel_size_angstrom: float,
) -> RefinementState:
    """New half maps, their FSC, the regularized references, and what the next iteration shall do.

    Signal and noise are weighed by the FSC inside the mask's sphere: outside it there is only noise, which says
    nothing about the particle. The sphere is soft, wide and fixed, so it cannot correlate the halves' noise.
    """
    full = [a.symmetrized(parameters.operators) for a in accumulators]
    maps = torch.stack([solve(a) for a in full])
    box = maps.shape[-1]
    radius_px = parameters.mask_diameter_angstrom / 2 / pixel_size_angstrom
    sphere = soft_sphere(box, radius_px, _MASK_EDGE_PX, maps.device)
    curve = fsc(maps[0] * sphere, maps[1] * sphere)
    # Nothing was inserted beyond; there the sphere only smears what lies before.
    curve[full[0].r_max_px :] = 0
    shell = resolution_shell(curve)
    history = (*state.history, shell)
    phase = _next_phase(state.phase, history, parameters.max_iterations)
    r_next = min(box // 2 - 1, shell + max(_MARGIN_SHELLS, math.ceil(0.1 * shell)))
    ssnr = (curve / (1 - curve).clamp(min=1e-3)).clamp(min=1e-4)
    weights = torch.stack([a.ring_weight() for a in full])
    references = torch.stack(
        [
            solve(a, inverse_tau2=w / ssnr[: len(w)], r_max_px=min(r_next, a.r_max_px))
            for a, w in zip(full, weights, strict=True)
        ]
    )
    r_join = int(box * pixel_size_angstrom / _JOIN_HALVES_ANGSTROM)
    return replace(
        state,
        phase=phase,
        r_max_px=r_next,
        references=_joined_below(references, r_join) * sphere,
        half_maps=maps,
        ring_weight=weights,
        fsc=fsc(maps[0], maps[1]),
        fsc_in_sphere=curve,
        history=history,
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


def _joined_below(volumes: Tensor, r_join: int) -> Tensor:
    """Both volumes with their common mean in the shells up to ``r_join``, which keeps hand and frame the same."""
    transforms = rfftn(volumes)
    shell = shell_index(volumes.shape[-1], 3, volumes.device)
    transforms = torch.where(shell <= r_join, transforms.mean(0, keepdim=True), transforms)
    return irfftn(transforms, volumes.shape[-1])
