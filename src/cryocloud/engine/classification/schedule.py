"""How a classification proceeds: batches, temperature, memory and sampling of each update."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from cryocloud.engine.classification.records import ClassificationParameters

_ANGLES_MIN = 24


@dataclass(frozen=True)
class UpdatePlan:
    """One update: the rows it reads, the inverse temperature of its likelihood, how much of the former sums
    it keeps.

    ``rows`` int64 are distinct and sorted, ``memory`` runs from 0 to 1, ``r_limit_px`` is the finest ring that the
    schedule allows, and ``full`` marks a pass over all particles.
    """

    rows: Tensor
    inverse_temperature: float
    memory: float
    r_limit_px: int
    full: bool


def plan_update(
    update: int, n: int, parameters: ClassificationParameters, r_range_px: tuple[int, int]
) -> UpdatePlan:
    """The plan of update number ``update`` (from 0); a pure function, so that a resumed run goes the same
    way.

    Batches grow from max(20 a class, 2 %) to half of the particles and walk through random orders of all of
    them; the temperature falls from 4 to 1 during the first 60 % while the band limit rises.

    With f the fraction of the mini-batches that is done: ``beta = min(1, 4^(f / 0.6) / 4)``, the memory is 0.9 (1 -
    f), and the band limit rises as ``low (high / low)^(f / 0.8)``, to the end of the range at f = 0.8.

    Parameters
    ----------
    update
        From ``parameters.updates`` on, a full pass.
    n
        Number of particles.
    parameters
        Number of updates and classes, and the seed of the orders.
    r_range_px
        First and last band limit, as Fourier rings.
    """
    if update >= parameters.updates:
        return UpdatePlan(torch.arange(n), 1.0, 0.0, r_range_px[1], full=True)
    part = update / max(1, parameters.updates - 1)
    sizes = [_batch_size(u, n, parameters) for u in range(update + 1)]
    rows = _walk(sum(sizes[:-1]), sizes[-1], n, parameters.seed)
    low, high = r_range_px
    return UpdatePlan(
        rows,
        inverse_temperature=min(1.0, 0.25 * 4 ** (part / 0.6)),
        memory=0.9 * (1 - part) if update else 0.0,
        r_limit_px=round(low * (high / low) ** min(1.0, part / 0.8)),
        full=False,
    )


def _batch_size(update: int, n: int, parameters: ClassificationParameters) -> int:
    """Images of a mini-batch; sizes grow by the same factor from one to the next."""
    first = min(n, max(20 * parameters.n_classes, math.ceil(0.02 * n)))
    last = max(first, n // 2)
    growth = math.log(last / first) / max(1, parameters.updates - 1)
    return round(first * math.exp(growth * update))


def _walk(start: int, size: int, n: int, seed: int) -> Tensor:
    """``size`` entries from position ``start`` of an endless row of random orders of n particles.

    Where two orders meet a particle may come twice; it is taken once, so that a batch may be a little smaller.
    """
    parts = []
    while size > 0:
        generator = torch.Generator().manual_seed(seed * 1_000_003 + start // n)
        order = torch.randperm(n, generator=generator)
        part = order[start % n : start % n + size]
        parts.append(part)
        start, size = start + len(part), size - len(part)
    distinct: Tensor = torch.unique(torch.cat(parts))
    return distinct


def angle_count(r_max_px: int, mask_radius_px: float, box_size_px: int) -> int:
    """In-plane angles whose step moves the mask's rim by at most 0.8 periods of the finest ring.

    A period of ring r is D / r pixels, so that a full turn needs ``2 pi R r / (0.8 D)`` angles for a rim at R. Always
    even, and 24 at least.
    """
    return max(_ANGLES_MIN, 2 * math.ceil(math.pi * mask_radius_px * r_max_px / (0.8 * box_size_px)))


def shift_step_px(r_max_px: int, box_size_px: int) -> float:
    """Step of the shift grid: 0.6 periods D / r of the finest ring, at least one pixel."""
    return max(1.0, 0.6 * box_size_px / r_max_px)
