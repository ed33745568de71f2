"""Poses and maps of a refinement against the truth they were simulated from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cryocloud.engine.alignment.volumes import (
    VolumeAlignment,
    align_volumes,
    apply_alignment,
    poses_in_fixed_frame,
)
from cryocloud.engine.fourier import (
    fsc,
    image_coefficients,
    low_pass,
    make_pixel_list,
    phase_ramps,
    resolution_angstrom,
)
from cryocloud.engine.geometry import angular_distance_deg, rotation_from_euler, symmetry_operators
from cryocloud.engine.io.mrc import read_mrc
from cryocloud.engine.io.table_records import particle_set
from cryocloud.engine.io.tables import ParticleTables, read_particles
from cryocloud.engine.masking import MaskShape, mask_from_map, soft_sphere
from cryocloud.engine.optics import ctf
from cryocloud.engine.reconstruction import Accumulator, solve

ALIGN_ANGSTROM = 12.0
FRAME_STEPS = 5
EDGE_PX = 3.0
LOST_DEG = 20.0
BATCH = 500


@dataclass(frozen=True)
class RefinedMaps:
    """What a refinement wrote: its particles, its half maps as they are, and the map that it offers to its user."""

    star: Path
    half_maps: tuple[Path, Path]
    map: Path


def evaluate(refined: RefinedMaps, data: Path, symmetry: str) -> dict[str, float]:
    """Resolutions and errors after laying the result on the truth as a whole.

    The map from true poses shows what the particles hold: their images inserted where they belong, by our own
    reconstruction.
    """
    truth, pixel = _volume(data / "map.mrc")
    box = truth.shape[0]
    # RELION cuts its maps to the sphere that the box holds, which takes away half of the noise.
    sphere = soft_sphere(box, box / 2 - EDGE_PX, EDGE_PX)
    halves = [_volume(path)[0] * sphere for path in refined.half_maps]
    mask = mask_from_map(low_pass(truth, 15.0, pixel), pixel, MaskShape(edge_angstrom=15.0))
    mean = halves[0] + halves[1]
    operators = symmetry_operators(symmetry)
    alignment = align_volumes(
        mean, truth, pixel_size_angstrom=pixel, resolution_angstrom=ALIGN_ANGSTROM, operators=operators
    )
    aligned = [apply_alignment(half, alignment) * mask for half in halves]
    to_truth = fsc(aligned[0] + aligned[1], truth * mask)
    map_to_truth = fsc(apply_alignment(_volume(refined.map)[0] * sphere, alignment) * mask, truth * mask)
    best_to_truth = fsc(map_from_true_poses(data, operators) * mask, truth * mask)
    unmasked, masked = fsc(*halves), fsc(*aligned)
    angle_deg, shift_px = pose_errors(refined.star, data / "truth.star", alignment, operators)
    return {
        "half_fsc_0143_angstrom": resolution_angstrom(unmasked, 0.143, box, pixel),
        "half_fsc_0143_shell": box * pixel / resolution_angstrom(unmasked, 0.143, box, pixel),
        "masked_half_fsc_0143_angstrom": resolution_angstrom(masked, 0.143, box, pixel),
        "truth_fsc_05_angstrom": resolution_angstrom(to_truth, 0.5, box, pixel),
        "truth_fsc_05_shell": box * pixel / resolution_angstrom(to_truth, 0.5, box, pixel),
        "map_truth_fsc_05_shell": box * pixel / resolution_angstrom(map_to_truth, 0.5, box, pixel),
        "best_truth_fsc_05_shell": box * pixel / resolution_angstrom(best_to_truth, 0.5, box, pixel),
        "masked_half_fsc_0143_shell": box * pixel / resolution_angstrom(masked, 0.143, box, pixel),
        "pose_error_median_deg": float(angle_deg.median()),
        "lost_fraction": float((angle_deg > LOST_DEG).double().mean()),
        "pose_error_90_percent_deg": float(angle_deg.quantile(0.9)),
        "shift_error_median_px": float(shift_px.median()),
        "mirrored": float(alignment.mirrored),
    }


def map_from_true_poses(data: Path, operators: Tensor) -> Tensor:
    """The best map that the particles can give: all inserted at their true poses."""
    tables = read_particles(data / "truth.star")
    particles = particle_set(tables)
    box = particles.box_size_px
    pixels = make_pixel_list(box, box // 2 - 1)
    accumulator = Accumulator(box, box // 2 - 1)
    for rows in torch.arange(len(particles)).split(BATCH):
        images = torch.from_numpy(particles.read_images(rows.numpy()))
        transfer = ctf(particles.ctf.select(rows), pixels, particles.pixel_size_angstrom)
        centered = image_coefficients(images, pixels) * phase_ramps(particles.shift_px[rows], pixels)
        accumulator.insert(centered * transfer, transfer**2, particles.rotation[rows], pixels)
    return solve(accumulator, operators=operators)


def pose_errors(
    star: Path, truth_star: Path, alignment: VolumeAlignment, operators: Tensor
) -> tuple[Tensor, Tensor]:
    """Angle (degrees) and shift (px) between found and true poses; particles are matched by image number."""
    found, true = read_particles(star), read_particles(truth_star)
    order = {_image_number(name): row for row, name in enumerate(true.particles["rlnImageName"])}
    rows = torch.tensor([order[_image_number(name)] for name in found.particles["rlnImageName"]])
    true_rotation, true_shift = (values[rows] for values in _poses(true))
    rotation, shift = poses_in_fixed_frame(alignment, *_poses(found))
    for _ in range(FRAME_STEPS):
        rotation = _frame_residual(rotation, true_rotation, operators) @ rotation
    angle_deg = angular_distance_deg(rotation, true_rotation, operators)
    # What is left of the shift of the whole map shows in each particle's plane.
    moved, in_plane = shift - true_shift, rotation.mT[:, :2]
    offset = torch.linalg.lstsq(in_plane.reshape(-1, 3), moved.reshape(-1, 1)).solution[:, 0]
    return angle_deg, (moved - in_plane @ offset).norm(dim=1)


def _image_number(name: str) -> int:
    """All images of a benchmark lie in one stack."""
    return int(name.split("@", maxsplit=1)[0])


def _poses(tables: ParticleTables) -> tuple[Tensor, Tensor]:
    """Rotations and shifts (px) without a look at the images, whose names may count from another folder."""
    particles = tables.particles
    angles, origin_angstrom = (
        torch.from_numpy(particles[labels].to_numpy(dtype=float).copy())
        for labels in (["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"], ["rlnOriginXAngst", "rlnOriginYAngst"])
    )
    pixel = float(tables.optics["rlnImagePixelSize"].iloc[0])
    return rotation_from_euler(*angles.T), origin_angstrom / pixel


def _frame_residual(rotation: Tensor, true_rotation: Tensor, operators: Tensor) -> Tensor:
    """Rotation of the frame that brings most poses closer to the true ones: median of the small residuals."""
    copies = torch.einsum("gij,njk->ngik", operators, true_rotation)
    nearest = torch.einsum("ngik,nik->ng", copies, rotation).argmax(1)
    residual = copies[torch.arange(len(rotation)), nearest] @ rotation.mT
    skew = (residual - residual.mT) / 2
    vector = torch.stack([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], 1).median(0).values
    x, y, z = vector
    cross = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
    return torch.linalg.matrix_exp(cross)


def _volume(path: Path) -> tuple[Tensor, float]:
    array, pixel_size_angstrom = read_mrc(path)
    return torch.tensor(array), pixel_size_angstrom
