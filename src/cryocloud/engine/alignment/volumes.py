"""Rotation, shift and hand that lay one density map on another.

Both maps are compared in Fourier space on a small box that just holds the band: a rotated map is then a set of
samples at rotated frequencies, a shifted one a product with a plane wave, and a sum over half of the
coefficients gives the correlation of whole maps. Rotations act on xyz columns about the voxel D//2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Complex64, Float32, Float64
from torch import Tensor

from cryocloud.engine.errors import InputError
from cryocloud.engine.fourier import fourier_crop_volume, half_space, irfftn, rfftn
from cryocloud.engine.fourier.space import SpaceGrid, sample_space, space_grid
from cryocloud.engine.geometry import rotation_from_vector, rotation_grid

_MIRROR = torch.diag(torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64))
_COARSE_SHELLS = 10
_GRID_ORDER = 2
_CANDIDATES = 16
_SHIFT_STEP = 0.35  # of the shortest period
_EDGE_SHELLS = 3
_ROTATIONS_AT_ONCE = 512
_SMALLEST_BOX_PX = 16
_TURN_RAD = 4e-3
_LARGEST_TURN_RAD = 0.15


@dataclass(frozen=True)
class VolumeAlignment:
    """How a moving volume is laid on a fixed one.

    aligned(x) = moving'(R^T (x - t)), where moving' is the moving volume, mirrored in z first when
    ``mirrored``. ``rotation`` R float64 [3, 3] acts on xyz; ``shift_px`` t float64 [3] xyz in pixels of the
    full box; ``correlation`` is that of the two maps, low-passed, after alignment, over the whole box and
    without their means.
    """

    rotation: Tensor
    shift_px: Tensor
    mirrored: bool
    correlation: float


@dataclass(frozen=True)
class _Bands:
    """Fixed map at half of the frequencies of a small box, weighted; the moving map ready for sampling.

    ``points`` [n, 3] are integer frequencies xyz, ``shell`` [n] ascending; ``fixed`` complex64 [2, n] the fixed
    map and its mirror image in z, with which the unmirrored moving map is compared, so that one set of rotated
    samples serves both hands; ``weight`` [n] the squared low-pass filter; ``scale_px`` pixels of the full box to
    one of the small.
    """

    points: Tensor
    shell: Tensor
    fixed: Tensor
    weight: Tensor
    moving: SpaceGrid
    scale_px: float

    def within(self, shells: int) -> _Bands:
        """The coarse part; points are ordered by shell."""
        n = int(torch.searchsorted(self.shell, shells, right=True))
        return replace(
            self,
            points=self.points[:n],
            shell=self.shell[:n],
            fixed=self.fixed[:, :n],
            weight=self.weight[:n],
        )


def align_volumes(
    moving: Float32[Tensor, "d d d"],
    fixed: Float32[Tensor, "e e e"],
    *,
    pixel_size_angstrom: float,
    resolution_angstrom: float = 20.0,
    max_shift_angstrom: float | None = None,
    search_hand: bool = True,
    operators: Float64[Tensor, "g 3 3"] | None = None,
) -> VolumeAlignment:
    """Find the rigid motion (and hand) of ``moving`` that correlates best with ``fixed`` at low resolution.

    Every rotation of a grid and every shift of a lattice is tried on the low frequencies, with amplitudes
    flattened shell by shell: otherwise the few strongest shells would decide. The 16 best are refined, first in 10
    shells and then in the full band, and the one with the highest plain correlation is returned.

    Parameters
    ----------
    moving, fixed
        Maps of one box size, origin at D//2.
    pixel_size_angstrom
        That of both maps.
    resolution_angstrom
        Low-pass of the comparison (raised-cosine edge of 3 shells, as ``fourier.low_pass``).
    max_shift_angstrom
        Radius of the searched shifts; an eighth of the box edge when None. Refinement may go beyond.
    search_hand
        Also try the mirror image.
    operators
        Point group of ``fixed``: one of each set of equivalent rotations is searched, in 1/g of the time.

    Raises
    ------
    InputError
        Different boxes, or a map without any signal in the band.

    Notes
    -----
    The grid is HEALPix order 2 times in-plane angles of 15 degrees, the lattice step 0.35 of the shortest period
    of the first 10 shells: close enough for the steps that follow to find the top of the right peak. All shifts
    and hands of 512 rotations are one real matrix product.
    """
    _check(moving, fixed)
    box = fixed.shape[-1]
    bands = _bands(moving, fixed, box * pixel_size_angstrom / resolution_angstrom)
    limit_px = box / 8 if max_shift_angstrom is None else max_shift_angstrom / pixel_size_angstrom
    rotation, shift, hand = _search(bands, limit_px / bands.scale_px, search_hand, operators)
    for shells in (_COARSE_SHELLS, int(bands.shell[-1])):
        rotation, shift = _refine(bands.within(shells), rotation, shift, hand, steps=6)
    correlation = _correlation(bands, rotation, shift, hand)
    best = int(correlation.argmax())
    return _as_alignment(bands, rotation[best], shift[best], bool(hand[best]), float(correlation[best]))


def refine_volume_alignment(
    moving: Float32[Tensor, "d d d"],
    fixed: Float32[Tensor, "e e e"],
    start: VolumeAlignment,
    *,
    pixel_size_angstrom: float,
    resolution_angstrom: float,
) -> VolumeAlignment:
    """A better alignment near ``start``, by Levenberg-Marquardt steps up to a finer resolution.

    ``moving``, ``fixed`` and errors as in :func:`align_volumes`. The hand stays that of ``start``. No step is
    taken that lowers the correlation at ``resolution_angstrom``, so the result is a peak near the start, not the
    highest one.
    """
    _check(moving, fixed)
    box = fixed.shape[-1]
    bands = _bands(moving, fixed, box * pixel_size_angstrom / resolution_angstrom)
    hand = torch.tensor([start.mirrored], device=fixed.device)
    rotation, shift = start.rotation.to(fixed.device), start.shift_px.to(fixed.device) / bands.scale_px
    if start.mirrored:
        rotation, shift = _mirrored(rotation, shift)
    rotation, shift = _refine(bands, rotation[None], shift[None], hand, steps=8)
    correlation = float(_correlation(bands, rotation, shift, hand)[0])
    return _as_alignment(bands, rotation[0], shift[0], start.mirrored, correlation)


def apply_alignment(volume: Float32[Tensor, "d d d"], alignment: VolumeAlignment) -> Float32[Tensor, "d d d"]:
    """The moving volume laid on the fixed one, sampled once in Fourier space.

    Frequencies from the Nyquist shell on are left out; the mean is kept. Within the band nothing is blurred, as
    interpolation between voxels would; sampling is exact to about 1e-3 (``fourier.space``).
    """
    box = volume.shape[-1]
    space = half_space(box, box // 2 - 1, volume.device)
    inverse = alignment.rotation.mT.to(volume.device)
    if alignment.mirrored:
        inverse = _MIRROR.to(volume.device) @ inverse
    values = sample_space(space_grid(volume, box // 2 - 1), inverse[None], space.points)[0]
    turns = space.points @ alignment.shift_px.to(space.points) / box
    values = values * torch.polar(torch.ones_like(turns), -2 * math.pi * turns) * box
    transform = torch.zeros((box, box, box // 2 + 1), dtype=torch.complex64, device=volume.device)
    transform.view(-1)[space.flat_index] = values
    twins = (space.points[:, 0] == 0).nonzero()[:, 0]
    _, y, z = space.points[twins].long().unbind(1)
    transform[-z % box, -y % box, 0] = values[twins].conj()
    transform[0, 0, 0] = volume.sum()
    return irfftn(transform, box)


def poses_in_fixed_frame(
    alignment: VolumeAlignment, rotation: Float64[Tensor, "n 3 3"], shift_px: Float64[Tensor, "n 2"]
) -> tuple[Float64[Tensor, "n 3 3"], Float64[Tensor, "n 2"]]:
    """Poses of particles that were refined against the moving map, as poses against the fixed map.

    M' = R M and shift' = shift + the xy part of M'^T t, in pixels of the full box. With a mirrored map it is
    M' = R (P M P), P = diag(1, 1, -1): a projection along z is one of the mirrored object too, so images cannot
    tell the hand.
    """
    if alignment.mirrored:
        rotation = _MIRROR @ rotation @ _MIRROR
    turned = alignment.rotation @ rotation
    return turned, shift_px + (turned.mT @ alignment.shift_px)[:, :2]


def _check(moving: Tensor, fixed: Tensor) -> None:
    if moving.shape != fixed.shape or len(set(fixed.shape)) != 1:
        raise InputError(
            f"maps of {tuple(moving.shape)} and {tuple(fixed.shape)} px cannot be aligned; resample them to cubes of "
            "one box and pixel size"
        )


def _mirrored(rotation: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """A motion seen in a mirror in z: the search turns the unmirrored moving map onto the fixed map's image."""
    mirror = _MIRROR.to(rotation.device)
    return mirror @ rotation @ mirror, mirror @ shift


