"""Maps from nothing but particles: several starts, their comparison, and the refinement of the best.

The likelihood of a map given unlabelled projections has many optima, and a single search may end in a poor one. A
start is cheap, as it sees small batches in a narrow band; so two are made from different random maps, and more if
they disagree. Starts that end in one map are the first sign that it is right.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from cryocloud.engine.abinitio.comparison import compare_starts, evidence_gain
from cryocloud.engine.abinitio.observations import Observations
from cryocloud.engine.abinitio.passes import moved, on_symmetry_axes, refinement_pass
from cryocloud.engine.abinitio.records import AbInitioParameters, AbInitioState, Solution
from cryocloud.engine.abinitio.schedule import pass_step, search_step
from cryocloud.engine.abinitio.search import first_guess, search_update
from cryocloud.engine.alignment.volumes import VolumeAlignment

_DENSE_FRACTION = 0.2
_FEWEST_STARTS = 2


def start_ab_initio(observations: Observations, parameters: AbInitioParameters) -> AbInitioState:
    """The state before the first update of the first start."""
    sums, solution = first_guess(observations, parameters, 0)
    return AbInitioState(phase="search", start=0, step=0, sums=sums, solution=solution)


def reconstruct(
    observations: Observations, state: AbInitioState, parameters: AbInitioParameters
) -> Iterator[AbInitioState]:
    """Search from random starts until two agree, impose the symmetry on the best and refine it.

    Yields the state after each mini-batch or pass. A step depends on nothing but the state before it, so a stored
    state continues as if never interrupted.

    Parameters
    ----------
    observations
        From :func:`load_observations`, with the same ``parameters``.
    state
        From :func:`start_ab_initio`, or any that was yielded before.
    parameters
        Stay the same for all steps of a run.

    Yields
    ------
    AbInitioState
        The last one is in the phase "done"; its ``solution`` holds the maps and poses.

    Notes
    -----
    The search runs without symmetry although imposing it would make each update cheaper: point groups pin a
    random map to wrong arrangements of its axes that it cannot leave (octahedral and D7 objects ended there in
    every start that was tried, and in none without).
    """
    while state.phase != "done":
        if state.phase == "search" and state.step < parameters.n_updates:
            state = _search(observations, state, parameters)
        elif state.phase == "search":
            state = _finish_start(observations, state, parameters)
        elif state.step < parameters.n_passes:
            state = _refine(observations, state, parameters)
        else:
            state = replace(state, phase="done")
        yield state


def progress_fraction(state: AbInitioState, parameters: AbInitioParameters) -> float:
    """How far a state is, by the typical cost of its steps: from 0 to 1, and never falling."""
    if state.phase != "search":
        return (_FEWEST_STARTS + min(1.0, state.step / parameters.n_passes)) / (_FEWEST_STARTS + 1)
    # Further starts share what is left before the refinement.
    searched = state.start + state.step / parameters.n_updates
    if searched > _FEWEST_STARTS - 1:
        longest = parameters.max_starts - (_FEWEST_STARTS - 1)
        searched = _FEWEST_STARTS - 1 + (searched - (_FEWEST_STARTS - 1)) / longest
    return searched / (_FEWEST_STARTS + 1)


def _search(
    observations: Observations, state: AbInitioState, parameters: AbInitioParameters
) -> AbInitioState:
    sums, solution = search_update(
        state.sums, state.solution, observations, parameters, state.start, state.step
    )
    return replace(state, step=state.step + 1, sums=sums, solution=solution)


def _finish_start(
    observations: Observations, state: AbInitioState, parameters: AbInitioParameters
) -> AbInitioState:
    """Close a start: make the next one while none agrees with the best, else lay the best on the symmetry axes."""
    finished = (*state.finished, _centered(state.solution))
    following = state.start + 1
    comparison = None
    if following >= _FEWEST_STARTS:
        comparison = compare_starts(finished, observations, parameters, state.comparison)
    if following < parameters.max_starts and (
        comparison is None or comparison.agreement_of_best < parameters.sufficient_agreement
    ):
        sums, solution = first_guess(observations, parameters, following)
        return replace(
            state,
            start=following,
            step=0,
            sums=sums,
            solution=solution,
            finished=finished,
            comparison=comparison,
        )
    assert comparison is not None
    resolution_angstrom = _search_resolution(observations, parameters)
    chosen, explained, by_chance = on_symmetry_axes(
        finished[comparison.best], observations, parameters, resolution_angstrom
    )
    return replace(
        state,
        phase="refine",
        step=0,
        solution=chosen,
        finished=finished,
        comparison=comparison,
        symmetry_fit=explained,
        symmetry_fit_by_chance=by_chance,
    )


def _refine(
    observations: Observations, state: AbInitioState, parameters: AbInitioParameters
) -> AbInitioState:
    """One pass; before the last one takes the held-out particles, they judge the map for the last time."""
    gain = state.final_gain
    if state.step == parameters.n_passes - 1:
        step = pass_step(state.step - 1, observations, parameters)
        operators = parameters.operators if len(parameters.operators) > 1 else None
        gain = evidence_gain(state.solution, observations, parameters, step, operators)[1:]
    solution = refinement_pass(state.solution, observations, parameters, state.step)
    return replace(state, step=state.step + 1, solution=solution, final_gain=gain)


def _search_resolution(observations: Observations, parameters: AbInitioParameters) -> float:
    """Finest detail of the last update of a search, in Angstrom."""
    r_max_px = search_step(parameters.n_updates, observations, parameters).r_max_px
    return observations.box_size_px * observations.pixel_size_angstrom / r_max_px


def _centered(solution: Solution) -> Solution:
    """Each map with the center of its density in the center of the box.

    Nothing holds a map in the center while it is searched: all particles may drift together. Off center it would be
    cut by the mask, and the axes of a point group would not pass through the origin.
    """
    for index, volume in enumerate(solution.volumes):
        shift_px = -_center_of_density_px(volume)
        still = torch.eye(3, dtype=torch.float64)
        solution = moved(solution, index, VolumeAlignment(still, shift_px, False, 1.0))
    return solution


def _center_of_density_px(volume: Tensor) -> Tensor:
    """Center xyz, from D//2, of what exceeds a fifth of the maximum."""
    dense = (volume.to(torch.float64) - _DENSE_FRACTION * float(volume.max())).clamp(min=0)
    line = torch.arange(len(volume), dtype=torch.float64, device=volume.device) - len(volume) // 2
    moments = [(dense.sum(axes) * line).sum() for axes in ((0, 1), (0, 2), (1, 2))]
    return torch.stack(moments).cpu() / float(dense.sum())
