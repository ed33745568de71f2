"""How well a map agrees with a model of known size, and what the map's pixel size must be.

The model's map is laid on the fixed one, and its transform is evaluated at stretched frequencies, so that nothing
is interpolated in real space. If the true pixel is ``scale`` times the nominal one, frequency k of the map is
frequency k / scale of the model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Complex64, Float32, Float64
from torch import Tensor

from cryocloud.engine.alignment.volumes import VolumeAlignment
from cryocloud.engine.errors import InputError
from cryocloud.engine.fourier import HalfSpace, half_space, irfftn, rfftn
from cryocloud.engine.fourier.space import SpaceGrid, sample_space, space_grid
from cryocloud.engine.least_squares import least_squares

_EMPTY_POWER = 1e-10
_FINE_STEPS = 4
_MIRROR = torch.diag(torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64))


@dataclass(frozen=True)
class PlacedModel:
    """A model's map ready for evaluation in the frame of the fixed map, at any scale.

    ``grid`` holds its transform, ``rotation`` [3, 3] carries frequencies of the fixed map into the model's,
    ``shift_px`` [3] is where the model's center lies in the fixed map.
    """

    grid: SpaceGrid
    rotation: Tensor
    shift_px: Tensor

    @property
    def box_size_px(self) -> int:
        """Edge of the maps."""
        return self.grid.box_size_px

    def transform(self, space: HalfSpace, scale: float = 1.0) -> Complex64[Tensor, " n"]:
        """Coefficients at the scale of rfftn(volume) / D."""
        values = sample_space(self.grid, self.rotation[None], space.points / scale)[0]
        turns = space.points @ self.shift_px.to(space.points) / self.box_size_px
        return values * torch.polar(torch.ones_like(turns), -2 * math.pi * turns)

    def volume(self, scale: float = 1.0) -> Float32[Tensor, "d d d"]:
        """The placed model's map, without its mean and Nyquist frequencies."""
        box = self.box_size_px
        space = half_space(box, box // 2 - 1, self.grid.grid.device)
        transform = torch.zeros(box, box, box // 2 + 1, dtype=torch.complex64, device=space.points.device)
        values = self.transform(space, scale) * box
        transform.view(-1)[space.flat_index] = values
        # The plane x = 0 holds both members of each pair.
        on_plane = space.points[:, 0] == 0
        y, z = (-space.points[on_plane][:, axis].long() % box for axis in (1, 2))
        transform[z, y, 0] = values[on_plane].conj()
        return irfftn(transform, box)


@dataclass(frozen=True)
class MagnificationFit:
    """Scan of the pixel size.

    Attributes
    ----------
    scale, log_likelihood
        float64 [s]: true over nominal pixel size, and L there, 0 at the top of the parabola.
    best_scale
        Top of the parabola.
    error
        Standard error ``1 / sqrt(-L'')``, the distance from the top at which L has fallen by 1/2. It
        counts noise only.
    """

    scale: Tensor
    log_likelihood: Tensor
    best_scale: float
    error: float


def place_model(
    model_map: Float32[Tensor, "d d d"], alignment: VolumeAlignment, *, largest_stretch: float = 1.06
) -> PlacedModel:
    """Lay a model's map, centered in its box, on the map that it was aligned to.

    Parameters
    ----------
    model_map
        Map of the model, in the box and nominal pixel size of the fixed map.
    largest_stretch
        Smallest scale that can be asked for is its inverse; its band shrinks accordingly.
    """
    box = model_map.shape[0]
    inverse = alignment.rotation.mT
    if alignment.mirrored:
        inverse = _MIRROR @ inverse
    r_max = math.ceil(largest_stretch * (box // 2 - 1)) + 1
    device = model_map.device
    return PlacedModel(space_grid(model_map, r_max), inverse.to(device), alignment.shift_px.to(device))


def model_fsc(
    volume: Float32[Tensor, "d d d"], placed: PlacedModel, scale: float = 1.0
) -> Float64[Tensor, " r"]:
    """FSC of shells 0 .. D//2 - 1 between a map and the placed model (1 in shell 0)."""
    space = half_space(volume.shape[0], volume.shape[0] // 2 - 1, volume.device)
    coefficients = rfftn(volume).flatten()[space.flat_index]
    return _correlation(coefficients, placed.transform(space, scale), space.shell)


def fit_magnification(
    volume: Float32[Tensor, "d d d"],
    placed: PlacedModel,
    *,
    shells: tuple[int, int],
    independent_fraction: float,
    reach: float = 0.04,
    steps: int = 17,
) -> MagnificationFit:
    """Find the pixel size at which a map agrees best with a model of known size.

    Given the correlation rho of each shell, the log-likelihood with the shell's amplitudes free is
    ``-sum n log(1 - rho^2)`` over the n independent coefficients; a stretch rotates phases in
    proportion to frequency and radius, so the fine shells decide. The scan is refined around its best point and
    closed by a parabola.

    Parameters
    ----------
    volume
        The map, masked around the particle.
    shells
        First and last shell to compare; choose those between the coarse envelope and the map's resolution.
    independent_fraction
        Independent part of the coefficients: mask volume over box volume, divided by the symmetry's order.
    reach, steps
        Half width of the scan, relative, and its number of points.

    Raises
    ------
    InputError
        The best agreement lies at the end of the scan: the sizes differ by more, or the model does not fit.
    """
    first, last = shells
    space = half_space(volume.shape[0], last, volume.device)
    coefficients = rfftn(volume).flatten()[space.flat_index]
    counts = torch.bincount(space.shell, minlength=last + 1).to(torch.float64) * independent_fraction

    def score(scale: float) -> float:
        rho = _correlation(coefficients, placed.transform(space, scale), space.shell)[first : last + 1]
        return float(-(counts[first:] * torch.log1p(-(rho.clamp(0, 1 - 1e-9) ** 2))).sum())

    coarse = [1 + reach * (2 * i / (steps - 1) - 1) for i in range(steps)]
    scores = {scale: score(scale) for scale in coarse}
    best = max(coarse, key=lambda scale: scores[scale])
    if best in (coarse[0], coarse[-1]):
        raise InputError(
            f"the map fits the model best at the end of the scan, {best - 1:+.1%} of its pixel size; check the model "
            "and the map's pixel size, or scan further"
        )
    step = coarse[1] - coarse[0]
    fine = [best + step * i / _FINE_STEPS for i in range(-_FINE_STEPS, _FINE_STEPS + 1)]
    scores |= {scale: score(scale) for scale in fine}
    top, error, height = _parabola(fine, [scores[scale] for scale in fine])
    scales = sorted(scores)
    relative = torch.tensor([scores[scale] - height for scale in scales], dtype=torch.float64)
    return MagnificationFit(torch.tensor(scales, dtype=torch.float64), relative, top, error)


def _correlation(a: Tensor, b: Tensor, shell: Tensor) -> Float64[Tensor, " r"]:
    n = int(shell[-1]) + 1
    products = torch.stack([(a * b.conj()).real, a.abs() ** 2, b.abs() ** 2]).to(torch.float64)
    cross, power_a, power_b = torch.zeros(3, n, dtype=torch.float64, device=a.device).index_add_(
        1, shell, products
    )
    empty = (power_a <= _EMPTY_POWER * power_a.max()) | (power_b <= _EMPTY_POWER * power_b.max())
    curve = torch.where(empty, 0.0, cross / (power_a * power_b).sqrt().clamp(min=1e-300))
    curve[0] = 1.0
    return curve


def _parabola(scales: list[float], scores: list[float]) -> tuple[float, float, float]:
    """Top, one-sigma error and height of the least-squares parabola through the points."""
    x = torch.tensor(scales, dtype=torch.float64)
    center, width = x.mean(), (x[-1] - x[0]) / 2
    u = (x - center) / width
    basis = torch.stack([torch.ones_like(u), u, u**2], 1)
    c, b, a = least_squares(basis, torch.tensor(scores, dtype=torch.float64)[:, None])[:, 0]
    top = (-b / (2 * a)).clamp(-1, 1)
    error = width / torch.sqrt((-2 * a).clamp(min=1e-300))
    return float(center + width * top), float(error), float(c + b * top + a * top**2)