def _as_alignment(
    bands: _Bands, rotation: Tensor, shift: Tensor, mirrored: bool, correlation: float
) -> VolumeAlignment:
    if mirrored:
        rotation, shift = _mirrored(rotation, shift)
    return VolumeAlignment(rotation.cpu(), shift.cpu() * bands.scale_px, mirrored, correlation)


def _bands(moving: Tensor, fixed: Tensor, cutoff_shell: float) -> _Bands:
    """Both maps on a small box that just holds the band."""
    box = fixed.shape[-1]
    r_max = min(math.ceil(cutoff_shell + _EDGE_SHELLS / 2) - 1, box // 2 - 1)
    small = min(box, max(_SMALLEST_BOX_PX, 2 * (r_max + 2)))
    if small < box:
        moving, fixed = fourier_crop_volume(moving, small), fourier_crop_volume(fixed, small)
    space = half_space(small, r_max, fixed.device)
    mirrored = space.points * torch.tensor([1.0, 1.0, -1.0], device=fixed.device)
    grid = space_grid(fixed, r_max)
    one = torch.eye(3, device=fixed.device)[None]
    both = torch.cat([sample_space(grid, one, space.points), sample_space(grid, one, mirrored)])
    both[0] = (rfftn(fixed) / small).flatten()[space.flat_index]
    ramp = ((space.shell - cutoff_shell) / _EDGE_SHELLS + 0.5).clamp(0, 1)
    weight = (0.5 + 0.5 * torch.cos(torch.pi * ramp)) ** 2
    if not bool(both.abs().sum() > 0) or not bool(moving.abs().sum() > 0):
        raise InputError(
            "one of the maps is empty: all its values are zero; check which file it was read from"
        )
    return _Bands(
        space.points, space.shell, both, weight.to(torch.float32), space_grid(moving, r_max), box / small
    )


def _search(
    bands: _Bands, limit_px: float, search_hand: bool, operators: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """The best rotations [c, 3, 3], shifts [c, 3] and hands [c] of a coarse grid, amplitudes flattened.

    Each coefficient is divided by both maps' root mean square of its shell and by its shell number: as a shell has
    about 2 pi r^2 coefficients, the score is a sum of FSC values weighted by r. Shifts are in px of the small box.
    """
    coarse = bands.within(_COARSE_SHELLS)
    rotations = rotation_grid(_GRID_ORDER, operators).to(coarse.points.device)
    shells = int(coarse.shell[-1])
    shifts = _shift_lattice(limit_px, _SHIFT_STEP * bands.moving.box_size_px / shells).to(
        coarse.points.device
    )
    wave = _waves(coarse, shifts).mT
    still = sample_space(coarse.moving, torch.eye(3, device=wave.device)[None], coarse.points)[0]
    power = _shell_rms(coarse.fixed[0], coarse.shell) * _shell_rms(still, coarse.shell)
    flatten = coarse.weight / (coarse.shell.to(torch.float32) * power.clamp(min=1e-30)[coarse.shell])
    hands = 2 if search_hand else 1
    # Re(sum_k conj(F) M wave) over all shifts and hands as one real product of interleaved parts.
    factors = [(coarse.fixed[h].conj() * flatten)[:, None] * wave for h in range(hands)]
    complex_right = torch.stack(factors, 1)
    right = torch.stack([complex_right.real, -complex_right.imag], 1).reshape(2 * len(coarse.points), -1)
    scores = []
    for block in torch.split(rotations, _ROTATIONS_AT_ONCE):
        turned = sample_space(coarse.moving, block.mT, coarse.points)
        scores.append(torch.view_as_real(turned).flatten(1) @ right)
    score, best_shift = torch.cat(scores).view(len(rotations) * hands, len(shifts)).max(1)
    order = score.argsort(descending=True)[:_CANDIDATES]
    return rotations[order // hands], shifts[best_shift[order]], (order % hands).bool()


def _refine(
    bands: _Bands, rotation: Tensor, shift: Tensor, hand: Tensor, *, steps: int
) -> tuple[Tensor, Tensor]:
    """Levenberg-Marquardt on the squared difference to the scaled moving map, for c candidates at once.

    A step is kept where it raises the correlation, and damping falls to 0.3 of its value; else it rises tenfold.
    """
    damping = torch.full((len(rotation),), 1e-2, dtype=torch.float64, device=rotation.device)
    score = _correlation(bands, rotation, shift, hand)
    for _ in range(steps):
        delta = _step(bands, rotation, shift, hand, damping)
        tried_rotation = rotation_from_vector(delta[:, :3]) @ rotation
        tried_shift = shift + delta[:, 3:]
        tried_score = _correlation(bands, tried_rotation, tried_shift, hand)
        better = tried_score > score
        rotation = torch.where(better[:, None, None], tried_rotation, rotation)
        shift = torch.where(better[:, None], tried_shift, shift)
        score = torch.where(better, tried_score, score)
        damping = torch.where(better, damping * 0.3, damping * 10)
    return rotation, shift


def _step(bands: _Bands, rotation: Tensor, shift: Tensor, hand: Tensor, damping: Tensor) -> Tensor:
    """Damped Gauss-Newton step [c, 6]: rotation vector (radians, about the fixed map's axes) and shift.

    The scale of the moving map is a seventh unknown, solved for and dropped, as only the correlation matters.
    Derivatives by rotations are finite differences over 4 mrad; a turn is bounded by 0.15 rad.
    """
    model = _model(bands, rotation, shift)
    axes = rotation_from_vector(_TURN_RAD * torch.eye(3, dtype=torch.float64, device=rotation.device))
    turned = [(_model(bands, axis @ rotation, shift) - model) / _TURN_RAD for axis in axes]
    ramp = -2j * math.pi / bands.moving.box_size_px * bands.points
    shifted = [ramp[:, axis] * model for axis in range(3)]
    target = bands.fixed[hand.long()]
    root = bands.weight.sqrt()
    scale = (_inner(target, model, root) / _inner(model, model, root)).to(torch.complex64)[:, None]
    columns = torch.stack([*(scale * c for c in turned + shifted), model], 1) * root
    residual = (target - scale * model) * root
    normal = torch.einsum("cin,cjn->cij", columns.conj(), columns).real.to(torch.float64)
    gradient = torch.einsum("cin,cn->ci", columns.conj(), residual).real.to(torch.float64)
    diagonal = normal.diagonal(dim1=1, dim2=2)
    normal = normal + torch.diag_embed(diagonal * damping[:, None] + 1e-12 * diagonal.amax(1, keepdim=True))
    step: Tensor = torch.linalg.solve(normal, gradient)[:, :6]
    length = step[:, :3].norm(dim=1, keepdim=True)
    shrink: Tensor = _LARGEST_TURN_RAD / length
    return step * shrink.clamp(max=1.0)


def _correlation(bands: _Bands, rotation: Tensor, shift: Tensor, hand: Tensor) -> Tensor:
    """Plain correlation [c], float64, of the low-passed maps."""
    model, target, root = _model(bands, rotation, shift), bands.fixed[hand.long()], bands.weight.sqrt()
    norm = torch.sqrt(_inner(model, model, root) * _inner(target, target, root))
    return _inner(target, model, root) / norm.clamp(min=1e-300)


def _model(bands: _Bands, rotation: Tensor, shift: Tensor) -> Complex64[Tensor, "c n"]:
    """Transform of the moved map at the points: F(R^T k) exp(-2 pi i k.t / D)."""
    return sample_space(bands.moving, rotation.mT, bands.points) * _waves(bands, shift)


def _waves(bands: _Bands, shift: Tensor) -> Tensor:
    turns = shift.to(torch.float32) @ bands.points.mT / bands.moving.box_size_px
    return torch.polar(torch.ones_like(turns), -2 * math.pi * turns)


def _inner(a: Tensor, b: Tensor, root: Tensor) -> Tensor:
    """Real inner product [c], weighted by root^2."""
    parts: Tensor = torch.view_as_real(a * root) * torch.view_as_real(b * root)
    return parts.to(torch.float64).sum((-2, -1))


def _shell_rms(values: Tensor, shell: Tensor) -> Tensor:
    """Root mean square [r] of complex values [n] in each shell."""
    totals = torch.zeros(int(shell[-1]) + 1, dtype=torch.float32, device=values.device)
    totals.index_add_(0, shell, values.abs() ** 2)
    return (totals / torch.bincount(shell).clamp(min=1)).sqrt()


def _shift_lattice(radius_px: float, step_px: float) -> Float64[Tensor, "s 3"]:
    """Shifts xyz on a cubic lattice inside a ball."""
    reach = math.floor(radius_px / step_px + 1e-9)
    line = torch.arange(-reach, reach + 1, dtype=torch.float64) * step_px
    lattice = torch.cartesian_prod(line, line, line)
    return lattice[lattice.norm(dim=1) <= radius_px + 1e-9]
