"""Post-processing: reads half maps, writes the mask, the sharpened map and the corrected FSC."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cryocloud.catalog.base import Facts
from cryocloud.catalog.types.postprocess import JOB_TYPE
from cryocloud.compute.context import JobContext
from cryocloud.engine.diagnostics import ConicalFsc, conical_fsc, orientation_coverage
from cryocloud.engine.errors import InputError
from cryocloud.engine.fourier import fsc, low_pass, resolution_angstrom
from cryocloud.engine.geometry import rotation_from_euler, symmetry_operators
from cryocloud.engine.io.mrc import read_mrc, read_mrc_header, write_mrc
from cryocloud.engine.io.name_gate import is_readable_file
from cryocloud.engine.io.star import write_star
from cryocloud.engine.io.tables import read_particles
from cryocloud.engine.masking import (
    FscCurves,
    MaskShape,
    correlate_half_maps,
    density_threshold,
    mask_from_map,
)
from cryocloud.engine.postprocess import GuinierPlot, guinier_plot, sharpen
from cryocloud.jobs.kit.half_map_fsc import FSC_THRESHOLD, fsc_table, plot_fsc
from cryocloud.jobs.kit.plots import Curve, Mark, plot_curves, plot_mask, plot_orthogonal_slices
from cryocloud.jobs.kit.preflight import (
    pixel_sizes_differ,
    require_cube,
    require_equal_shapes,
    require_pixel_size,
    require_resources,
)
from cryocloud.jobs.kit.resolution import report_pixel_limit

HALF_MAPS = ("half1.mrc", "half2.mrc")


@dataclass(frozen=True)
class HalfMaps:
    """Two independent maps on the job's device."""

    first: Tensor
    second: Tensor
    pixel_size_angstrom: float

    @property
    def mean(self) -> Tensor:
        return (self.first + self.second) / 2

    @property
    def box_size_px(self) -> int:
        return self.first.shape[0]

    def resolution(self, curve: Tensor, threshold: float = FSC_THRESHOLD) -> float:
        return resolution_angstrom(curve, threshold, self.box_size_px, self.pixel_size_angstrom)


def run(job: JobContext) -> None:
    """Mask, correlate, sharpen; takes seconds, so an interrupted run starts over."""
    given = job.parameters
    maps = _read_half_maps(job)
    job.progress(0.1, "mask")
    mask = _read_mask(job, maps) if "mask" in job.inputs else _cut_mask(job, maps)
    job.progress(0.3, "FSC")
    generator = torch.Generator().manual_seed(job.seed)
    curves = correlate_half_maps(
        maps.first, maps.second, mask, generator, randomize_below_fsc=given.randomize_below_fsc
    )
    resolution = maps.resolution(curves.corrected)
    job.progress(0.6, "sharpening")
    guinier = guinier_plot(
        maps.mean * mask,
        curves.corrected,
        maps.pixel_size_angstrom,
        resolution_angstrom=resolution,
        from_angstrom=given.guinier_from_angstrom,
    )
    b_factor = _b_factor(job, guinier, resolution)
    sharpened = sharpen(
        maps.mean,
        curves.corrected,
        maps.pixel_size_angstrom,
        b_factor_angstrom2=b_factor,
        low_pass_angstrom=given.low_pass_angstrom or resolution,
    )
    job.progress(0.8, "directions")
    last_shell = round(maps.box_size_px * maps.pixel_size_angstrom / resolution)
    cones = conical_fsc(maps.first * mask, maps.second * mask, r_max_px=last_shell + 3)
    _write(job, maps, mask, sharpened)
    _write_fsc(job, maps, curves, guinier)
    _report(job, maps, curves, mask)
    job.metrics(b_factor_angstrom2=b_factor, directional_fsc_ratio=cones.area_ratio())
    _report_views(job)
    _plot(job, maps, curves, guinier, cones)
    _plot_slices(job, sharpened, mask, resolution)


def _read_half_maps(job: JobContext) -> HalfMaps:
    folder = job.inputs["input"]
    paths = [folder / name for name in HALF_MAPS]
    for path in paths:
        if not is_readable_file(path):
            raise InputError(
                f"{path}: no such file; give the folder of a refinement with {' and '.join(HALF_MAPS)}"
            )
    facts = Facts(box_size_px=max(read_mrc_header(paths[0]).shape_zyx))
    require_resources(JOB_TYPE.forecast(job.parameters, facts), job.out)
    volumes, pixel_sizes = zip(*(_read_map(job, path) for path in paths), strict=True)
    require_equal_shapes(
        (str(path), tuple(volume.shape)) for path, volume in zip(paths, volumes, strict=True)
    )
    require_pixel_size(pixel_sizes[0], f"header of {paths[0]}")
    if pixel_sizes_differ(*pixel_sizes):
        raise InputError(
            f"{folder}: pixel sizes of the half maps differ ({pixel_sizes[0]:g}, {pixel_sizes[1]:g} Å)"
        )
    if torch.equal(*volumes):
        raise InputError(f"{folder}: the two half maps are the same map; their FSC would be 1 everywhere")
    return HalfMaps(volumes[0], volumes[1], pixel_sizes[0])


