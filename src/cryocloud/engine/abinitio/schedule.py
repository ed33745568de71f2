"""How band, grid, batch, temperature and memory change on the way.

Everything starts coarse and loose. A narrow band has few optima and needs few angles; a tempered likelihood keeps
posteriors broad, so that early chance is not taken for certain; a short memory lets what the first batches built fade.
A step follows from its number alone, so that an interrupted run goes on the same way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cryocloud.engine.abinitio.observations import Observations
from cryocloud.engine.abinitio.records import AbInitioParameters
from cryocloud.engine.geometry import shift_grid

_SEARCH_MAX_ORDER = 2
# Finest detail of a search, as a part of the particle's diameter.
_SEARCH_DETAILS = 11.0
_FIRST_INVERSE_TEMPERATURE = 0.25
_ANNEALED_AT = 0.6
# Fractions of a search between which the band widens.
_BAND_GROWS = (0.1, 0.8)
# A half is renewed every other update: 0.81 and 0.64 are 0.9 and 0.8 an update.
_MEMORY, _LAST_MEMORY = 0.81, 0.64
_NON_NEGATIVE_UNTIL = 0.5
_DETAILS_OF_FIRST_ORDER = 2.25
_SHIFT_STEPS = 2
_SHIFT_STEP_PER_DETAIL = 0.25
_LOCATING_ANGSTROM = 30.0
_SEARCH_SAMPLES, _PASS_SAMPLES = 300, 500


@dataclass(frozen=True)
class Step:
    """One update: rings up to ``r_max_px``, grid of ``order``, ``shifts`` [s, 2] about each particle's last one.

    Sums are multiplied by ``memory`` before new ones are added; ``inverse_temperature`` scales the likelihood.

    ``order`` is that of a HEALPix rotation grid: 29 degrees at 1, half of that each order more. ``shifts_px`` are in
    working pixels, ``batch`` counts particles, ``max_samples`` bounds the poses an image is inserted at, and
    ``non_negative`` asks for maps whose negative density is cut.
    """

    r_max_px: int
    order: int
    shifts_px: Tensor
    batch: int
    inverse_temperature: float
    memory: float
    non_negative: bool
    max_samples: int


def search_step(update: int, observations: Observations, parameters: AbInitioParameters) -> Step:
    """Update number ``update`` of a start.

    The band grows while the likelihood is annealed from a quarter of its weight to all of it. Fine detail needs
    fine angles: the search ends where 15 degrees no longer resolve the rim of the particle.

    With f the fraction of the start that is done: the inverse temperature is ``(1/4)^(1 - f / 0.6)``, 1 from f = 0.6
    on; the ring grows linearly between f = 0.1 and 0.8, to ``last_resolution_angstrom`` or to an eleventh of the
    diameter, whichever is coarser; batches grow linearly; density is nearly non-negative while f < 0.5.
    """
    fraction = update / max(1, parameters.n_updates - 1)
    last_angstrom = max(
        parameters.last_resolution_angstrom, parameters.mask_diameter_angstrom / _SEARCH_DETAILS
    )
    first, last = observations.ring(parameters.first_resolution_angstrom), observations.ring(last_angstrom)
    begin, end = _BAND_GROWS
    grown = min(1.0, max(0.0, (fraction - begin) / (end - begin)))
    r_max_px = round(first + (last - first) * grown)
    annealed = min(1.0, fraction / _ANNEALED_AT)
    batch = parameters.first_batch + (parameters.last_batch - parameters.first_batch) * fraction
    return Step(
        r_max_px=r_max_px,
        order=min(_SEARCH_MAX_ORDER, _order(r_max_px, 1, observations, parameters)),
        shifts_px=_shifts(r_max_px, observations),
        batch=round(batch) * parameters.n_classes,
        inverse_temperature=_FIRST_INVERSE_TEMPERATURE ** (1 - annealed),
        memory=_MEMORY if fraction < end else _LAST_MEMORY,
        non_negative=fraction < _NON_NEGATIVE_UNTIL,
        max_samples=_SEARCH_SAMPLES,
    )


def pass_step(index: int, observations: Observations, parameters: AbInitioParameters) -> Step:
    """Pass number ``index`` over the particles: from the band of the search to the whole band.

    The band is whole from the pass before the last on, so that the last one only adds particles. The likelihood has
    its full weight, and nothing is kept of former sums.
    """
    begin = search_step(parameters.n_updates, observations, parameters).r_max_px
    end = observations.pixels.r_max_px
    fraction = min(1.0, (index + 1) / max(1, parameters.n_passes - 1))
    r_max_px = round(begin + (end - begin) * fraction)
    return Step(
        r_max_px=r_max_px,
        order=_order(r_max_px, len(parameters.operators), observations, parameters),
        shifts_px=_shifts(r_max_px, observations),
        batch=len(observations),
        inverse_temperature=1.0,
        memory=0.0,
        non_negative=False,
        max_samples=_PASS_SAMPLES,
    )


def locating_step(observations: Observations, parameters: AbInitioParameters) -> Step:
    """Coarse look at particles of unknown shift: rings up to 30 Angstrom, shifts of 15 Angstrom in all directions."""
    r_max_px = observations.ring(_LOCATING_ANGSTROM)
    step = search_step(parameters.n_updates, observations, parameters)
    shifts_px = _shifts(r_max_px, observations)
    order = min(step.order, _order(r_max_px, 1, observations, parameters))
    return replace(step, r_max_px=r_max_px, order=order, shifts_px=shifts_px, inverse_temperature=1.0)


def _order(
    r_max_px: int, n_operators: int, observations: Observations, parameters: AbInitioParameters
) -> int:
    """Halve the angle each time the detail at the rim halves; stay below the largest grid that was asked for."""
    resolution_angstrom = observations.box_size_px * observations.pixel_size_angstrom / r_max_px
    details = parameters.mask_diameter_angstrom / resolution_angstrom
    order = max(1, 1 + math.floor(math.log2(details / _DETAILS_OF_FIRST_ORDER)))
    while order > 1 and 72 * 8**order * parameters.n_classes / n_operators > parameters.max_orientations:
        order -= 1
    return order


def _shifts(r_max_px: int, observations: Observations) -> Tensor:
    """Thirteen shifts [s, 2] in a disc of two steps; a step is a quarter of the finest detail, in working pixels."""
    step_px = _SHIFT_STEP_PER_DETAIL * observations.box_size_px / r_max_px
    return shift_grid(_SHIFT_STEPS * step_px, step_px).to(observations.pixels.kx.device)


def generator(seed: int, *numbers: int) -> torch.Generator:
    """Random numbers of one step: the same for a resumed run."""
    mixed = seed
    for number in numbers:
        mixed = (mixed * 1_000_003 + number + 1) % (1 << 62)
    return torch.Generator().manual_seed(mixed)
