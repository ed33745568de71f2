"""A soft mask for a map: cut from its density, changed by what a person drew."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from cryocloud.catalog.base import Facts
from cryocloud.catalog.edits import MaskEdits
from cryocloud.catalog.edits import Solid as DrawnSolid
from cryocloud.catalog.types.make_mask import JOB_TYPE, MakeMaskParameters
from cryocloud.compute.context import JobContext
from cryocloud.engine.errors import InputError
from cryocloud.engine.fourier import low_pass
from cryocloud.engine.io.mrc import read_mrc, read_mrc_header, write_mrc
from cryocloud.engine.masking import (
    MaskShape,
    Solid,
    density_threshold,
    mask_core,
    soft_mask,
    with_solids,
)
from cryocloud.jobs.kit.edits import read_edits
from cryocloud.jobs.kit.plots import plot_mask
from cryocloud.jobs.kit.preflight import require_cube, require_pixel_size, require_resources


def run(job: JobContext) -> None:
    """Cut, draw, soften; takes seconds, so an interrupted run starts over."""
    given: MakeMaskParameters = job.parameters
    volume, pixel_size_angstrom = _read_map(job)
    edits = read_edits(job, MaskEdits)
    if given.begin_with == "nothing" and not any(solid.adds for solid in edits.solids):
        raise InputError("--begin-with nothing: then shapes must be drawn; give them with --edits")
    shape = MaskShape(
        low_pass_angstrom=given.low_pass_angstrom,
        threshold=_threshold(job, volume, pixel_size_angstrom),
        extension_angstrom=given.extension_angstrom,
        edge_angstrom=given.edge_angstrom,
    )
    job.progress(0.3, "density")
    core = torch.zeros(volume.shape, dtype=torch.bool, device=volume.device)
    if given.begin_with == "density":
        core = mask_core(volume, pixel_size_angstrom, shape)
    drawn = with_solids(core, pixel_size_angstrom, [_solid(one) for one in edits.solids])
    if not drawn.any():
        raise InputError("the mask is empty: all was taken away, or lies outside of the map; draw less away")
    _report_drawing(job, core, drawn, edits)
    job.progress(0.6, "edge")
    mask = soft_mask(drawn, pixel_size_angstrom, shape)
    write_mrc(job.out / "mask.mrc", mask.cpu().numpy(), pixel_size_angstrom)
    job.metrics(
        mask_fraction=float(mask.mean()),
        mask_volume_nm3=float(mask.sum()) * pixel_size_angstrom**3 / 1000,
        box_size_px=volume.shape[0],
        pixel_size_angstrom=pixel_size_angstrom,
    )
    plot_mask(job.plots / "mask.png", volume.cpu().numpy(), mask.cpu().numpy())
    job.progress(1.0)


def _read_map(job: JobContext) -> tuple[Tensor, float]:
    path = job.inputs["input"]
    header = read_mrc_header(path)
    require_cube(header.shape_zyx, path)
    require_resources(JOB_TYPE.forecast(job.parameters, Facts(box_size_px=header.shape_zyx[0])), job.out)
    array, pixel_size_angstrom = read_mrc(path)
    require_pixel_size(pixel_size_angstrom, f"header of {path}")
    if not np.isfinite(array).all():
        raise InputError(
            f"{path}: {int((~np.isfinite(array)).sum())} voxels are not finite; make the map again"
        )
    return torch.tensor(array, dtype=torch.float32, device=job.device), pixel_size_angstrom


def _threshold(job: JobContext, volume: Tensor, pixel_size_angstrom: float) -> float | None:
    given: MakeMaskParameters = job.parameters
    if given.threshold is not None or given.begin_with == "nothing":
        return given.threshold
    chosen = density_threshold(low_pass(volume, given.low_pass_angstrom, pixel_size_angstrom))
    job.decision("threshold", f"{chosen:.4g}", "tells the low-passed map from its solvent")
    return chosen


def _solid(drawn: DrawnSolid) -> Solid:
    return Solid(
        center_xyz_angstrom=drawn.center_xyz_angstrom,
        radius_angstrom=drawn.radius_angstrom,
        adds=drawn.adds,
        axis=drawn.axis if drawn.kind == "cylinder" else None,
        length_angstrom=drawn.length_angstrom or math.inf,
    )


def _report_drawing(job: JobContext, core: Tensor, drawn: Tensor, edits: MaskEdits) -> None:
    job.metrics(shapes=len(edits.solids))
    if edits.solids:
        more, less = int((drawn & ~core).sum()), int((core & ~drawn).sum())
        job.decision("drawn by hand", edits.summary(), f"{more:,} voxels more, {less:,} voxels less")
