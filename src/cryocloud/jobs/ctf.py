"""CTF estimation of micrographs, with the evidence that curation needs."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray

from cryocloud.catalog.types.ctf import JOB_TYPE, CtfJobParameters
from cryocloud.compute.context import JobContext
from cryocloud.engine.ctf_estimation import (
    CtfEstimate,
    CtfSettings,
    MicroscopeOptics,
    SearchRange,
    estimate_ctf,
    rings_beside_model,
    squared_ctf_along_radius,
)
from cryocloud.engine.io.mrc import write_mrc
from cryocloud.engine.io.tables import (
    MicrographTables,
    optics_of_rows,
    write_micrographs,
)
from cryocloud.jobs.kit.items import Record, process_items, unique_stems
from cryocloud.jobs.kit.micrographs import MicrographList, list_micrographs, load_micrograph, report_outliers
from cryocloud.jobs.kit.plots import (
    COLORS,
    Curve,
    Mark,
    draw_curves,
    draw_histogram,
    draw_image,
    panels,
)
from cryocloud.jobs.kit.preflight import require_resources

BEYOND_THE_FIT = 1.15
OUTLIERS = "outliers"


@dataclass(frozen=True)
class Estimated:
    """A fit, and the gray level, spread and replaced pixels of its micrograph."""

    ctf: CtfEstimate
    optics: MicroscopeOptics
    mean: float
    deviation: float
    outliers: int


def run(job: JobContext) -> None:
    """Fit each micrograph and write ``micrographs.star`` and ``spectra/``."""
    micrographs = list_micrographs(job.inputs["input"])
    require_resources(JOB_TYPE.forecast(job.parameters, micrographs.facts()), job.out)
    optics = _optics(micrographs)
    parameters: CtfJobParameters = job.parameters
    settings = _settings(parameters)
    stems = unique_stems(micrographs.names)
    (job.out / "spectra").mkdir(exist_ok=True)
    torch.set_num_threads(1)

    def estimate(row: int) -> Estimated:
        image, outliers = load_micrograph(micrographs.path(row), job.device)
        fit = estimate_ctf(
            image,
            pixel_size_angstrom=float(micrographs.pixel_size_angstrom[row]),
            optics=optics[row],
            settings=settings,
        )
        return Estimated(fit, optics[row], float(image.mean()), float(image.std()), outliers)

    def keep(row: int, found: Estimated) -> Record:
        picture = rings_beside_model(found.ctf, found.optics).cpu().numpy()
        spectrum = f"spectra/{stems[row]}.mrc"
        write_mrc(job.out / spectrum, picture, found.ctf.spectrum.pixel_size_angstrom)
        if row < parameters.plot_count:
            _plot_fit(job.plots / f"ctf_{stems[row]}.png", stems[row], found.ctf, picture)
        return _record(found, spectrum) | {OUTLIERS: found.outliers}

    records = process_items(job, micrographs.names, estimate, keep)
    report_outliers(job, [record.pop(OUTLIERS) for record in records.values()], micrographs.facts())
    kept = micrographs.tables.select(np.array(list(records), dtype=np.int64))
    rows = _rows(records, parameters)
    write_micrographs(job.out / "micrographs.star", _with_columns(kept, rows, job.out))
    _plot_all(job.plots, rows)
    _report(job, rows)


def _optics(micrographs: MicrographList) -> list[MicroscopeOptics]:
    tables = micrographs.tables
    columns = [
        optics_of_rows(tables.optics, tables.micrographs, label)
        for label in ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast")
    ]
    return [MicroscopeOptics(float(kv), float(cs), float(q)) for kv, cs, q in zip(*columns, strict=True)]


def _settings(parameters: CtfJobParameters) -> CtfSettings:
    search = SearchRange(
        defocus_min_angstrom=parameters.defocus_min_angstrom,
        defocus_max_angstrom=parameters.defocus_max_angstrom,
        astigmatism_max_angstrom=parameters.astigmatism_max_angstrom,
        phase_shift_min_deg=parameters.phase_shift_min_deg,
        phase_shift_max_deg=parameters.phase_shift_max_deg,
    )
    return CtfSettings(
        coarsest_resolution_angstrom=parameters.resolution_min_angstrom,
        finest_resolution_angstrom=parameters.resolution_max_angstrom,
        spectrum_edge_px=parameters.spectrum_size_px,
        search=search,
        fit_phase_shift=parameters.phase_shift_max_deg > parameters.phase_shift_min_deg,
    )


def _record(found: Estimated, spectrum: str) -> Record:
    ctf = found.ctf
    return {
        "rlnDefocusU": round(ctf.defocus.defocus_u_angstrom, 2),
        "rlnDefocusV": round(ctf.defocus.defocus_v_angstrom, 2),
        "rlnDefocusAngle": round(ctf.defocus.defocus_angle_deg, 3),
        "rlnPhaseShift": round(ctf.defocus.phase_shift_deg % 180, 3),
        "rlnCtfAstigmatism": round(ctf.defocus.astigmatism_angstrom, 2),
        "rlnCtfMaxResolution": round(ctf.fit_resolution_angstrom, 3),
        "rlnCtfFigureOfMerit": round(ctf.figure_of_merit, 5),
        "rlnCtfIceRingDensity": round(ctf.ice_ring, 5),
        "rlnCtfImage": spectrum,
        "cryocloudWeakestDirectionSignal": round(ctf.directional_signal.weakest_to_strongest, 4),
        "cryocloudWeakestDirectionAngle": round(ctf.directional_signal.weakest_direction_deg, 1),
        "cryocloudIntensityMean": found.mean,
        "cryocloudIntensityDeviation": found.deviation,
    }


def _rows(records: dict[int, Record], parameters: CtfJobParameters) -> pd.DataFrame:
    rows = pd.DataFrame(list(records.values()))
    if parameters.phase_shift_max_deg == 0:
        rows = rows.drop(columns="rlnPhaseShift")
    return rows.drop(columns="rlnCtfIceRingDensity") if rows["rlnCtfIceRingDensity"].isna().any() else rows


def _with_columns(tables: MicrographTables, rows: pd.DataFrame, out: Path) -> MicrographTables:
    """The micrographs with the columns of ``rows``, of which file names count from ``out``."""
    # All names of a table count from one folder, that of the input.
    names = [os.path.relpath(out.resolve() / name, tables.folder.resolve()) for name in rows["rlnCtfImage"]]
    columns = {str(label): rows[label].to_numpy() for label in rows} | {
        "rlnCtfImage": pd.Series(names, dtype="str")
    }
    return replace(tables, micrographs=tables.micrographs.assign(**columns))


def _report(job: JobContext, rows: pd.DataFrame) -> None:
    mean_defocus = (rows["rlnDefocusU"] + rows["rlnDefocusV"]) / 2
    job.metrics(
        micrographs=len(rows),
        defocus_median_angstrom=float(mean_defocus.median()),
        defocus_min_angstrom=float(mean_defocus.min()),
        defocus_max_angstrom=float(mean_defocus.max()),
        astigmatism_median_angstrom=float(rows["rlnCtfAstigmatism"].median()),
        fit_resolution_median_angstrom=float(rows["rlnCtfMaxResolution"].median()),
        figure_of_merit_median=float(rows["rlnCtfFigureOfMerit"].median()),
    )


def _plot_fit(path: Path, name: str, ctf: CtfEstimate, picture: NDArray[np.float32]) -> None:
    defocus = ctf.defocus
    title = (
        f"{name}: defocus {defocus.defocus_u_angstrom:.0f} / {defocus.defocus_v_angstrom:.0f} Å at "
        f"{defocus.defocus_angle_deg:.0f}°, fit to {ctf.fit_resolution_angstrom:.1f} Å"
    )
    with panels(path, 1, 3, size_in=(4.6, 4.2), title=title) as axes:
        middle, shown = len(picture) // 2, _shown_radius_px(ctf)
        center = picture[middle - shown : middle + shown, middle - shown : middle + shown]
        draw_image(axes[0, 0], center, title="rings fitted (left), spectrum (right)", limits=(-1, 1))
        _draw_radial(axes[0, 1], ctf)
        score = Curve(ctf.landscape.defocus_angstrom.numpy(), ctf.landscape.score.numpy())
        draw_curves(
            axes[0, 2], [score], x_label="mean defocus (Å)", y_label="correlation", title="Search",
            marks=[Mark(defocus.mean_angstrom, "fit")],
        )  # fmt: skip


def _shown_radius_px(ctf: CtfEstimate) -> int:
    """Little more than the rings that were seen."""
    frequency_per_angstrom = BEYOND_THE_FIT / ctf.fit_resolution_angstrom
    wanted = round(frequency_per_angstrom / ctf.spectrum.step_per_angstrom)
    return int(np.clip(wanted, ctf.spectrum.edge_px // 8, ctf.spectrum.edge_px // 2))


def _draw_radial(axes: Axes, ctf: CtfEstimate) -> None:
    observed, model = (curve.numpy() for curve in squared_ctf_along_radius(ctf))
    s = ctf.radial.s_per_angstrom.numpy()
    shown = s <= max(BEYOND_THE_FIT / ctf.fit_resolution_angstrom, s[len(s) // 3])
    correlation = ctf.radial.correlation.numpy()
    curves = [
        Curve(s[shown], observed[shown], "spectrum", COLORS[6]),
        Curve(s[shown], model[shown], "CTF²", COLORS[0]),
        Curve(s[shown], correlation[shown], "correlation", COLORS[1]),
    ]
    draw_curves(
        axes, curves, x_label="resolution", y_label="", title="Equiphase average", x_is_frequency=True,
        marks=[Mark(1 / ctf.fit_resolution_angstrom, f"{ctf.fit_resolution_angstrom:.1f} Å")],
    )  # fmt: skip
    axes.set_ylim(-0.4, 1.9)
    axes.legend(fontsize=7, ncols=4, loc="upper center")


def _plot_all(folder: Path, rows: pd.DataFrame) -> None:
    mean_defocus = (rows["rlnDefocusU"] + rows["rlnDefocusV"]).to_numpy() / 2
    with panels(folder / "ctf_summary.png", 2, 2, title=f"CTF of {len(rows)} micrographs") as axes:
        for cell, values, label in (
            (axes[0, 0], mean_defocus, "mean defocus (Å)"),
            (axes[0, 1], rows["rlnCtfAstigmatism"].to_numpy(), "astigmatism (Å)"),
            (axes[1, 0], rows["rlnCtfMaxResolution"].to_numpy(), "fit resolution (Å)"),
            (axes[1, 1], rows["rlnCtfFigureOfMerit"].to_numpy(), "figure of merit"),
        ):
            draw_histogram(cell, [("", values)], x_label=label, y_label="micrographs")
