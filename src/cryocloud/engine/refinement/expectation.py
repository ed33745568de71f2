"""One half set against one reference: poses of every particle, and the sums for its new map."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from cryocloud.engine.alignment.direct import prepare_scoring
from cryocloud.engine.alignment.local_pose import LocalPoses, Observations, refine_local_poses
from cryocloud.engine.fourier import PixelList, image_coefficients, phase_ramps
from cryocloud.engine.geometry import angular_distance_deg
from cryocloud.engine.noise import residual_power
from cryocloud.engine.optics import ctf
from cryocloud.engine.reconstruction import Accumulator, VolumeTransform, slice_volume
from cryocloud.engine.records.particle_set import ParticleSet
from cryocloud.engine.refinement.envelope import EnvelopeSums, damping
from cryocloud.engine.refinement.records import RefinementParameters
from cryocloud.engine.refinement.search import GlobalSearch, search_modes

_MASK_EDGE_PX = 5.0
_SAME_POSE_DEG = 1.0
_MIN_WEIGHT = 1e-3


@dataclass(frozen=True)
class Batch:
    """Fourier coefficients of b images and their CTF.

    The images carry no mask: scores only see what overlaps with the CTF-blurred reference, and that is masked. A
    mask on the images would cut off the signal that defocus spreads beyond it, 56 Angstrom at 2 um and 7 Angstrom.
    """

    rows: Tensor
    micrograph: Tensor
    coefficients: Tensor
    transfer: Tensor


@dataclass(frozen=True)
class BatchPoses:
    """Weighted poses of a batch: m (image, rotation, shift, weight), weights of an image sum to 1."""

    image: Tensor
    rotation: Tensor
    shift_px: Tensor
    weight: Tensor


def read_batches(
    particles: ParticleSet,
    rows: Tensor,
    pixels: PixelList,
    envelope: Tensor,
    parameters: RefinementParameters,
) -> Iterator[Batch]:
    """Stream the particles of ``rows`` as Fourier coefficients; ``envelope`` [m, 2] is that of their micrographs."""
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


def estimate_poses(
    batch: Batch,
    reference: VolumeTransform,
    search: GlobalSearch | None,
    current: tuple[Tensor, Tensor],
    *,
    sigma2: Tensor,
    pixels: PixelList,
    settings: tuple[float, int],
) -> BatchPoses:
    """Poses of a batch: global search where one is given, then local refinement in the band of ``pixels``.

    ``current`` are the particles' rotations and shifts so far; ``settings`` = (sigma_shift_px, max_modes).
    """
    sigma_shift_px, max_modes = settings
    rotation, shift_px = current
    n = len(pixels)
    observations = Observations(batch.coefficients[:, :n], batch.transfer[:, :n], sigma2, pixels)
    image = torch.arange(len(batch.rows), device=rotation.device)
    if search is not None:
        band = search.pixels
        n = len(band)
        centered = batch.coefficients[:, :n] * phase_ramps(shift_px, band)
        scoring = prepare_scoring(centered, batch.transfer[:, :n], sigma2[: band.r_max_px + 1], band)
        image, rotation, shift_px = search_modes(
            search, scoring, shift_px, sigma_shift_px=sigma_shift_px, max_modes=max_modes
        )
        rough = refine_local_poses(
            reference,
            observations.within(band.r_max_px),
            image,
            rotation,
            shift_px,
            n_steps=3,
            sigma_shift_px=sigma_shift_px,
        )
        rotation, shift_px = rough.rotation, rough.shift_px
    fine = refine_local_poses(
        reference,
        observations,
        image,
        rotation,
        shift_px,
        n_steps=4,
        sigma_shift_px=sigma_shift_px,
    )
    return _weigh(image, fine, len(batch.rows))


def accumulate(
    accumulator: Accumulator, batch: Batch, poses: BatchPoses, sigma2: Tensor, pixels: PixelList
) -> None:
    """Insert the unmasked images at their weighted poses."""
    inverse = (1 / sigma2).to(torch.float32)[pixels.ring]
    centered = batch.coefficients[poses.image] * phase_ramps(poses.shift_px, pixels)
    weighted = batch.transfer[poses.image] * (inverse * poses.weight[:, None].to(torch.float32))
    accumulator.insert(centered * weighted, batch.transfer[poses.image] * weighted, poses.rotation, pixels)


def compare_with_models(
    batch: Batch,
    poses: BatchPoses,
    reference: VolumeTransform,
    pixels: PixelList,
    sums: EnvelopeSums,
) -> Tensor:
    """Add the batch to ``sums``; returns the sum over images of the ring means of |X - model|^2.

    The model is that of each image's best pose; there is none beyond the reference's rings.
    """
    best = _first_of_each(poses.image)
    models = torch.zeros_like(batch.coefficients)
    band = pixels.within(reference.r_max_px)
    slices = slice_volume(reference, poses.rotation[best], band)
    n = len(band)
    models[:, :n] = slices * batch.transfer[:, :n] * phase_ramps(-poses.shift_px[best], band)
    sums.add_(batch.micrograph, batch.coefficients, models, pixels)
    ones = torch.ones(len(batch.rows), device=models.device)
    return residual_power(batch.coefficients, models, ones, pixels)


def best_poses(poses: BatchPoses) -> tuple[Tensor, Tensor, Tensor]:
    """Rotation, shift and probability of each image's best pose."""
    first = _first_of_each(poses.image)
    return poses.rotation[first], poses.shift_px[first], poses.weight[first]


def _first_of_each(image: Tensor) -> Tensor:
    starts = torch.ones_like(image, dtype=torch.bool)
    starts[1:] = image[1:] != image[:-1]
    return starts.nonzero()[:, 0]


def _weigh(image: Tensor, poses: LocalPoses, n_images: int) -> BatchPoses:
    """Laplace weights exp(-misfit) / sqrt(det H) of the modes, best first; modes that met are counted once."""
    log_weight = -poses.misfit - 0.5 * torch.logdet(poses.normal).nan_to_num(neginf=0.0)
    order = torch.argsort(log_weight, descending=True, stable=True)
    order = order[torch.argsort(image[order], stable=True)]
    image, log_weight = image[order], log_weight[order]
    rotation, shift_px = poses.rotation[order], poses.shift_px[order]
    first = torch.searchsorted(image, torch.arange(n_images, device=image.device))
    weight = torch.exp(log_weight - log_weight[first][image])
    same = angular_distance_deg(rotation, rotation[first][image]) < _SAME_POSE_DEG
    same[first] = False
    keep = ~same & (weight > _MIN_WEIGHT)
    keep[first] = True
    image, weight = image[keep], weight[keep]
    total = torch.zeros(n_images, dtype=torch.float64, device=image.device).index_add_(0, image, weight)
    return BatchPoses(image, rotation[keep], shift_px[keep], weight / total[image])
