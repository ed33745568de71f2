"""Map against model: pose, FSC, and the pixel size at which both agree best."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cryocloud.catalog.base import Facts
from cryocloud.catalog.types.map_to_model import JOB_TYPE
from cryocloud.compute.context import JobContext
from cryocloud.engine.alignment.volumes import VolumeAlignment, align_volumes, refine_volume_alignment
from cryocloud.engine.errors import InputError
from cryocloud.engine.fourier import (
    fsc,
    low_pass,
    resample_volume,
    resolution_angstrom,
    rfftn,
    shell_average,
    shell_index,
)
from cryocloud.engine.geometry import symmetry_operators
from cryocloud.engine.io.atomic_model import read_atomic_model
from cryocloud.engine.io.mrc import read_mrc, read_mrc_header, write_mrc
from cryocloud.engine.io.star import write_star
from cryocloud.engine.masking import mask_from_map
from cryocloud.engine.postprocess import (
    MagnificationFit,
    PlacedModel,
    fit_magnification,
    model_fsc,
    place_model,
)
from cryocloud.engine.simulate.density import density_map
from cryocloud.jobs.kit.plots import Curve, Mark, draw_image, panels, plot_curves
from cryocloud.jobs.kit.preflight import require_cube, require_pixel_size, require_resources

MODEL_SUFFIXES = (".pdb", ".ent", ".cif", ".mmcif", ".gz")
FSC_THRESHOLD = 0.5
EMPTY_POWER = 1e-8


@dataclass(frozen=True)
class Agreement:
    """FSC with the model at one pixel size, shells 0 .. D//2 - 1."""

    scale: float
    unmasked: Tensor
    masked: Tensor


def run(job: JobContext) -> None:
    """Takes a minute at most, so an interrupted run starts over."""
    given = job.parameters
    volume, pixel = _read_map(job)
    operators = symmetry_operators(given.symmetry)
    model = _model_map(job, volume.shape[0], pixel).to(volume.device)
    job.progress(0.2, "pose")
    alignment = _find_pose(job, model, volume, pixel)
    placed = place_model(model, alignment)
    mask = mask_from_map(placed.volume(), pixel)
    job.progress(0.6, "pixel size")
    fit = _fit_pixel_size(job, volume * mask, placed, pixel, float(mask.mean()) / len(operators))
    scales = [1.0] if fit is None else [1.0, fit.best_scale]
    agreements = [_agreement(volume, placed, mask, scale) for scale in scales]
    job.progress(0.9, "report")
    _report(job, agreements, alignment, pixel)
    if fit is not None:
        _report_pixel_size(job, fit, pixel)
    write_mrc(job.out / "model_placed.mrc", placed.volume(scales[-1]).cpu().numpy(), pixel)
    _write_fsc(job, agreements, pixel)
    _plot(job, agreements, fit, pixel)
    detail_angstrom = volume.shape[0] * pixel / _last_shell(volume)
    _plot_slices(job, volume, low_pass(placed.volume(scales[-1]), detail_angstrom, pixel))


def _read_map(job: JobContext) -> tuple[Tensor, float]:
    path = job.inputs["map"]
    box = max(read_mrc_header(path).shape_zyx)
    require_resources(JOB_TYPE.forecast(job.parameters, Facts(box_size_px=box)), job.out)
    array, pixel_size_angstrom = read_mrc(path)
    require_cube(array.shape, path)
    require_pixel_size(pixel_size_angstrom, f"header of {path}")
    if not np.isfinite(array).all() or not array.any():
        raise InputError(
            f"{path}: holds no density (zeros or values that are not finite); make the map again"
        )
    return torch.tensor(array, device=job.device), pixel_size_angstrom


