"""Import particles: find the stacks, check each image, bring optics and contrast to our conventions."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cryocloud.catalog.base import Facts
from cryocloud.catalog.types.import_particles import IMAGES_AT_A_TIME, JOB_TYPE
from cryocloud.compute.context import JobContext
from cryocloud.engine.errors import InputError
from cryocloud.engine.io.cryosparc import read_cs, unconverted_aberrations
from cryocloud.engine.io.image_names import split_image_names
from cryocloud.engine.io.mrc import MrcHeader, MrcStackWriter, read_mrc_header
from cryocloud.engine.io.name_gate import named_file
from cryocloud.engine.io.table_records import ctf_parameters, particle_set
from cryocloud.engine.io.tables import (
    ParticleTables,
    optics_of_rows,
    read_particles,
    with_folder,
    write_particles,
)
from cryocloud.engine.records.particle_set import ParticleSet
from cryocloud.jobs.kit.optics import (
    compare_with_headers,
    given_optics,
    require_optics,
    require_possible_optics,
    warn_of_optics,
)
from cryocloud.jobs.kit.particle_rows import each_image_once, each_place_once, set_copies_aside, with_numbers
from cryocloud.jobs.kit.plots import plot_histogram, plot_image_grid
from cryocloud.jobs.kit.preflight import most_common_shape, require_pixel_size, require_resources

PIXEL_LABEL = "rlnImagePixelSize"
SIGN_LABEL = "ccImageSign"
SHEET_COUNT = 50
# Five standard errors: one set in millions looks inverted by chance.
CONTRAST_CERTAINTY = 5.0


def run(job: JobContext) -> None:
    """Check all particles and write ``particles.star``."""
    tables = _tables(job)
    listed = len(tables)
    tables = each_image_once(job, tables)
    duplicates = listed - len(tables)
    tables = with_numbers(job, tables)
    tables = _with_found_images(job, tables)
    found = len(tables)
    tables = each_place_once(job, tables, particle_set(tables))
    duplicates += found - len(tables)
    particles = particle_set(tables)
    require_pixel_size(particles.pixel_size_angstrom, "optics")
    job.log(f"{len(tables)} particles, box {particles.box_size_px} px of {particles.pixel_size_angstrom:g} Å")
    _report_sampling(job, tables, particles)
    facts = Facts(items=len(tables), box_size_px=particles.box_size_px)
    sign = _signs(job, tables)
    settled = job.parameters.model_copy(update={"invert_contrast": "yes" if (sign < 0).any() else "no"})
    require_resources(JOB_TYPE.forecast(settled, facts), job.out)
    good, copies, contrast = _checked_images(job, tables, particles, sign)
    duplicates += copies
    if not good.any():
        raise InputError(f"none of {listed} particles is usable; the reasons are in {job.out}/exceptions.csv")
    tables, particles = tables.select(good), particle_set(tables.select(good))
    if (sign < 0).any():
        tables = _with_own_stack(job, tables, particles, sign[good])
    optics = tables.optics.assign(rlnImageDimensionality=2)
    columns = tables.particles.drop(columns=SIGN_LABEL, errors="ignore")
    tables = replace(tables, optics=optics, particles=columns)
    write_particles(job.out / "particles.star", tables)
    _report_contrast(job, contrast[good])
    _plot(job, particle_set(tables), contrast[good])
    job.metrics(
        particles=len(tables),
        quarantined=listed - len(tables),
        duplicates=duplicates,
        box_size_px=particles.box_size_px,
        pixel_size_angstrom=particles.pixel_size_angstrom,
        optics_groups=len(tables.optics),
        with_poses=float("rlnAnglePsi" in tables.particles),
    )
    job.progress(1.0, f"{len(tables)} of {listed} particles are usable")


def _tables(job: JobContext) -> ParticleTables:
    source = job.inputs["input"]
    given = given_optics(job.parameters, PIXEL_LABEL)
    if source.suffix == ".cs":
        tables = read_cs(source)
        tables = replace(tables, optics=tables.optics.assign(**given))
        for name in unconverted_aberrations(source):
            job.warning(f"{name} of cryoSPARC is not carried over; higher aberrations are neglected")
    else:
        tables = read_particles(source, optics=given)
    if len(tables) == 0:
        raise InputError(f"{source}: lists no particles; give another file")
    require_optics(tables.optics)
    require_possible_optics(tables.optics, str(source))
    warn_of_optics(job, tables.optics)
    ctf_parameters(tables.optics, tables.particles)
    return tables


def _with_found_images(job: JobContext, tables: ParticleTables) -> ParticleTables:
    """The particles whose image exists, in a box of the size that is common among those with the same pixel."""
    split = split_image_names(tables.particles["rlnImageName"])
    names, first_row, file_of_row = np.unique(np.array(split.files), return_index=True, return_inverse=True)
    counts = np.bincount(file_of_row)
    paths, headers = _read_headers(job, tables, names.tolist(), first_row, counts)
    size_of_file = optics_of_rows(tables.optics, tables.particles, PIXEL_LABEL)[first_row]
    boxes = {}
    for size in np.unique(size_of_file[list(headers)]).tolist():
        of_size = {number: headers[number] for number in headers if size_of_file[number] == size}
        compare_with_headers(job, size, {paths[number]: header for number, header in of_size.items()})
        boxes[size], odd = _common_box(of_size)
        for number, reason in odd.items():
            job.quarantine(str(names[number]), f"{counts[number]} {reason}")
            del headers[number]
    # A group without particles has no image whose size it could tell.
    optics = tables.optics[tables.optics[PIXEL_LABEL].isin(list(boxes))].reset_index(drop=True)
    optics = optics.assign(rlnImageSize=optics[PIXEL_LABEL].map(boxes))
    sections = np.array([headers[n].shape_zyx[0] if n in headers else 0 for n in range(len(names))])
    beyond = np.isin(file_of_row, list(headers)) & (split.sections >= sections[file_of_row])
    for missing in np.flatnonzero(beyond):
        count = sections[file_of_row[missing]]
        job.quarantine(
            str(tables.particles["rlnImageName"].iloc[missing]), f"the stack has only {count} images"
        )
    return replace(tables, optics=optics).select(np.isin(file_of_row, list(headers)) & ~beyond)


def _read_headers(
    job: JobContext,
    tables: ParticleTables,
    names: list[str],
    first_row: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> tuple[dict[int, Path], dict[int, MrcHeader]]:
    """Paths and headers of the stacks that can be read, by their number; the others are set aside."""
    headers: dict[int, MrcHeader] = {}
    paths: dict[int, Path] = {}
    for number, name in enumerate(names):
        try:
            row = int(first_row[number]) + 1
            paths[number] = named_file(tables.folder, name, label=tables.image_label, row=row)
            headers[number] = read_mrc_header(paths[number])
        except InputError as error:
            job.quarantine(name, f"{error} ({counts[number]} particles)")
    if not headers:
        reason = next(iter(job.exceptions.values()))
        raise InputError(f"none of {len(names)} image stacks can be read; the first: {reason}")
    return paths, headers


def _report_sampling(job: JobContext, tables: ParticleTables, particles: ParticleSet) -> None:
    sizes = np.unique(optics_of_rows(tables.optics, tables.particles, PIXEL_LABEL)).tolist()
    if len(sizes) > 1:
        job.decision(
            "common sampling",
            f"{particles.box_size_px} px of {particles.pixel_size_angstrom:g} Å",
            f"the optics groups have pixels of {', '.join(f'{size:g}' for size in sizes)} Å; their images are brought "
            "to the coarsest pixel and the narrowest box whenever they are read",
        )


def _common_box(headers: dict[int, MrcHeader]) -> tuple[int, dict[int, str]]:
    """The most common box of some stacks, and why each stack with another one is set aside."""
    common = most_common_shape(header.shape_zyx[1:] for header in headers.values())
    odd = {
        number: "boxes of {1} x {0} px, most are {3} x {2} px".format(*header.shape_zyx[1:], *common)
        for number, header in headers.items()
        if header.shape_zyx[1:] != common
    }
    return common[0], odd


def _signs(job: JobContext, tables: ParticleTables) -> NDArray[np.float32]:
    """-1 for images to invert."""
    choice = job.parameters.invert_contrast
    sign = np.ones(len(tables), dtype=np.float32)
    if choice == "yes":
        sign[:] = -1
    elif choice == "auto" and SIGN_LABEL in tables.particles:
        sign = tables.particles[SIGN_LABEL].to_numpy(dtype=np.float32)
        inverted = int((sign < 0).sum())
        job.decision(
            "inverted images", inverted, "blob/sign of the .cs file is -1: protein dark on bright ice"
        )
    return sign


def _checked_images(
    job: JobContext, tables: ParticleTables, particles: ParticleSet, sign: NDArray[np.float32]
) -> tuple[NDArray[np.bool_], int, NDArray[np.float64]]:
    """Which images are usable, how many repeat another, and each one's contrast.

    Contrast is how much brighter the middle is than the rim, in standard deviations.
    """
    good = np.zeros(len(particles), dtype=np.bool_)
    contrast = np.zeros(len(particles))
    checksums: list[str] = []
    middle, rim = _regions(particles.box_size_px)
    for start in range(0, len(particles), IMAGES_AT_A_TIME):
        rows = np.arange(start, min(start + IMAGES_AT_A_TIME, len(particles)))
        images = particles.read_images(rows) * sign[rows, None, None]
        checksums += [hashlib.blake2b(image.data, digest_size=16).hexdigest() for image in images]
        with np.errstate(invalid="ignore"):
            deviation = images.std(axis=(1, 2), dtype=np.float64)
        good[rows] = np.isfinite(deviation) & (deviation > 0)
        difference = images[:, middle].mean(axis=1, dtype=np.float64) - images[:, rim].mean(
            axis=1, dtype=np.float64
        )
        contrast[rows] = np.divide(difference, deviation, out=np.zeros(len(rows)), where=good[rows])
        job.progress(0.6 * (rows[-1] + 1) / len(particles), "checking images")
    for row in np.flatnonzero(~good):
        image = particles.read_images(np.array([row]))
        fault = "is blank" if np.isfinite(image).all() else "has NaN or infinite pixels"
        job.quarantine(str(tables.particles["rlnImageName"].iloc[row]), f"the image {fault}")
    once = _each_once(job, tables, checksums, good)
    return good & once, int((~once).sum()), contrast


def _each_once(
    job: JobContext, tables: ParticleTables, checksums: list[str], good: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Of good images with the same pixels the first; the others are set aside."""
    _, first, group = np.unique(checksums, return_index=True, return_inverse=True)
    of = np.where(good & (first[group] != np.arange(len(good))), first[group], -1)
    set_copies_aside(job, tables.particles["rlnImageName"].tolist(), of, "has the same pixels as {first}")
    return of < 0


