"""Refinement of the best start: passes over all particles, with the symmetry imposed.

The search leaves a map without symmetry in a frame of its own. It is turned onto the axes of the point group, and each
pass then makes a map from nothing but one look at the particles: nothing of older sums is kept.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from cryocloud.engine.abinitio.comparison import with_random_phases
from cryocloud.engine.abinitio.expectation import explain, prepare_references
from cryocloud.engine.abinitio.maximization import half_map, new_accumulator, regularized_map
from cryocloud.engine.abinitio.observations import Observations
from cryocloud.engine.abinitio.records import AbInitioParameters, Solution
from cryocloud.engine.abinitio.schedule import generator, pass_step
from cryocloud.engine.abinitio.search import with_batch
from cryocloud.engine.abinitio.symmetry import find_symmetry_axes, symmetrized_volume
from cryocloud.engine.alignment.volumes import VolumeAlignment, apply_alignment, poses_in_fixed_frame
from cryocloud.engine.reconstruction import Accumulator

_PARTICLES_A_HALF = 10_000
_NOISE_RATE = 0.5
_PASS = 1_000_000


def on_symmetry_axes(
    solution: Solution, observations: Observations, parameters: AbInitioParameters, resolution_angstrom: float
) -> tuple[Solution, tuple[float, ...], tuple[float, ...]]:
    """Each class map turned onto the axes of the point group and symmetrized, with how well the group fits.

    Returns
    -------
    solution
        Maps, half maps and poses in the frame of the group's axes; unchanged for C1.
    explained, by_chance
        A number a class, see :class:`SymmetryFit`: of the map, and of one with the same power and random phases, whose
        best frame fits by chance. Nothing for C1.
    """
    if len(parameters.operators) == 1:
        return solution, (), ()
    find = partial(
        find_symmetry_axes,
        operators=parameters.operators,
        pixel_size_angstrom=observations.pixel_size_angstrom,
        diameter_angstrom=parameters.mask_diameter_angstrom,
        resolution_angstrom=resolution_angstrom,
    )
    explained, by_chance = [], []
    for index, volume in enumerate(solution.volumes):
        random = generator(parameters.seed, index, 11)
        fit = find(volume, generator=random)
        scrambled = with_random_phases(volume, random) * observations.mask
        by_chance.append(find(scrambled, generator=random).explained)
        solution = moved(solution, index, fit.alignment, parameters.operators)
        explained.append(fit.explained)
    return solution, tuple(explained), tuple(by_chance)


def moved(
    solution: Solution, index: int, alignment: VolumeAlignment, operators: Tensor | None = None
) -> Solution:
    """One class' maps and the poses of its particles after a rigid motion; maps are symmetrized if asked for.

    Poses follow the map, ``M -> R M`` with the shift moved by the projected translation, so that the map and the
    particles of the class still match. Particles of other classes stay.
    """
    volumes, half_volumes = solution.volumes.clone(), solution.half_volumes.clone()
    for target in (volumes[index : index + 1], half_volumes[index]):
        for volume in target:
            turned = apply_alignment(volume, alignment)
            volume.copy_(turned if operators is None else symmetrized_volume(turned, operators))
    mine = solution.class_index == index
    rotation, shift_px = solution.rotation.clone(), solution.shift_px.clone()
    rotation[mine], shift_px[mine] = poses_in_fixed_frame(alignment, rotation[mine], shift_px[mine])
    return replace(solution, volumes=volumes, half_volumes=half_volumes, rotation=rotation, shift_px=shift_px)


def refinement_pass(
    solution: Solution, observations: Observations, parameters: AbInitioParameters, index: int
) -> Solution:
    """Align the particles to the symmetric maps and renew these; the last pass takes every particle.

    Particles held out until then join the two halves in the last pass.

    Parameters
    ----------
    solution
        Maps on the axes of the group, poses and noise.
    index
        Number of the pass, from 0: it sets the band and the grid. Passes before the last one take 10,000 particles a
        half at most, drawn at random.

    Returns
    -------
    Solution
        With new maps, and new poses of the particles that were taken; each half of the
        particles renews half of the noise.
    """
    step = pass_step(index, observations, parameters)
    last = index == parameters.n_passes - 1
    random = generator(parameters.seed, index, _PASS)
    operators = parameters.operators if len(parameters.operators) > 1 else None
    references = prepare_references(
        solution.volumes, solution.class_weight, step, observations, operators, random
    )
    held_out = observations.rows(-1)
    accumulators = [[new_accumulator(observations) for _ in solution.volumes] for _ in (0, 1)]
    updated = solution
    for half in (0, 1):
        rows = observations.rows(half)
        rows = torch.cat([rows, held_out[half::2]]) if last else _sample(rows, random)
        batch = explain(
            rows,
            references,
            observations,
            sigma2=solution.sigma2,
            shift_px=solution.shift_px,
            step=step,
            accumulators=accumulators[half],
        )
        updated = with_batch(updated, batch, observations, parameters, noise_rate=_NOISE_RATE, class_rate=1.0)
    return _with_maps(updated, accumulators, observations, step.r_max_px, operators)


def _sample(rows: Tensor, random: torch.Generator) -> Tensor:
    if len(rows) <= _PARTICLES_A_HALF:
        return rows
    return rows[torch.randperm(len(rows), generator=random)[:_PARTICLES_A_HALF]]


def _with_maps(
    solution: Solution,
    accumulators: list[list[Accumulator]],
    observations: Observations,
    r_max_px: int,
    operators: Tensor | None,
) -> Solution:
    volumes, half_volumes, agreement = [], [], []
    for pair in zip(*accumulators, strict=True):
        halves = torch.stack([half_map(a, observations, r_max_px, operators) for a in pair])
        volume, curve = regularized_map(pair, halves, observations, r_max_px, operators)
        volumes.append(volume)
        half_volumes.append(halves)
        agreement.append(curve.cpu())
    return replace(
        solution,
        volumes=torch.stack(volumes),
        half_volumes=torch.stack(half_volumes),
        agreement=torch.stack(agreement),
    )
