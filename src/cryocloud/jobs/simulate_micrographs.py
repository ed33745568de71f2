"""Micrographs or movies of a map's particles in ice, with their truth."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from cryocloud.catalog.base import Facts
from cryocloud.catalog.types.simulate_micrographs import JOB_TYPE, SimulateMicrographsParameters
from cryocloud.compute.context import JobContext
from cryocloud.engine.io.mrc import write_mrc
from cryocloud.engine.io.star import write_star
from cryocloud.engine.simulate.micrographs import MicrographImager, MicrographRecipe, MicrographTruth
from cryocloud.engine.simulate.movies import MotionRecipe, MotionTruth, draw_motion, movie_frames
from cryocloud.engine.simulate.objects import map_diameter_px
from cryocloud.jobs.kit.items import Record, process_items
from cryocloud.jobs.kit.plots import CircleGroup, plot_micrograph
from cryocloud.jobs.kit.preflight import require_resources
from cryocloud.jobs.kit.simulation import (
    angle_columns,
    defocus_columns,
    defocus_range,
    imaged_object,
    microscope,
    optics_table,
    views,
    write_truth,
)

DISTANCE_TO_DIAMETER = 1.05
SHOWN = 3


@dataclass(frozen=True)
class Simulated:
    """Image [h, w] or frames [f, h, w] of one micrograph, and what is in it."""

    pixels: NDArray[np.float32]
    truth: MicrographTruth
    motion: MotionTruth | None


def run(job: JobContext) -> None:
    """Write ``micrographs/*.mrc`` or ``movies/*.mrcs``, ``truth.star`` and ``truth.json``."""
    parameters: SimulateMicrographsParameters = job.parameters
    volume, pixel_size_angstrom = imaged_object(job)
    require_resources(JOB_TYPE.forecast(parameters, Facts(box_size_px=int(volume.shape[-1]))), job.out)
    if job.threads > 1:
        torch.set_num_threads(1)
    diameter_px = map_diameter_px(volume)
    imager = MicrographImager(volume, _recipe(job, diameter_px, pixel_size_angstrom), pixel_size_angstrom)
    is_movie = parameters.frames > 0
    pattern = "movies/movie_{:04d}.mrcs" if is_movie else "micrographs/mic_{:04d}.mrc"
    names = [pattern.format(number + 1) for number in range(parameters.micrographs)]
    (job.out / names[0]).parent.mkdir(exist_ok=True)

    def simulate(number: int) -> Simulated:
        truth = imager.truth(number)
        if not is_movie:
            return Simulated(imager.micrograph(number, truth).numpy(), truth, None)
        motion = draw_motion(imager, _motion(parameters), number)
        return Simulated(np.stack([*movie_frames(imager, number, truth, motion)]), truth, motion)

    def keep(number: int, made: Simulated) -> Record:
        write_mrc(job.out / names[number], made.pixels, pixel_size_angstrom, stack=is_movie)
        record = _record(made, parameters, names[number])
        if number < SHOWN:
            image = made.pixels.sum(0) if is_movie else made.pixels
            _plot(job.plots / f"{Path(names[number]).stem}.png", image, record, 0.5 * diameter_px)
        return record

    records = list(process_items(job, names, simulate, keep).values())
    _write_star(job, records, pixel_size_angstrom)
    described = [{key: value for key, value in record.items() if key != "particles"} for record in records]
    particles = sum(len(record["particles"]["rlnCoordinateX"]) for record in records)
    diameter_angstrom = diameter_px * pixel_size_angstrom
    write_truth(
        job.out / "truth.json",
        job,
        pixel_size_angstrom=pixel_size_angstrom,
        particle_diameter_angstrom=diameter_angstrom,
        contrast_scale=imager.contrast_scale,
        noise_variance=imager.noise_variance,
        micrographs=described,
    )
    job.metrics(
        micrographs=len(records),
        particles=particles,
        particle_diameter_angstrom=diameter_angstrom,
        electrons_per_px=imager.electrons_px,
        pixel_size_angstrom=pixel_size_angstrom,
        snr=parameters.snr,
    )


def _recipe(job: JobContext, diameter_px: float, pixel_size_angstrom: float) -> MicrographRecipe:
    parameters: SimulateMicrographsParameters = job.parameters
    wanted = parameters.min_distance_angstrom
    distance_px = DISTANCE_TO_DIAMETER * diameter_px if wanted is None else wanted / pixel_size_angstrom
    return MicrographRecipe(
        height_px=parameters.height_px,
        width_px=parameters.width_px,
        particles=parameters.particles_per_micrograph,
        distance_px=distance_px,
        snr=parameters.snr,
        dose_e_per_angstrom2=parameters.dose_e_per_angstrom2,
        microscope=microscope(parameters),
        defocus=defocus_range(parameters),
        views=views(parameters),
        ice_share=parameters.ice_share,
        thickness_slope=parameters.thickness_slope,
        lumps=parameters.contaminations,
        seed=job.seed,
    )


def _motion(parameters: SimulateMicrographsParameters) -> MotionRecipe:
    return MotionRecipe(parameters.frames, parameters.drift_angstrom, parameters.doming_angstrom)


def _record(made: Simulated, parameters: SimulateMicrographsParameters, name: str) -> Record:
    """What JSON can hold of one micrograph's truth."""
    truth = made.truth
    inside = truth.inside(parameters.height_px, parameters.width_px)
    rotation = truth.rotation[torch.from_numpy(inside)]
    columns = {
        "rlnCoordinateX": np.round(truth.center_px[inside, 0], 4),
        "rlnCoordinateY": np.round(truth.center_px[inside, 1], 4),
        **angle_columns(rotation),
    }
    record: Record = {
        "name": name,
        "defocus": {label: float(value[0]) for label, value in defocus_columns(truth.ctf).items()},
        "contaminations": [asdict(lump) for lump in truth.lumps],
        "particles": {label: values.tolist() for label, values in columns.items()},
    }
    if made.motion is not None:
        record["motion"] = {
            "drift_px": made.motion.drift_px.tolist(),
            "doming_share": made.motion.doming_share.tolist(),
            "doming_px": made.motion.doming_px,
            "doming_center_px": made.motion.doming_center_px,
        }
    return record


def _write_star(job: JobContext, records: list[Record], pixel_size_angstrom: float) -> None:
    """``truth.star``: optics, micrographs with their CTF, particles with coordinates, poses and CTF."""
    sizes: dict[str, float | int] = {
        "rlnMicrographPixelSize": pixel_size_angstrom,
        "rlnMicrographOriginalPixelSize": pixel_size_angstrom,
        "rlnImagePixelSize": pixel_size_angstrom,
    }
    micrographs = [
        {"rlnMicrographName": record["name"], "rlnOpticsGroup": 1, **record["defocus"]} for record in records
    ]
    particles = [
        pd.DataFrame(record["particles"]).assign(
            rlnMicrographName=record["name"],
            rlnOpticsGroup=1,
            rlnOriginXAngst=0.0,
            rlnOriginYAngst=0.0,
            **record["defocus"],
        )
        for record in records
    ]
    write_star(
        job.out / "truth.star",
        {
            "optics": optics_table(job.parameters, sizes),
            "micrographs": pd.DataFrame(micrographs),
            "particles": pd.concat(particles, ignore_index=True),
        },
    )


def _plot(path: Path, image: NDArray[np.float32], record: Record, radius_px: float) -> None:
    columns = record["particles"]
    centers = np.column_stack([columns["rlnCoordinateX"], columns["rlnCoordinateY"]])
    plot_micrograph(path, image, [CircleGroup(centers, radius_px, label="particles")], title=record["name"])
