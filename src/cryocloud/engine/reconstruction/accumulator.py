"""Sufficient statistics of a reconstruction and the volume that solves them.

Two sums over all images say all that the map needs: the back-projected data and their weights. They add up over
batches, machines and halves, may fade, and are solved as often as wanted.
"""

from __future__ import annotations

import numba
import torch
from jaxtyping import Complex64, Float, Float32, Float64
from torch import Tensor

from cryocloud.engine.fourier import PixelList, irfftn, shell_average
from cryocloud.engine.native.insertion import insert_trilinear, symmetrize_trilinear
from cryocloud.engine.reconstruction.density_compensation import compensated_weights
from cryocloud.engine.reconstruction.grid import (
    grid_reach,
    gridding_correction,
    transform_from_grid,
    trilinear_corners,
)

_WEIGHT_FLOOR = 1e-3
_CUDA_SLICES_AT_ONCE = 1024


class Accumulator:
    """Sums of C X / sigma^2 (``numerator``) and C^2 / sigma^2 (``weight``) over inserted slices.

    Attributes
    ----------
    numerator, weight
        complex64 and float32 on a padded half grid [2R+1, 2R+1, R+1] with the zero frequency at [R, R, 0]; their
        quotient has the scale rfftn(volume) / D.
    box_size_px, r_max_px
        D of the volume; highest ring that may be inserted, at most D/2 - 1.
    padding
        Grid points to one frequency of the images.
    friedel_complete
        True after :meth:`symmetrized`: the plane x = 0 holds both members of each pair, and no slices may follow.
    """

    def __init__(
        self, box_size_px: int, r_max_px: int, *, padding: int = 2, device: torch.device | str = "cpu"
    ) -> None:
        reach = grid_reach(min(r_max_px, box_size_px // 2 - 1), padding)
        shape = (2 * reach + 1, 2 * reach + 1, reach + 1)
        self.box_size_px = box_size_px
        self.r_max_px = min(r_max_px, box_size_px // 2 - 1)
        self.padding = padding
        self.friedel_complete = False
        self.numerator = torch.zeros(shape, dtype=torch.complex64, device=device)
        self.weight = torch.zeros(shape, dtype=torch.float32, device=device)

    def insert(
        self,
        data: Complex64[Tensor, "b n"],
        weight: Float32[Tensor, "b n"],
        rotation: Float[Tensor, "b 3 3"],
        pixels: PixelList,
    ) -> None:
        """Add b slices: data C X / sigma^2 (shift undone) and weights C^2 / sigma^2 at poses M.

        Each pixel is spread over the 8 grid points around padding * M [kx, ky, 0]. Images should be whole: a mask
        would cut off what the CTF has delocalized.

        Parameters
        ----------
        data, weight
            Over the n pixels, multiplied by the image's posterior probability where it is inserted at several
            poses.
        rotation
            M, from map to image, on xyz columns.
        pixels
            Of a box of the same D, rings up to ``r_max_px``.
        """
        assert not self.friedel_complete
        rotation = rotation.to(torch.float32).contiguous()
        if self.numerator.is_cuda:
            self._insert_by_scatter(data, weight, rotation, pixels)
            return
        sources = (data.resolve_conj().contiguous(), weight.contiguous(), rotation)
        arrays = (self.numerator, self.weight, *sources)
        insert_trilinear(
            *(a.numpy() for a in arrays),
            pixels.kx.numpy(),
            pixels.ky.numpy(),
            float(self.padding),
            numba.get_num_threads(),
        )

    def scale_(self, factor: float) -> None:
        """Multiply both sums, to let old statistics fade; their quotient stays."""
        self.numerator *= factor
        self.weight *= factor

    def add_(self, other: Accumulator) -> None:
        """Add another accumulator of the same geometry."""
        self.numerator += other.numerator
        self.weight += other.weight

    def symmetrized(self, operators: Float64[Tensor, "g 3 3"]) -> Accumulator:
        """A copy summed over the operators of a point group, with the plane x = 0 completed; takes no more slices.

        ``operators`` hold the identity. Weights grow g-fold, as if each image had been seen in g poses. With the
        identity alone, and a plane that is already complete, the result shares its tensors with the original.
        """
        result = Accumulator(
            self.box_size_px, self.r_max_px, padding=self.padding, device=self.numerator.device
        )
        result.friedel_complete = True
        numerator, weight = self._friedel_completed()
        if len(operators) == 1:
            result.numerator, result.weight = numerator, weight
            return result
        operators = operators.to(numerator.device, torch.float32)
        limit = float(self.padding * self.r_max_px + self.padding // 2)
        if numerator.is_cuda:
            result._gather_symmetric(numerator, weight, operators, limit)
            return result
        sources = (numerator.numpy(), weight.numpy(), operators.numpy())
        symmetrize_trilinear(*sources, limit, result.numerator.numpy(), result.weight.numpy())
        return result

    def ring_weight(self) -> Float64[Tensor, " r"]:
        """Mean accumulated weight in each image ring 0 .. r_max: the inverse noise variance of the map.

        A Fourier coefficient of the unregularized map has an error of variance 1 / weight. With the FSC between
        half maps this gives the prior's variance, tau^2 = SSNR / ring_weight (Scheres 2012, J. Struct. Biol.
        180:519).
        """
        _, weight = self._friedel_completed()
        return shell_average(weight, self.shell(), self.r_max_px + 1)

    def shell(self) -> Tensor:
        """Image ring round(|k| / padding) of each grid point."""
        reach = self.weight.shape[2] - 1
        line = torch.arange(-reach, reach + 1, device=self.weight.device, dtype=torch.float32)
        squared = line[:, None, None] ** 2 + line[None, :, None] ** 2 + line[None, None, reach:] ** 2
        return (squared.sqrt() / self.padding).round().long()

    def _gather_symmetric(self, numerator: Tensor, weight: Tensor, operators: Tensor, limit: float) -> None:
        """Add what the operators make of other sums, with torch alone."""
        grid, inside = self._positions(limit)
        for operator in operators:
            flat, corner_weight, mirrored = trilinear_corners(grid @ operator.T, weight.shape[2] - 1)
            value = (numerator.view(-1)[flat] * corner_weight).sum(-1)
            self.numerator[inside] += torch.where(mirrored, value.conj(), value)
            self.weight[inside] += (weight.view(-1)[flat] * corner_weight).sum(-1)

    def _positions(self, limit: float) -> tuple[Tensor, Tensor]:
        """Positions xyz [p, 3] of the grid points within ``limit`` of the origin, and the mask that selects them."""
        reach = self.weight.shape[2] - 1
        line = torch.arange(-reach, reach + 1, device=self.weight.device, dtype=torch.float32)
        z, y, x = torch.meshgrid(line, line, line[reach:], indexing="ij")
        inside = z**2 + y**2 + x**2 <= limit**2
        return torch.stack([x[inside], y[inside], z[inside]], 1), inside

    def _friedel_completed(self) -> tuple[Tensor, Tensor]:
        """Copies in which the plane x = 0 holds both members of each Friedel pair."""
        if self.friedel_complete:
            return self.numerator, self.weight
        numerator, weight = self.numerator.clone(), self.weight.clone()
        numerator[:, :, 0] += self.numerator[:, :, 0].flip(0, 1).conj()
        weight[:, :, 0] += self.weight[:, :, 0].flip(0, 1)
        return numerator, weight

    def _insert_by_scatter(self, data: Tensor, weight: Tensor, rotation: Tensor, pixels: PixelList) -> None:
        """Insertion with torch alone."""
        reach = self.weight.shape[2] - 1
        plane = torch.stack([pixels.kx, pixels.ky]) * self.padding
        numerator = torch.view_as_real(self.numerator).view(-1, 2)
        for start in range(0, len(rotation), _CUDA_SLICES_AT_ONCE):
            rows = slice(start, start + _CUDA_SLICES_AT_ONCE)
            position = (rotation[rows][:, :, :2] @ plane).mT.contiguous()
            flat, corner, mirrored = trilinear_corners(position, reach)
            value = torch.where(mirrored, data[rows].conj(), data[rows])
            spread = torch.view_as_real((value[..., None] * corner).resolve_conj()).reshape(-1, 2)
            numerator.index_add_(0, flat.view(-1), spread)
            spread_weight = (weight[rows][..., None] * corner).reshape(-1)
            self.weight.view(-1).index_add_(0, flat.view(-1), spread_weight)


def solve(
    accumulator: Accumulator,
    *,
    operators: Float64[Tensor, "g 3 3"] | None = None,
    inverse_tau2: Float64[Tensor, " r"] | None = None,
    r_max_px: int | None = None,
    compensation_iterations: int = 0,
) -> Float32[Tensor, "d d d"]:
    """Volume S_num / (S_den + 1/tau^2), transformed back and freed of the interpolation's envelope.

    The Wiener filter of all images together (Scheres 2012, J. Struct. Biol. 180:519): where little was measured,
    1/tau^2 draws the map towards zero instead of letting noise through.

    Parameters
    ----------
    operators
        Point group to sum over first.
    inverse_tau2
        1/tau^2 of each ring 0 .. r_max, the prior precision of the map; none gives the unregularized map.
    r_max_px
        Rings beyond are zero (default: all that were accumulated).
    compensation_iterations
        More than 0 replaces the plain quotient by density compensation, worth its two padded transforms an
        iteration for final unregularized maps; see :func:`compensated_weights`.

    Returns
    -------
    Tensor
        Density float32 [D, D, D], the origin at D//2, not masked.

    Notes
    -----
    Weights are floored at a thousandth of their ring's mean, so that nearly unseen directions do not blow up.
    """
    identity = torch.eye(3, dtype=torch.float64)[None]
    full = accumulator.symmetrized(identity if operators is None else operators)
    shell = full.shell()
    limit = full.r_max_px if r_max_px is None else min(r_max_px, full.r_max_px)
    mean_weight = shell_average(full.weight, shell, full.r_max_px + 1)
    inside = shell <= limit
    index = shell[inside]
    floor = (_WEIGHT_FLOOR * mean_weight).clamp(min=1e-30)[index].to(torch.float32)
    denominator = torch.ones_like(full.weight)
    denominator[inside] = torch.maximum(full.weight[inside], floor)
    if inverse_tau2 is not None:
        denominator[inside] += inverse_tau2[index].to(torch.float32)
    if compensation_iterations:
        geometry = (full.box_size_px, full.padding)
        inverse = compensated_weights(denominator, inside, *geometry, compensation_iterations)
    else:
        inverse = inside / denominator
    return _to_volume(full.numerator * inverse, full.box_size_px, full.padding)


def _to_volume(grid: Tensor, box_size_px: int, padding: int) -> Tensor:
    """Density [D, D, D] of a centered half grid: transformed back, cut out, divided by the sinc^2 envelope."""
    size = box_size_px * padding
    transform = transform_from_grid(grid, size)
    padded = irfftn(transform, size) * box_size_px
    start = size // 2 - box_size_px // 2
    inside = slice(start, start + box_size_px)
    return padded[inside, inside, inside] / gridding_correction(box_size_px, padding, grid.device)