def _regions(box_size_px: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    line = np.arange(box_size_px) - box_size_px // 2
    radius = np.hypot(line[:, None], line[None, :]) / box_size_px
    return radius < 0.15, (radius > 0.42) & (radius < 0.5)


def _with_own_stack(
    job: JobContext, tables: ParticleTables, particles: ParticleSet, sign: NDArray[np.float32]
) -> ParticleTables:
    """Write all images with our contrast to ``particles.mrcs`` and point the table there."""
    path = job.out / "particles.mrcs"
    with MrcStackWriter(path, particles.box_size_px, particles.pixel_size_angstrom) as stack:
        for start in range(0, len(particles), IMAGES_AT_A_TIME):
            rows = np.arange(start, min(start + IMAGES_AT_A_TIME, len(particles)))
            stack.append(particles.read_images(rows) * sign[rows, None, None])
            job.progress(0.6 + 0.35 * (rows[-1] + 1) / len(particles), "inverting images")
    names = [f"{number:06d}@{path.name}" for number in range(1, len(particles) + 1)]
    moved = with_folder(tables, job.out)
    sampling = {PIXEL_LABEL: particles.pixel_size_angstrom, "rlnImageSize": particles.box_size_px}
    moved = replace(moved, optics=moved.optics.assign(**sampling))
    return replace(moved, particles=moved.particles.assign(rlnImageName=pd.Series(names, dtype="str")))


def _report_contrast(job: JobContext, contrast: NDArray[np.float64]) -> None:
    mean = float(contrast.mean())
    error = float(contrast.std() / np.sqrt(len(contrast)))
    job.metrics(contrast=mean)
    if len(contrast) > 1 and mean < -CONTRAST_CERTAINTY * error:
        job.warning(
            f"the middle of the images is darker than their rim ({-mean:.2f} standard deviations): "
            "the particles seem dark on bright; if so, import them with --invert-contrast yes"
        )


def _plot(job: JobContext, particles: ParticleSet, contrast: NDArray[np.float64]) -> None:
    rows = np.linspace(0, len(particles) - 1, min(SHEET_COUNT, len(particles))).astype(np.int64)
    images = particles.read_images(rows)
    plot_image_grid(
        job.plots / "particles.png", list(images), title=f"{len(rows)} of {len(particles)} particles"
    )
    plot_histogram(
        job.plots / "contrast.png",
        [("", contrast)],
        x_label="middle minus rim, standard deviations",
        title="Contrast (protein is bright: above 0)",
    )
