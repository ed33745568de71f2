"""The records that stages work on, made of tables, and poses written back into tables.

Tables hold RELION's conventions: Euler angles in degrees, origins in Angstrom. Records hold rotations M
from map to image as matrices and shifts in pixels of the images that are read. Signs agree: ``shift_px`` =
origin / pixel size.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryocloud.engine.errors import InputError
from cryocloud.engine.geometry import euler_from_rotation, rotation_from_euler
from cryocloud.engine.io.common_sampling import PIXEL_SIZE_TOLERANCE, CommonImages, OpticsImages
from cryocloud.engine.io.image_names import ImageStacks
from cryocloud.engine.io.tables import (
    POSE_DECIMALS,
    ParticleTables,
    float_column,
    optics_of_rows,
    whole_column,
)
from cryocloud.engine.records.ctf_parameters import CtfParameters
from cryocloud.engine.records.particle_set import ParticleSet

_ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
_ORIGINS = ("rlnOriginXAngst", "rlnOriginYAngst")


def ctf_parameters(optics: pd.DataFrame, rows: pd.DataFrame) -> CtfParameters:
    """CTF parameters of particles or micrographs; phase shift and B-factor are 0 without their columns.

    Defocus in Angstrom (underfocus positive), angles and phase shifts in degrees, voltage in kV, Cs in mm,
    B-factor in Angstrom^2; all float64 [n]. Beam tilt and higher aberrations are not part of the record.

    Raises
    ------
    InputError
        A mandatory column (defocus, voltage, aberration, amplitude contrast) is missing.
    """
    for label in ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle"):
        if label not in rows:
            raise InputError(f"column _{label} is missing; estimate the CTF first (cryocloud run ctf)")

    def optional(label: str) -> Tensor:
        return torch.from_numpy(float_column(rows, label) if label in rows else np.zeros(len(rows)))

    return CtfParameters(
        defocus_u_angstrom=optional("rlnDefocusU"),
        defocus_v_angstrom=optional("rlnDefocusV"),
        defocus_angle_deg=optional("rlnDefocusAngle"),
        voltage_kv=torch.from_numpy(optics_of_rows(optics, rows, "rlnVoltage")),
        spherical_aberration_mm=torch.from_numpy(optics_of_rows(optics, rows, "rlnSphericalAberration")),
        amplitude_contrast=torch.from_numpy(optics_of_rows(optics, rows, "rlnAmplitudeContrast")),
        phase_shift_deg=optional("rlnPhaseShift"),
        b_factor_angstrom2=optional("rlnCtfBfactor"),
    )


def particle_set(tables: ParticleTables) -> ParticleSet:
    """What stages work on: a reader of the images, optics and poses.

    Images are memory-mapped and read row by row when asked for. Those of optics groups with other pixels
    or boxes are brought to one sampling when read, the coarsest pixel and the narrowest box. Missing
    angles and origins are zero, and so are half sets and classes, where 0 means not assigned.
    ``micrograph`` numbers the micrographs from 0 in order of appearance; it is None where the table does
    not name them.

    Raises
    ------
    InputError
        No particles, missing stacks, boxes that are not square or that differ at one pixel size, pixel
        sizes that are not positive or leave no box in common, image numbers beyond the end of their stack.
    """
    if len(tables) == 0:
        raise InputError(f"{tables.folder}: the table holds no particles; an earlier step left none")
    particles = tables.particles
    images = _images(tables)
    pixel_size_angstrom = images.sampling.pixel_size_angstrom
    shift_px = _zeros_where_absent(particles, _ORIGINS) / pixel_size_angstrom
    rot, tilt, psi = (torch.from_numpy(column) for column in _zeros_where_absent(particles, _ANGLES).T.copy())
    return ParticleSet(
        read_images=images.read,
        box_size_px=images.sampling.box_size_px,
        pixel_size_angstrom=pixel_size_angstrom,
        ctf=ctf_parameters(tables.optics, particles),
        rotation=rotation_from_euler(rot, tilt, psi),
        shift_px=torch.from_numpy(shift_px),
        half_set=torch.from_numpy(_whole_or_zero(particles, "rlnRandomSubset")),
        class_number=torch.from_numpy(_whole_or_zero(particles, "rlnClassNumber")),
        micrograph=_micrograph_numbers(particles),
    )


def _images(tables: ParticleTables) -> CommonImages:
    """One part for each pixel size; sizes within 0.1 % of the coarsest count as the coarsest."""
    sizes = optics_of_rows(tables.optics, tables.particles, "rlnImagePixelSize")
    common_angstrom = common_pixel_size(tables)
    sizes = np.where(sizes * (1 + PIXEL_SIZE_TOLERANCE) >= common_angstrom, common_angstrom, sizes)
    names = tables.particles["rlnImageName"].reset_index(drop=True)
    parts = []
    for size in np.unique(sizes)[::-1]:
        rows = np.flatnonzero(sizes == size)
        stacks = ImageStacks(names.iloc[rows], tables.folder, label=tables.image_label)
        parts.append(OpticsImages(stacks, rows, float(size)))
    return CommonImages(parts)


def _micrograph_numbers(particles: pd.DataFrame) -> Tensor | None:
    if "rlnMicrographName" not in particles:
        return None
    return torch.from_numpy(pd.factorize(particles["rlnMicrographName"])[0].astype(np.int64))


def with_poses(tables: ParticleTables, rotation: Tensor, shift_px: Tensor) -> ParticleTables:
    """The tables with angles from ``rotation`` [n, 3, 3] and origins from ``shift_px`` [n, 2] (x, y).

    Inverse of `particle_set` for poses. Shifts are in pixels of the common size. Angles in degrees and
    origins in Angstrom are rounded to six decimals.
    """
    particles = tables.particles.copy()
    angles = euler_from_rotation(rotation.detach().cpu().to(torch.float64))
    for label, angle in zip(_ANGLES, angles, strict=True):
        particles[label] = np.round(angle.numpy(), POSE_DECIMALS)
    shift = shift_px.detach().cpu().to(torch.float64).numpy() * common_pixel_size(tables)
    for label, origin in zip(_ORIGINS, shift.T, strict=True):
        particles[label] = np.round(origin, POSE_DECIMALS)
    return replace(tables, particles=particles)


def common_pixel_size(tables: ParticleTables) -> float:
    """The coarsest pixel size of the optics groups that have particles, which the others are brought to."""
    sizes = optics_of_rows(tables.optics, tables.particles, "rlnImagePixelSize")
    if not sizes.min() > 0:
        raise InputError(
            f"pixel size {sizes.min():g} Å is not positive; import the particles with their pixel size"
        )
    return float(sizes.max())


def _zeros_where_absent(rows: pd.DataFrame, labels: tuple[str, ...]) -> NDArray[np.float64]:
    columns = [float_column(rows, label) if label in rows else np.zeros(len(rows)) for label in labels]
    return np.stack(columns, axis=1)


def _whole_or_zero(rows: pd.DataFrame, label: str) -> NDArray[np.int64]:
    return whole_column(rows, label) if label in rows else np.zeros(len(rows), dtype=np.int64)