def _model_map(job: JobContext, box_size_px: int, pixel_size_angstrom: float) -> Tensor:
    """Map of the model at the nominal pixel size; atoms are centered on their mean first."""
    path = job.inputs["model"]
    if path.suffix.lower() not in MODEL_SUFFIXES:
        array, model_pixel = read_mrc(path)
        require_cube(array.shape, path)
        require_pixel_size(model_pixel, f"header of {path}")
        return resample_volume(torch.tensor(array), model_pixel, pixel_size_angstrom, box_size_px)
    model = read_atomic_model(path)
    centered = model.positions_angstrom - model.positions_angstrom.mean(0)
    return density_map(
        replace(model, positions_angstrom=centered),
        box_size_px=box_size_px,
        pixel_size_angstrom=pixel_size_angstrom,
    )


def _find_pose(job: JobContext, model: Tensor, volume: Tensor, pixel: float) -> VolumeAlignment:
    """Search at low resolution; a map in its point group's standard frame may also fit as it stands."""
    given = job.parameters
    coarse = max(given.align_resolution_angstrom, 20.0)
    starts = [
        align_volumes(
            model,
            volume,
            pixel_size_angstrom=pixel,
            resolution_angstrom=coarse,
            search_hand=given.search_hand,
        )
    ]
    if given.symmetry != "C1":
        eye, zero = torch.eye(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
        hands = (False, True) if given.search_hand else (False,)
        starts += [VolumeAlignment(eye, zero, mirrored, 0.0) for mirrored in hands]
    fine = [
        refine_volume_alignment(
            model,
            volume,
            start,
            pixel_size_angstrom=pixel,
            resolution_angstrom=given.align_resolution_angstrom,
        )
        for start in starts
    ]
    best = max(fine, key=lambda found: found.correlation)
    job.log(f"pose: correlation {best.correlation:.3f} at {given.align_resolution_angstrom:g} Å")
    if best.mirrored:
        job.log(
            "the mirror image of the model fits better: the map has the wrong hand, or hand cannot be seen in it"
        )
    return best


def _fit_pixel_size(
    job: JobContext, masked: Tensor, placed: PlacedModel, pixel: float, independent_fraction: float
) -> MagnificationFit | None:
    given = job.parameters
    box = masked.shape[0]
    first = max(2, round(box * pixel / given.fit_from_angstrom))
    last = _last_shell(masked)
    if last < first + 3:
        why = f"the map ends at {box * pixel / last:.1f} Å, too close to {given.fit_from_angstrom:g} Å"
        job.decision("pixel size", "not calibrated", why)
        return None
    try:
        return fit_magnification(
            masked,
            placed,
            shells=(first, last),
            independent_fraction=independent_fraction,
            reach=given.pixel_size_reach,
        )
    except InputError as refusal:
        job.decision("pixel size", "not calibrated", str(refusal))
        return None


def _last_shell(volume: Tensor) -> int:
    """The last shell that a low-passed map still has something in."""
    box = volume.shape[0]
    power = shell_average(rfftn(volume).abs() ** 2, shell_index(box, 3, volume.device), box // 2)
    return int((power > EMPTY_POWER * power.max()).nonzero().max())


def _agreement(volume: Tensor, placed: PlacedModel, mask: Tensor, scale: float) -> Agreement:
    masked = fsc(volume * mask, placed.volume(scale) * mask)[: volume.shape[0] // 2]
    return Agreement(scale, model_fsc(volume, placed, scale), masked)


def _resolution(curve: Tensor, agreement: Agreement, pixel: float) -> float:
    return resolution_angstrom(curve, FSC_THRESHOLD, 2 * len(curve), pixel * agreement.scale)


def _report(job: JobContext, agreements: list[Agreement], alignment: VolumeAlignment, pixel: float) -> None:
    nominal, best = agreements[0], agreements[-1]
    job.metrics(
        fsc_0_5_angstrom=_resolution(best.unmasked, best, pixel),
        fsc_0_5_masked_angstrom=_resolution(best.masked, best, pixel),
        fsc_0_5_nominal_angstrom=_resolution(nominal.unmasked, nominal, pixel),
        fsc_0_5_masked_nominal_angstrom=_resolution(nominal.masked, nominal, pixel),
        correlation=alignment.correlation,
        mirrored=float(alignment.mirrored),
    )
    job.log(
        f"FSC 0.5 with the model at {_resolution(best.unmasked, best, pixel):.2f} Å, "
        f"masked {_resolution(best.masked, best, pixel):.2f} Å"
    )


def _report_pixel_size(job: JobContext, fit: MagnificationFit, pixel: float) -> None:
    job.metrics(
        pixel_size_calibrated_angstrom=fit.best_scale * pixel,
        pixel_size_error_angstrom=fit.error * pixel,
    )
    change = (
        f"{fit.best_scale - 1:+.2%} of the nominal {pixel:.4g} Å; the error counts noise only, "
        "not how true to size the model is"
    )
    job.decision("pixel size", f"{fit.best_scale * pixel:.4f} ± {fit.error * pixel:.4f} Å", change)


def _write_fsc(job: JobContext, agreements: list[Agreement], pixel: float) -> None:
    n = len(agreements[0].unmasked)
    blocks = {}
    for name, agreement in zip(("nominal", "calibrated"), agreements, strict=False):
        frequency = np.arange(n) / (2 * n * pixel * agreement.scale)
        blocks[f"fsc_{name}"] = pd.DataFrame(
            {
                "rlnSpectralIndex": np.arange(n),
                "rlnResolution": frequency,
                "rlnAngstromResolution": np.append(999.0, 1 / frequency[1:]),
                "rlnFourierShellCorrelationUnmaskedMaps": agreement.unmasked.cpu().numpy(),
                "rlnFourierShellCorrelationMaskedMaps": agreement.masked.cpu().numpy(),
            }
        )
    write_star(job.out / "fsc.star", blocks)


def _plot(job: JobContext, agreements: list[Agreement], fit: MagnificationFit | None, pixel: float) -> None:
    curves = []
    for agreement, style in zip(agreements[::-1], (False, True), strict=False):
        frequency = np.arange(len(agreement.unmasked)) / (
            2 * len(agreement.unmasked) * pixel * agreement.scale
        )
        for name, curve in (("masked", agreement.masked), ("not masked", agreement.unmasked)):
            label = f"{name}, pixel {pixel * agreement.scale:.4g} Å"
            curves.append(Curve(frequency[1:], curve.cpu().numpy()[1:], label, dashed=style))
    best = agreements[-1]
    resolution = _resolution(best.unmasked, best, pixel)
    plot_curves(
        job.plots / "fsc.png",
        curves,
        x_label="resolution",
        y_label="FSC with the model",
        title=f"{resolution:.2f} Å at FSC 0.5",
        marks=[Mark(FSC_THRESHOLD, "0.5", axis="y"), Mark(1 / resolution, f"{resolution:.2f} Å")],
        x_is_frequency=True,
    )
    if fit is not None:
        size = fit.best_scale * pixel
        plot_curves(
            job.plots / "pixel_size.png",
            [Curve((fit.scale * pixel).numpy(), fit.log_likelihood.numpy(), "agreement with the model")],
            x_label="pixel size (Å)",
            y_label="log-likelihood, 0 at best",
            title=f"Pixel size {size:.4f} ± {fit.error * pixel:.4f} Å",
            marks=[Mark(pixel, "nominal"), Mark(size, "best", color="#c8553d")],
        )


def _plot_slices(job: JobContext, volume: Tensor, model: Tensor) -> None:
    with panels(
        job.plots / "slices.png", 2, 3, size_in=(3.0, 3.2), title="map (above) and model at its detail"
    ) as axes:
        for row, density in enumerate((volume.cpu().numpy(), model.cpu().numpy())):
            middle = density.shape[0] // 2
            views = (density[middle], density[:, middle], density[:, :, middle])
            for cell, name, picture in zip(axes[row], ("xy", "xz", "yz"), views, strict=True):
                draw_image(cell, picture, title=name)
