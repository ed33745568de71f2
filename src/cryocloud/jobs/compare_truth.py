"""How near a result came to the truth that it was simulated from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryocloud.catalog.base import Facts
from cryocloud.catalog.types.compare_truth import JOB_TYPE, CompareTruthParameters
from cryocloud.compute.context import JobContext
from cryocloud.engine.errors import InputError
from cryocloud.engine.fourier import resolution_angstrom
from cryocloud.engine.geometry import rotation_from_euler, symmetry_operators
from cryocloud.engine.io.mrc import read_mrc, read_mrc_header, write_mrc
from cryocloud.engine.io.name_gate import find_named_file, is_readable_file
from cryocloud.engine.io.star import read_star, write_star
from cryocloud.engine.io.tables import optics_of_rows
from cryocloud.engine.simulate.comparison import (
    MapComparison,
    Matches,
    PoseErrors,
    compare_maps,
    match_names,
    match_places,
    pose_errors,
)
from cryocloud.jobs.kit.plots import Curve, Mark, draw_histogram, panels, plot_curves, plot_orthogonal_slices
from cryocloud.jobs.kit.preflight import require_cube, require_pixel_size, require_resources

MAP_FILES = ("map.mrc", "volume_class1.mrc", "map_sharpened.mrc")
TABLE_FILES = ("particles.star", "picks.star")
ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
ORIGINS = ("rlnOriginXAngst", "rlnOriginYAngst")
COORDINATES = ("rlnCoordinateX", "rlnCoordinateY")
Float = NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """Particles or picks of a STAR file."""

    optics: pd.DataFrame
    rows: pd.DataFrame
    path: Path

    def has(self, *labels: str) -> bool:
        return all(label in self.rows for label in labels)

    def numbers(self, labels: tuple[str, ...]) -> Float:
        """Columns as float64 [n, labels]; zeros where the table has none of them."""
        if not self.has(*labels):
            return np.zeros((len(self.rows), len(labels)))
        return self.rows[list(labels)].to_numpy(dtype=np.float64, copy=True)

    def micrograph_px(self) -> Float:
        """Pixel size of the micrographs, of each row."""
        labels = ("rlnMicrographPixelSize", "rlnMicrographOriginalPixelSize", "rlnImagePixelSize")
        label = next((name for name in labels if name in self.optics), labels[0])
        return optics_of_rows(self.optics, self.rows, label)

    def centers_px(self) -> Float:
        """Places of the objects in the micrographs [n, 2]: a positive origin moves the image, so minus the object."""
        return self.numbers(COORDINATES) - self.numbers(ORIGINS) / self.micrograph_px()[:, None]

    def rotations(self) -> Tensor:
        return rotation_from_euler(*torch.from_numpy(self.numbers(ANGLES)).T)


@dataclass(frozen=True)
class LaidMap:
    """The map laid on the truth, and its pixel size."""

    compared: MapComparison
    pixel_size_angstrom: float


def run(job: JobContext) -> None:
    """Compare whatever is there to be compared: the map, the poses, the places."""
    found_map, found = _found_map(job), _found_table(job)
    laid = None
    if found_map is not None and "map" in job.inputs:
        laid = _compare_maps(job, found_map)
    job.progress(0.7, "particles")
    truth = _table(job.inputs["truth"]) if "truth" in job.inputs else None
    if found is not None and truth is not None:
        _compare_particles(job, found, truth, laid)
    elif laid is None:
        raise InputError(
            f"{job.inputs['input']}: nothing to compare; a map needs --map with the true map, particles or picks "
            "need --truth with the truth.star of the simulation"
        )
    job.progress(1.0)


def _found_map(job: JobContext) -> Path | None:
    path = job.inputs["input"]
    if path.is_dir():
        return next((path / name for name in MAP_FILES if is_readable_file(path / name)), None)
    return path if path.suffix in (".mrc", ".map") else None


def _found_table(job: JobContext) -> Table | None:
    path = job.inputs["input"]
    if path.is_dir():
        file = next((path / name for name in TABLE_FILES if is_readable_file(path / name)), None)
        return None if file is None else _table(file)
    return _table(path) if path.suffix == ".star" else None


def _table(path: Path) -> Table:
    blocks = read_star(path)
    rows = blocks.get("particles", next((t for t in blocks.values() if "rlnCoordinateX" in t), None))
    if rows is None or "optics" not in blocks:
        raise InputError(
            f"{path}: needs the tables data_optics and data_particles; give a particles.star or picks.star"
        )
    return Table(blocks["optics"], rows, path)


def _read_map(path: Path) -> tuple[Tensor, float]:
    array, pixel_size_angstrom = read_mrc(path)
    require_cube(array.shape, path)
    require_pixel_size(pixel_size_angstrom, str(path))
    return torch.tensor(array), pixel_size_angstrom


def _compare_maps(job: JobContext, path: Path) -> LaidMap:
    job.progress(0.0, "maps")
    volume, pixel_size = _read_map(path)
    truth, truth_pixel_size = _read_map(job.inputs["map"])
    box = int(volume.shape[-1])
    require_resources(JOB_TYPE.forecast(job.parameters, Facts(box_size_px=box)), job.out)
    compared = compare_maps(volume.to(job.device), pixel_size, truth.to(job.device), truth_pixel_size)
    write_mrc(job.out / "map_aligned.mrc", compared.aligned.cpu().numpy(), pixel_size)
    frequency = np.arange(box // 2 + 1) / (box * pixel_size)
    curves = {"unmasked": compared.fsc_unmasked, "masked": compared.fsc_masked}
    write_star(
        job.out / "fsc.star",
        {
            "fsc": pd.DataFrame(
                {
                    "rlnSpectralIndex": np.arange(box // 2 + 1),
                    "rlnResolution": frequency,
                    "rlnFourierShellCorrelationUnmaskedMaps": compared.fsc_unmasked.cpu().numpy(),
                    "rlnFourierShellCorrelationMaskedMaps": compared.fsc_masked.cpu().numpy(),
                }
            )
        },
    )
    reached = {name: resolution_angstrom(curve.cpu(), 0.5, box, pixel_size) for name, curve in curves.items()}
    plot_curves(
        job.plots / "fsc_truth.png",
        [Curve(frequency, curve.cpu().numpy(), name) for name, curve in curves.items()],
        x_label="resolution",
        y_label="FSC with the truth",
        title="Map against the true map",
        marks=[Mark(0.5, f"0.5: {reached['unmasked']:.2f} Å", axis="y")],
        x_is_frequency=True,
    )
    plot_orthogonal_slices(
        job.plots / "aligned.png", compared.aligned.cpu().numpy(), title="Map, laid on the truth"
    )
    plot_orthogonal_slices(job.plots / "truth.png", compared.truth.cpu().numpy(), title="Truth")
    numbers = {
        "fsc_truth_0.5_angstrom": reached["unmasked"],
        "fsc_truth_masked_0.5_angstrom": reached["masked"],
        "cc_20A": compared.low_pass_correlation,
        "hand_flipped": float(compared.alignment.mirrored),
    }
    job.metrics(**numbers)
    return LaidMap(compared, pixel_size)


def _compare_particles(job: JobContext, found: Table, truth: Table, laid: LaidMap | None) -> None:
    by_name = found.has("rlnImageName") and truth.has("rlnImageName")
    if by_name:
        names = (table.rows["rlnImageName"].tolist() for table in (found, truth))
        matches = match_names(*names)
    else:
        matches = _match_places(job, found, truth)
    if len(matches) == 0:
        raise InputError(
            f"{found.path}: none of {len(found.rows)} particles is one of the {len(truth.rows)} in {truth.path}; "
            "check that both belong to one simulation"
        )
    job.metrics(particles_matched=len(matches))
    if laid is not None and found.has(*ANGLES):
        _report_poses(job, _pose_errors(job.parameters, found, truth, matches, laid, by_name=by_name))


def _match_places(job: JobContext, found: Table, truth: Table) -> Matches:
    parameters: CompareTruthParameters = job.parameters
    for table in (found, truth):
        if not table.has("rlnMicrographName", *COORDINATES):
            raise InputError(
                f"{table.path}: has no places in micrographs (rlnMicrographName, rlnCoordinateX, Y)"
            )
    stems = [
        table.rows["rlnMicrographName"].map(lambda name: Path(str(name)).stem) for table in (found, truth)
    ]
    groups, _ = pd.factorize(pd.concat(stems, ignore_index=True))
    radius_px = parameters.match_radius_angstrom / float(truth.micrograph_px()[0])
    matches = match_places(
        found.centers_px(),
        groups[: len(found.rows)],
        truth.centers_px(),
        groups[len(found.rows) :],
        radius_px,
    )
    findable = np.isin(stems[1], stems[0]) & _away_from_border(parameters, found, truth)
    recalled = findable[matches.true].sum()
    job.metrics(
        recall=float(recalled / max(findable.sum(), 1)),
        precision=len(matches) / max(len(found.rows), 1),
        true_particles=int(findable.sum()),
    )
    return matches


def _away_from_border(parameters: CompareTruthParameters, found: Table, truth: Table) -> NDArray[np.bool_]:
    """True particles that can be extracted whole, as far as the micrographs' size is known."""
    pixel_size = float(truth.micrograph_px()[0])
    margin_angstrom = parameters.edge_margin_angstrom
    if margin_angstrom is None:
        known = {"rlnImageSize", "rlnImagePixelSize"} <= set(found.optics)
        box = found.optics.iloc[0]
        margin_angstrom = 0.5 * float(box["rlnImageSize"]) * float(box["rlnImagePixelSize"]) if known else 0.0
    inside = np.ones(len(truth.rows), dtype=bool)
    centers, margin_px = truth.centers_px(), margin_angstrom / pixel_size
    for name in truth.rows["rlnMicrographName"].unique():
        path = find_named_file(truth.path.parent, str(name))
        if path is None:
            continue
        height, width = read_mrc_header(path).shape_zyx[1:]
        rows = (truth.rows["rlnMicrographName"] == name).to_numpy()
        room = np.array([width, height]) - 1 - margin_px
        inside[rows] = ((centers[rows] >= margin_px) & (centers[rows] <= room)).all(1)
    return inside