def _read_map(job: JobContext, path: Path) -> tuple[Tensor, float]:
    array, pixel_size_angstrom = read_mrc(path)
    require_cube(array.shape, path)
    if not np.isfinite(array).all():
        raise InputError(
            f"{path}: {int((~np.isfinite(array)).sum())} voxels are not finite; make the map again"
        )
    return torch.tensor(array, device=job.device), pixel_size_angstrom


def _read_mask(job: JobContext, maps: HalfMaps) -> Tensor:
    path = job.inputs["mask"]
    mask, pixel_size_angstrom = _read_map(job, path)
    require_equal_shapes([(HALF_MAPS[0], tuple(maps.first.shape)), (str(path), tuple(mask.shape))])
    if pixel_sizes_differ(pixel_size_angstrom, maps.pixel_size_angstrom):
        raise InputError(
            f"{path}: pixel size {pixel_size_angstrom:g} Å, but the half maps have {maps.pixel_size_angstrom:g} Å"
        )
    low, high = float(mask.min()), float(mask.max())
    if low < -0.01 or high > 1.01 or high <= 0:
        raise InputError(
            f"{path}: values from {low:g} to {high:g}; a mask goes from 0 (solvent) to 1 (particle)"
        )
    return mask.clamp(0, 1)


def _cut_mask(job: JobContext, maps: HalfMaps) -> Tensor:
    given = job.parameters
    unmasked = maps.resolution(fsc(maps.first, maps.second))
    low_pass_angstrom = max(given.mask_low_pass_angstrom, unmasked)
    if low_pass_angstrom > given.mask_low_pass_angstrom:
        job.decision("mask low-pass", f"{low_pass_angstrom:.1f} Å", "the unmasked half maps agree no further")
    threshold = given.mask_threshold
    if threshold is None:
        threshold = density_threshold(low_pass(maps.mean, low_pass_angstrom, maps.pixel_size_angstrom))
        why = "three sigma of the solvent or 0.3 of the dense part, whichever is more"
        job.decision("mask threshold", f"{threshold:.4g}", why)
    shape = MaskShape(
        low_pass_angstrom=low_pass_angstrom,
        threshold=threshold,
        extension_angstrom=given.mask_extension_angstrom,
        edge_angstrom=given.mask_edge_angstrom,
    )
    return mask_from_map(maps.mean, maps.pixel_size_angstrom, shape)


def _b_factor(job: JobContext, guinier: GuinierPlot, resolution: float) -> float:
    given: float | None = job.parameters.b_factor_angstrom2
    if given is not None:
        return given
    measured = guinier.b_factor_angstrom2
    if measured is None:
        start = job.parameters.guinier_from_angstrom
        why = f"{resolution:.1f} Å leaves too few shells beyond {start:g} Å to fit a line"
        job.decision("sharpening B-factor", "0 Å²", why)
        return 0.0
    job.decision("sharpening B-factor", f"{measured:.0f} Å²", "4 times the slope of the Guinier plot")
    return measured


def _write(job: JobContext, maps: HalfMaps, mask: Tensor, sharpened: Tensor) -> None:
    volumes = {"mask": mask, "map_sharpened": sharpened, "map_sharpened_masked": sharpened * mask}
    for name, volume in volumes.items():
        write_mrc(job.out / f"{name}.mrc", volume.cpu().numpy(), maps.pixel_size_angstrom)


def _write_fsc(job: JobContext, maps: HalfMaps, curves: FscCurves, guinier: GuinierPlot) -> None:
    table = fsc_table(curves, maps.box_size_px * maps.pixel_size_angstrom)
    shown = torch.isfinite(guinier.log_weighted)
    lines = pd.DataFrame(
        {
            "rlnResolutionSquared": guinier.inverse_d2[shown].cpu().numpy(),
            "rlnLogAmplitudesOriginal": guinier.log_amplitude[shown].cpu().numpy(),
            "rlnLogAmplitudesWeighted": guinier.log_weighted[shown].cpu().numpy(),
        }
    )
    write_star(job.out / "fsc.star", {"fsc": table, "guinier": lines})


