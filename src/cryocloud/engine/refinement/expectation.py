"""One half set against one reference: poses of every particle, and the sums for its new map.

Poses are not read off a grid. A coarse search proposes orientations, Levenberg-Marquardt steps carry these to the
optimum of the likelihood, and the optima share the particle by their probability. The precision of a pose is thus that
of the data and not that of a grid, at the cost of about 150 evaluations of the model a searched particle,
most of them in the coarse band.

The log-likelihood of a model m for an image X is ``-sum |X - m|^2 / sigma^2`` over half of the Fourier plane, with
``m = CTF * envelope * slice(M) * exp(+2 pi i k.shift / D)``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from cryocloud.engine.alignment.direct import prepare_scoring
from cryocloud.engine.alignment.local_pose import LocalPoses, Observations, refine_local_poses
from cryocloud.engine.fourier import PixelList, image_coefficients, phase_ramps
from cryocloud.engine.geometry import angular_distance_deg
from cryocloud.engine.native.modes import distinct_modes
from cryocloud.engine.noise import residual_power
from cryocloud.engine.optics import ctf
from cryocloud.engine.reconstruction import Accumulator, VolumeTransform, slice_volume
from cryocloud.engine.records.particle_set import ParticleSet
from cryocloud.engine.refinement.envelope import EnvelopeSums, damping
from cryocloud.engine.refinement.records import RefinementParameters
from cryocloud.engine.refinement.search import GlobalSearch, search_modes

# Modes closer to the best one than this are the same optimum, found twice.
_SAME_POSE_DEG = 1.0
# From the orientations that the coarse band offers to those that the whole band decides between.
_FIRST_MODES = 32
_NARROWING = 3
_WIDENING = 1.6
# Between the rounds, when the optima are known only roughly.
_SAME_OPTIMUM_DEG = 3.0
# Relative to the best mode; what is below would cost an insertion and change nothing.
_MIN_WEIGHT = 1e-3


@dataclass(frozen=True)
class Batch:
    """Fourier coefficients of b images and their CTF.

    The images carry no mask: scores only see what overlaps with the CTF-blurred reference, and that is masked. A
    mask on the images would cut off the signal that defocus spreads beyond it, 56 Angstrom at 2 um and 7 Angstrom.

    ``rows`` int64 [b] are their numbers in the particle table (on the CPU), ``micrograph`` int64 [b] those of their
    micrographs, ``coefficients`` complex64 [b, n] unitary and not shifted, ``transfer`` float32 [b, n] the CTF times
    the micrograph's scale and damping.
    """

    rows: Tensor
    micrograph: Tensor
    coefficients: Tensor
    transfer: Tensor


@dataclass(frozen=True)
class BatchPoses:
    """Weighted poses of a batch: m (image, rotation, shift, weight), weights of an image sum to 1.

    Sorted by image (row of the batch), the best pose of each first; every image has at least one. ``rotation`` float64
    [m, 3, 3], ``shift_px`` float64 [m, 2], ``weight`` float64 [m].
    """

    image: Tensor
    rotation: Tensor
    shift_px: Tensor
    weight: Tensor


@dataclass(frozen=True)
class CurrentPoses:
    """What is known of b images: poses from before, none in the first iteration, and which are to be searched for.

    ``shift_px`` is where a search begins also where ``is_known`` is False.
    """

    rotation: Tensor
    shift_px: Tensor
    is_known: bool
    is_searched: Tensor

    def known(self) -> tuple[Tensor, Tensor, Tensor]:
        """(image, rotation, shift) of the poses from before."""
        n = len(self.rotation) if self.is_known else 0
        return torch.arange(n, device=self.rotation.device), self.rotation[:n], self.shift_px[:n]


def read_batches(
    particles: ParticleSet,
    rows: Tensor,
    pixels: PixelList,
    envelope: Tensor,
    parameters: RefinementParameters,
) -> Iterator[Batch]:
    """Stream the particles of ``rows`` as Fourier coefficients; ``envelope`` [m, 2] is that of their micrographs.

    Images are read when their batch is asked for, so that memory holds ``parameters.batch_size`` of them at a time.
    ``pixels`` are all that will be inserted; scores use a prefix of them.
    """
    device = parameters.device
    pixel = particles.pixel_size_angstrom
    for start in range(0, len(rows), parameters.batch_size):
        block = rows[start : start + parameters.batch_size]
        images = torch.from_numpy(particles.read_images(block.numpy())).to(device)
        micrograph = micrograph_numbers(particles)[block].to(device)
        transfer = ctf(particles.ctf.select(block).to(device), pixels, pixel)
        transfer = transfer * damping(envelope[micrograph], pixels, pixel)
        yield Batch(block, micrograph, image_coefficients(images, pixels), transfer)


def micrograph_numbers(particles: ParticleSet) -> Tensor:
    """Micrograph of each particle, all 0 where they are not known."""
    if particles.micrograph is None:
        return torch.zeros(len(particles), dtype=torch.int64)
    return particles.micrograph


@dataclass(frozen=True)
class PoseSearch:
    """How the poses of a batch are looked for.

    ``wide`` is the global search, none where poses only move within their basin; ``sigma_shift_px`` the width of the
    prior on shifts, ``max_modes`` how many orientations an image keeps at the end, ``operators`` the point group.
    """

    wide: GlobalSearch | None
    sigma_shift_px: float
    max_modes: int
    operators: Tensor


def estimate_poses(
    batch: Batch,
    reference: VolumeTransform,
    search: PoseSearch,
    current: CurrentPoses,
    *,
    sigma2: Tensor,
    pixels: PixelList,
) -> BatchPoses:
    """Poses of a batch in the band of ``pixels``: the best of what a global search finds and of the current pose.

    The images that are to be searched start from many orientations of the coarse band. Local refinement in wider and
    wider bands moves these to their optima while the worse ones fall away: what 30 Angstrom cannot tell apart, the
    finer rings decide. Then the survivors and the current pose are refined in the whole band.

    The current pose always competes: a search of a randomly turned grid may miss what an earlier one has found.

    Parameters
    ----------
    batch
        Images; only their pixels inside the band are used.
    reference
        Transform of the half's regularized map, up to the rings of ``pixels``.
    search
        Grid of the global search (or none), prior of the shifts, point group.
    current
        Poses from before, and which images are to be searched. An image without known pose must be searched.
    sigma2
        Noise variance float64 of rings 0 .. r_max of ``pixels``.
    pixels
        The band of this iteration, a prefix of the batch's pixels.

    Returns
    -------
    BatchPoses
        At most ``search.max_modes`` poses an image and the one from before.
    """
    n = len(pixels)
    observations = Observations(batch.coefficients[:, :n], batch.transfer[:, :n], sigma2, pixels)
    candidates = [current.known()]
    if search.wide is not None and bool(current.is_searched.any()):
        candidates.append(_candidates(batch, reference, observations, search, current))
    image, rotation, shift_px = (torch.cat(parts) for parts in zip(*candidates, strict=True))
    fine = refine_local_poses(
        reference,
        observations,
        image,
        rotation,
        shift_px,
        n_steps=4,
        sigma_shift_px=search.sigma_shift_px,
    )
    return _weigh(image, fine, len(batch.rows), search.operators)


def _candidates(
    batch: Batch,
    reference: VolumeTransform,
    observations: Observations,
    search: PoseSearch,
    current: CurrentPoses,
) -> tuple[Tensor, Tensor, Tensor]:
    """(image, rotation, shift) of the few best optima of each searched image.

    32 orientations start in the band of the coarse search. Each round makes two steps, keeps the best third that end
    apart, and widens the band by 1.6; a wide band at once would have its optima too close together for a coarse start.
    """
    assert search.wide is not None
    band = search.wide.pixels
    rows = current.is_searched.nonzero()[:, 0]
    coarse = observations.within(band.r_max_px)
    centered = coarse.coefficients[rows] * phase_ramps(current.shift_px[rows], band)
    scoring = prepare_scoring(centered, coarse.transfer[rows], coarse.sigma2, band)
    image, rotation, shift_px = search_modes(
        search.wide,
        scoring,
        current.shift_px[rows],
        sigma_shift_px=search.sigma_shift_px,
        max_modes=_FIRST_MODES,
    )
    image = rows[image]
    r_max_px, kept = band.r_max_px, _FIRST_MODES
    while kept > search.max_modes:
        kept = max(search.max_modes, kept // _NARROWING)
        poses = refine_local_poses(
            reference,
            observations.within(r_max_px),
            image,
            rotation,
            shift_px,
            n_steps=2,
            sigma_shift_px=search.sigma_shift_px,
        )
        image, rotation, shift_px = _best_optima(image, poses, kept)
        r_max_px = min(math.ceil(_WIDENING * r_max_px), observations.pixels.r_max_px)
    return image, rotation, shift_px


def _best_optima(image: Tensor, poses: LocalPoses, kept: int) -> tuple[Tensor, Tensor, Tensor]:
    """The likeliest, mutually distinct poses of each image, ``kept`` at most; distinct means 3 degrees apart."""
    order = torch.argsort(poses.misfit, stable=True)
    order = order[torch.argsort(image[order], stable=True)]
    image, rotation = image[order], poses.rotation[order]
    chosen = distinct_modes(
        image.cpu().numpy(), rotation.cpu().numpy(), math.cos(math.radians(_SAME_OPTIMUM_DEG)), kept
    )
    mask = torch.from_numpy(chosen).to(image.device)
    return image[mask], rotation[mask], poses.shift_px[order][mask]


def accumulate(
    accumulator: Accumulator,
    batch: Batch,
    poses: BatchPoses,
    particle_weight: Tensor,
    noise: tuple[Tensor, PixelList],
) -> None:
    """Insert the unmasked images at their weighted poses; ``noise`` = (sigma2 of each ring, pixels).

    Each pose adds ``w C X exp(-2 pi i k.shift / D) / sigma^2`` to the numerator and ``w C^2 / sigma^2`` to the weight,
    w its probability times ``particle_weight`` [b] (0 leaves a particle out). A mask on inserted images would cut off
    what defocus has spread beyond it; masking is left to the map.
    """
    sigma2, pixels = noise
    inverse = (1 / sigma2).to(torch.float32)[pixels.ring]
    weight = (poses.weight * particle_weight[poses.image]).to(torch.float32)
    centered = batch.coefficients[poses.image] * phase_ramps(poses.shift_px, pixels)
    weighted = batch.transfer[poses.image] * (inverse * weight[:, None])
    accumulator.insert(centered * weighted, batch.transfer[poses.image] * weighted, poses.rotation, pixels)


@dataclass(frozen=True)
class ModelFit:
    """How well the best poses' models fit b images: the sum over images of the ring means of |X - model|^2 [r], the
    log-likelihood gained over no model at all, and what is gained on average where the model is right, both [b].
    """

    residual: Tensor
    log_gain: Tensor
    log_gain_expected: Tensor


def compare_with_models(
    batch: Batch,
    poses: BatchPoses,
    reference: VolumeTransform,
    noise: tuple[Tensor, PixelList],
    sums: EnvelopeSums,
) -> ModelFit:
    """Add the batch to ``sums`` and see how it fits; there is no model beyond the reference's rings.

    The gain of a right model is normal around its power P (of the model over the noise's) with variance 2 P. Both
    are for models of the gray scale that fits the batch best, as the reference's is only roughly known at first. A
    batch that no positive scale fits gains nothing and loses nothing.

    With the scale a, ``gain = sum (2 a Re(X conj(m)) - a^2 |m|^2) / sigma^2`` and ``P = sum a^2 |m|^2 / sigma^2``:
    for X = a m + noise the first is P plus twice the noise's projection on the model, whose variance is P / 2. An
    image without the particle would gain -P on average, were it not aligned. Only the best pose of each image is
    used. The residuals, without the scale a, run over all rings of ``noise`` = (sigma2 of each ring, pixels); beyond
    the reference they are the image itself, so the noise of rings that no reference reaches yet is known when it is
    needed.
    """
    sigma2, pixels = noise
    best = _first_of_each(poses.image)
    models = torch.zeros_like(batch.coefficients)
    band = pixels.within(reference.r_max_px)
    slices = slice_volume(reference, poses.rotation[best], band)
    n = len(band)
    models[:, :n] = slices * batch.transfer[:, :n] * phase_ramps(-poses.shift_px[best], band)
    sums.add_(batch.micrograph, batch.coefficients, models, pixels)
    ones = torch.ones(len(batch.rows), device=models.device)
    inverse = (1 / sigma2).to(torch.float32)[band.ring]
    power = ((models[:, :n].abs() ** 2) @ inverse).to(torch.float64)
    cross = ((batch.coefficients[:, :n] * models[:, :n].conj()).real @ inverse).to(torch.float64)
    scale = max(0.0, float(cross.sum() / power.sum().clamp(min=1e-30)))
    residual = residual_power(batch.coefficients, models, ones, pixels)
    return ModelFit(residual, 2 * scale * cross - scale**2 * power, scale**2 * power)


def best_poses(poses: BatchPoses) -> tuple[Tensor, Tensor, Tensor]:
    """Rotation [b, 3, 3], shift [b, 2] and probability [b] of each image's best pose."""
    first = _first_of_each(poses.image)
    return poses.rotation[first], poses.shift_px[first], poses.weight[first]


def _first_of_each(image: Tensor) -> Tensor:
    starts = torch.ones_like(image, dtype=torch.bool)
    starts[1:] = image[1:] != image[:-1]
    return starts.nonzero()[:, 0]


def _weigh(image: Tensor, poses: LocalPoses, n_images: int, operators: Tensor) -> BatchPoses:
    """Laplace weights exp(-misfit) / sqrt(det H) of the modes, best first; modes that met are counted once.

    The posterior mass of a mode is its height times its volume. About an optimum the log-posterior falls
    quadratically with the 5 x 5 matrix H (rotation vector in rad, shift in px; without the prior on shifts), so that
    the integral over the pose is ``exp(-misfit) pi^(5/2) / sqrt(det H)``; the constant cancels. A sharp optimum
    therefore counts for less than a broad one of the same height. Poses are the same also where an operator of the
    point group leads from one to the other.
    """
    # Nothing is freer than some two radians or pixels: of a pose that the data do not determine, H is singular.
    curvature = poses.normal + 0.1 * torch.eye(5, dtype=poses.normal.dtype, device=poses.normal.device)
    log_weight = -poses.misfit - 0.5 * torch.logdet(curvature)
    order = torch.argsort(log_weight, descending=True, stable=True)
    order = order[torch.argsort(image[order], stable=True)]
    image, log_weight = image[order], log_weight[order]
    rotation, shift_px = poses.rotation[order], poses.shift_px[order]
    first = torch.searchsorted(image, torch.arange(n_images, device=image.device))
    weight = torch.exp(log_weight - log_weight[first][image])
    same = angular_distance_deg(rotation, rotation[first][image], operators) < _SAME_POSE_DEG
    same[first] = False
    keep = ~same & (weight > _MIN_WEIGHT)
    keep[first] = True
    image, weight = image[keep], weight[keep]
    total = torch.zeros(n_images, dtype=torch.float64, device=image.device).index_add_(0, image, weight)
    return BatchPoses(image, rotation[keep], shift_px[keep], weight / total[image])
