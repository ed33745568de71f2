"""What the simulating jobs share: the object they image, and how they write down the truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cryocloud.catalog.simulation import PROCEDURAL, ImagingParameters
from cryocloud.compute.context import JobContext
from cryocloud.engine.errors import InputError
from cryocloud.engine.geometry import euler_from_rotation
from cryocloud.engine.io.mrc import read_mrc, write_mrc
from cryocloud.engine.io.tables import POSE_DECIMALS
from cryocloud.engine.records.ctf_parameters import CtfParameters
from cryocloud.engine.simulate.microscope import DefocusRange, Microscope, Views
from cryocloud.engine.simulate.objects import procedural_map
from cryocloud.jobs.kit.preflight import pixel_sizes_differ, require_cube, require_pixel_size

PROCEDURAL_PIXEL_SIZE_ANGSTROM = 1.5


def imaged_object(job: JobContext) -> tuple[Tensor, float]:
    """The map to image, on the job's device, and its pixel size; a made-up one is also written to ``map.mrc``."""
    parameters: ImagingParameters = job.parameters
    source = job.inputs["map"]
    if str(source) == PROCEDURAL:
        pixel_size = parameters.pixel_size_angstrom or PROCEDURAL_PIXEL_SIZE_ANGSTROM
        rng = np.random.default_rng(job.seed)
        volume = procedural_map(
            parameters.symmetry, rng, mass_kda=parameters.mass_kda, pixel_size_angstrom=pixel_size
        )
        write_mrc(job.out / "map.mrc", volume.numpy(), pixel_size)
        return volume.to(job.device), pixel_size
    array, stored = read_mrc(source)
    require_cube(array.shape, source)
    pixel_size = parameters.pixel_size_angstrom or stored
    require_pixel_size(pixel_size, str(source))
    if (
        parameters.pixel_size_angstrom
        and stored > 0
        and stored != 1
        and pixel_sizes_differ(pixel_size, stored)
    ):
        raise InputError(
            f"{source}: has pixels of {stored:g} Å, not {pixel_size:g} Å; leave --pixel-size-angstrom out or make "
            "the map with that sampling"
        )
    if not np.isfinite(array).all():
        raise InputError(f"{source}: holds values that are not numbers; make the map again")
    return torch.tensor(array, device=job.device), pixel_size


def microscope(parameters: ImagingParameters) -> Microscope:
    return Microscope(
        parameters.voltage_kv,
        parameters.spherical_aberration_mm,
        parameters.amplitude_contrast,
        parameters.b_factor_angstrom2,
    )


def defocus_range(parameters: ImagingParameters) -> DefocusRange:
    return DefocusRange(
        parameters.defocus_min_angstrom, parameters.defocus_max_angstrom, parameters.astigmatism_max_angstrom
    )


def views(parameters: ImagingParameters) -> Views:
    return Views(parameters.preferred_share, parameters.preferred_spread_deg)


def optics_table(parameters: ImagingParameters, pixel_sizes: dict[str, float | int]) -> pd.DataFrame:
    """One optics group; ``pixel_sizes`` are the labels that particles or micrographs need besides."""
    return pd.DataFrame(
        [
            {
                "rlnOpticsGroup": 1,
                "rlnOpticsGroupName": "opticsGroup1",
                "rlnVoltage": parameters.voltage_kv,
                "rlnSphericalAberration": parameters.spherical_aberration_mm,
                "rlnAmplitudeContrast": parameters.amplitude_contrast,
                **pixel_sizes,
            }
        ]
    )


def defocus_columns(ctf: CtfParameters) -> dict[str, Any]:
    return {
        "rlnDefocusU": ctf.defocus_u_angstrom.numpy(),
        "rlnDefocusV": ctf.defocus_v_angstrom.numpy(),
        "rlnDefocusAngle": ctf.defocus_angle_deg.numpy(),
        "rlnCtfBfactor": ctf.b_factor_angstrom2.numpy(),
    }


def angle_columns(rotation: Tensor) -> dict[str, Any]:
    rounded = [np.round(angle.numpy(), POSE_DECIMALS) for angle in euler_from_rotation(rotation)]
    return dict(zip(("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"), rounded, strict=True))


def write_truth(path: Path, job: JobContext, **measured: Any) -> None:
    """``truth.json``: all parameters, the seed, and what followed from them."""
    content = {"parameters": job.parameters.model_dump(mode="json"), "seed": job.seed, **measured}
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(content, indent=1))
    partial.replace(path)
