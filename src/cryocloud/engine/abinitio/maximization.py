"""Maps from the sums of two halves of the particles.

A map is ``S_num / (S_den + 1 / tau^2)`` with ``S_num = sum p C X / sigma2`` and ``S_den = sum p C^2 / sigma2``, p the
probability of a sample. The prior variance tau^2 comes from the FSC of the halves' own maps.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cryocloud.engine.abinitio.observations import Observations
from cryocloud.engine.abinitio.records import Sums
from cryocloud.engine.fourier import fsc
from cryocloud.engine.reconstruction import Accumulator, solve

_FSC_RANGE = (0.02, 0.999)
_LARGEST_PRECISION = 1e30


def empty_sums(observations: Observations, n_classes: int) -> Sums:
    """Sums of nothing for k classes and two halves, on the padded half grid of the whole band."""
    one = new_accumulator(observations)
    shape = (n_classes, 2, *one.numerator.shape)
    device = one.numerator.device
    return Sums(
        torch.zeros(shape, dtype=torch.complex64, device=device),
        torch.zeros(shape, dtype=torch.float32, device=device),
    )


def new_accumulator(observations: Observations) -> Accumulator:
    """Sums of nothing for one class and half."""
    device = observations.pixels.kx.device
    return Accumulator(observations.box_size_px, observations.pixels.r_max_px, device=device)


def accumulator_of(sums: Sums, class_index: int, half: int, observations: Observations) -> Accumulator:
    """A copy of one class' and half's sums that takes more slices; the sums themselves stay as they are."""
    result = new_accumulator(observations)
    result.numerator += sums.numerator[class_index, half]
    result.weight += sums.weight[class_index, half]
    return result


def half_map(
    accumulator: Accumulator, observations: Observations, r_max_px: int, operators: Tensor | None
) -> Tensor:
    """Unregularized map float32 [d, d, d] of one half inside the mask, with rings up to ``r_max_px``."""
    return solve(accumulator, operators=operators, r_max_px=r_max_px) * observations.mask


def regularized_map(
    halves: tuple[Accumulator, Accumulator],
    half_maps: Tensor,
    observations: Observations,
    r_max_px: int,
    operators: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Map of both halves with the signal-to-noise ratio that their agreement shows, and the FSC [r].

    The halves share the map they were aligned to, so the ratio is an upper bound. It beats the map's own power as
    a prior where posteriors are broad: those average noise away, and power less the nominal noise would then be
    negative although there is signal.

    ``SSNR = 2 FSC / (1 - FSC)`` is that of both halves together, ``1 / tau^2 = <S_den> / SSNR`` with the mean over a
    ring. The FSC is held between 0.02 and 0.999: a ring is damped, never lost, so that it can come back.

    Parameters
    ----------
    halves
        Sums of both halves of the particles.
    half_maps
        Their maps float32 [2, d, d, d] from :func:`half_map`.
    r_max_px
        Finest ring of the map; finer ones are zero.
    operators
        Point group to sum over; none for maps without symmetry.
    """
    curve = fsc(half_maps[0], half_maps[1])[: observations.pixels.r_max_px + 1]
    bounded = curve[: r_max_px + 1].clamp(*_FSC_RANGE)
    ratio = 2 * bounded / (1 - bounded)
    both = new_accumulator(observations)
    for half in halves:
        both.add_(half)
    full = both.symmetrized(_identity(operators))
    precision = torch.full((observations.pixels.r_max_px + 1,), _LARGEST_PRECISION, dtype=torch.float64)
    precision = precision.to(curve.device)
    precision[: r_max_px + 1] = full.ring_weight()[: r_max_px + 1] / ratio
    precision[0] = precision[1]
    volume = solve(full, inverse_tau2=precision, r_max_px=r_max_px) * observations.mask
    return volume, curve


def _identity(operators: Tensor | None) -> Tensor:
    return torch.eye(3, dtype=torch.float64)[None] if operators is None else operators