def _pose_errors(
    parameters: CompareTruthParameters,
    found: Table,
    truth: Table,
    matches: Matches,
    laid: LaidMap,
    *,
    by_name: bool,
) -> PoseErrors:
    """Errors in degrees and Angstrom."""
    places = [
        -table.numbers(ORIGINS) if by_name else table.centers_px() * table.micrograph_px()[:, None]
        for table in (found, truth)
    ]
    alignment = laid.compared.alignment
    in_angstrom = replace(alignment, shift_px=alignment.shift_px * laid.pixel_size_angstrom)
    return pose_errors(
        found.rotations()[matches.found],
        torch.from_numpy(-places[0][matches.found]),
        truth.rotations()[matches.true],
        torch.from_numpy(-places[1][matches.true]),
        in_angstrom,
        symmetry_operators(parameters.symmetry),
    )


def _report_poses(job: JobContext, errors: PoseErrors) -> None:
    job.metrics(
        median_pose_error_deg=float(np.median(errors.angle_deg)),
        pose_error_90_percent_deg=float(np.percentile(errors.angle_deg, 90)),
        median_shift_error_angstrom=float(np.median(errors.shift)),
    )
    with panels(job.plots / "pose_errors.png", 1, 2, title=f"{len(errors.angle_deg)} particles") as axes:
        for cell, values, unit in (
            (axes[0, 0], errors.angle_deg, "orientation error (°)"),
            (axes[0, 1], errors.shift, "position error (Å)"),
        ):
            median = float(np.median(values))
            shown = np.minimum(values, np.percentile(values, 98))
            draw_histogram(cell, [("", shown)], x_label=unit, marks=[Mark(median, f"median {median:.2f}")])
