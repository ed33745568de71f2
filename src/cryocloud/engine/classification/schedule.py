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
    them; the temperature falls from 4 to 1 during the first two thirds while the band limit rises.
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
    first = min(n, max(20 * parameters.n_classes, math.ceil(0.02 * n)))
    last = max(first, n // 2)
    growth = math.log(last / first) / max(1, parameters.updates - 1)
    return round(first * math.exp(growth * update))


def _walk(start: int, size: int, n: int, seed: int) -> Tensor:
    """``size`` entries from position ``start`` of an endless row of random orders of n particles."""
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
    """In-plane angles whose step moves the mask's rim by at most 0.8 periods of the finest ring."""
    return max(_ANGLES_MIN, 2 * math.ceil(math.pi * mask_radius_px * r_max_px / (0.8 * box_size_px)))


def shift_step_px(r_max_px: int, box_size_px: int) -> float:
    """0.6 periods of the finest ring, at least one pixel."""
    return max(1.0, 0.6 * box_size_px / r_max_px)