def _report(job: JobContext, maps: HalfMaps, curves: FscCurves, mask: Tensor) -> None:
    resolution = maps.resolution(curves.corrected)
    unmasked = maps.resolution(curves.unmasked)
    job.metrics(
        resolution_angstrom=resolution,
        fsc_0_5_angstrom=maps.resolution(curves.corrected, 0.5),
        resolution_unmasked_angstrom=unmasked,
        resolution_masked_angstrom=maps.resolution(curves.masked),
        randomized_from_angstrom=maps.box_size_px
        * maps.pixel_size_angstrom
        / max(curves.randomized_from_shell, 1),
        mask_fraction=float(mask.mean()),
    )
    limit = report_pixel_limit(
        job, resolution, box_size_px=maps.box_size_px, pixel_size_angstrom=maps.pixel_size_angstrom
    )
    job.log(f"FSC 0.143 at {resolution:.2f} Å (corrected{limit}), {unmasked:.2f} Å without mask")
    if resolution > unmasked * 1.02:
        job.log("the mask makes the resolution worse: it probably cuts into the particle; extend it")


def _report_views(job: JobContext) -> None:
    star = job.inputs["input"] / "particles.star"
    if not is_readable_file(star):
        return
    rows = read_particles(star).particles
    labels = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
    if not all(label in rows for label in labels):
        return
    angles = (torch.tensor(rows[label].to_numpy(dtype=np.float64)) for label in labels)
    coverage = orientation_coverage(rotation_from_euler(*angles), symmetry_operators(job.parameters.symmetry))
    job.metrics(
        sampling_compensation_factor=coverage.sampling_compensation_factor,
        unseen_directions_fraction=coverage.unseen_fraction,
    )


def _plot(
    job: JobContext, maps: HalfMaps, curves: FscCurves, guinier: GuinierPlot, cones: ConicalFsc
) -> None:
    resolution = maps.resolution(curves.corrected)
    frequency = np.arange(len(curves.unmasked)) / (maps.box_size_px * maps.pixel_size_angstrom)
    box_angstrom = maps.box_size_px * maps.pixel_size_angstrom
    plot_fsc(job.plots / "fsc.png", curves, box_angstrom, title=f"{resolution:.2f} Å at FSC 0.143")
    cone_curves = cones.curve.cpu().numpy()[:, 1:]
    across = frequency[1 : cone_curves.shape[1] + 1]
    plot_curves(
        job.plots / "directional_fsc.png",
        [
            Curve(across, cone_curves.max(0), "best direction"),
            Curve(across, np.median(cone_curves, 0), "median"),
            Curve(across, cone_curves.min(0), "worst direction"),
        ],
        x_label="resolution",
        y_label="masked FSC in a cone of 20°",
        title=f"Evenness of directions: {cones.area_ratio():.2f} (1 = even)",
        marks=[Mark(FSC_THRESHOLD, "0.143", axis="y"), Mark(1 / resolution, f"{resolution:.2f} Å")],
        x_is_frequency=True,
    )
    _plot_guinier(job.plots / "guinier.png", guinier)


def _plot_guinier(path: Path, guinier: GuinierPlot) -> None:
    x = guinier.inverse_d2.cpu().numpy()
    weighted = guinier.log_weighted.cpu().numpy()
    shown = np.isfinite(weighted)
    curves = [
        Curve(x, guinier.log_amplitude.cpu().numpy(), "masked map"),
        Curve(x[shown], weighted[shown], "with FSC weight"),
    ]
    title = "Guinier plot: too few shells to fit"
    if guinier.slope is not None and guinier.intercept is not None:
        ends = x[guinier.fitted.cpu().numpy()][[0, -1]]
        line = guinier.intercept + guinier.slope * ends
        curves.append(Curve(ends, line, "fit", color="#444444", dashed=True))
        title = f"Guinier plot: B = {guinier.b_factor_angstrom2:.0f} Å²"
    plot_curves(path, curves, x_label="1 / d² (Å⁻²)", y_label="ln(mean amplitude)", title=title)


def _plot_slices(job: JobContext, sharpened: Tensor, mask: Tensor, resolution: float) -> None:
    volume = sharpened.cpu().numpy()
    plot_orthogonal_slices(job.plots / "slices.png", volume, title=f"sharpened map, {resolution:.2f} Å")
    plot_mask(job.plots / "mask.png", volume, mask.cpu().numpy())
