"""Rows of particle tables that must not be used: without numbers, or copies of others.

A copy would count twice, and with one in each half set the halves would agree on its noise.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cryocloud.compute.context import JobContext
from cryocloud.engine.errors import InputError
from cryocloud.engine.extraction import COPY_DISTANCE_BOXES, repeated_positions
from cryocloud.engine.io.image_names import split_image_names
from cryocloud.engine.io.tables import ParticleTables, float_column, optics_of_rows
from cryocloud.engine.records.particle_set import ParticleSet

COORDINATES = ("rlnCoordinateX", "rlnCoordinateY")
NUMBERS = (
    "rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle", "rlnPhaseShift", "rlnCtfBfactor",
    "rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst",
)  # fmt: skip
# The pixel of the coordinates; that of the image is never smaller, so that fewer are taken for copies.
_PIXEL_LABELS = ("rlnMicrographPixelSize", "rlnMicrographOriginalPixelSize", "rlnImagePixelSize")


def each_image_once(job: JobContext, tables: ParticleTables) -> ParticleTables:
    """Of rows that name the same image the first."""
    names = tables.particles["rlnImageName"]
    split = split_image_names(names)
    images = pd.DataFrame(
        {"section": split.sections, "file": [os.path.normpath(file) for file in split.files]}
    )
    _, first_row, group = np.unique(
        images.groupby(["section", "file"]).ngroup(), return_index=True, return_inverse=True
    )
    first = first_row[group]
    of = np.where(first == np.arange(len(names)), -1, first)
    set_copies_aside(job, names.tolist(), of, "row {row} lists it again (first in row {first_row})")
    return tables.select(of < 0)


def with_numbers(job: JobContext, tables: ParticleTables) -> ParticleTables:
    """The particles whose CTF and pose are numbers."""
    fault = _fault_of_numbers(tables.particles)
    for row in np.flatnonzero(fault != ""):
        job.quarantine(tables.particles["rlnImageName"].iloc[row], fault[row])
    if len(tables) and (fault != "").all():
        raise InputError(
            f"none of {len(tables)} particles is usable; the first: {fault[0]}; repair the table"
        )
    return tables.select(fault == "")


def each_place_once(job: JobContext, tables: ParticleTables, particles: ParticleSet) -> ParticleTables:
    """Each place in a micrograph once, where the table has places at all."""
    rows = tables.particles
    if particles.micrograph is None or not set(COORDINATES) <= set(rows):
        return tables
    xy_px = np.column_stack([float_column(rows, label) for label in COORDINATES])
    if len(np.unique(xy_px, axis=0)) == 1:
        # Programs that know no places write zeros.
        return tables
    label = next(label for label in _PIXEL_LABELS if label in tables.optics)
    xy_angstrom = xy_px * optics_of_rows(tables.optics, rows, label)[:, None]
    near_angstrom = COPY_DISTANCE_BOXES * particles.box_size_px * particles.pixel_size_angstrom
    of = repeated_positions(xy_angstrom, particles.micrograph.numpy(), near_angstrom)
    words = f"lies within {near_angstrom:.0f} Å of {{first}}: the same particle"
    set_copies_aside(job, rows["rlnImageName"].tolist(), of, words)
    return tables.select(of < 0)


def set_copies_aside(job: JobContext, names: Sequence[str], of: NDArray[np.int64], words: str) -> None:
    """Name each particle that repeats another; ``of`` has the row of that one, or -1.

    ``words`` say how, with ``{row}`` and ``{first_row}`` (from 1) and ``{first}``, the name.
    """
    copies = np.flatnonzero(of >= 0).tolist()
    for row in copies:
        first = int(of[row])
        reason = words.format(row=row + 1, first_row=first + 1, first=names[first])
        job.quarantine(names[row], f"{reason}; used once")
    if len(copies):
        job.warning(
            f"{len(copies):,} of {len(names):,} particles are copies of others and left out, so that none counts "
            f"twice; exceptions.csv names each (the first: {names[copies[0]]})"
        )


def _fault_of_numbers(rows: pd.DataFrame) -> NDArray[np.object_]:
    """Why a row cannot be used; empty for a good one."""
    fault = np.full(len(rows), "", dtype=object)
    for label in NUMBERS:
        values = float_column(rows, label) if label in rows else np.zeros(len(rows))
        for row in np.flatnonzero(~np.isfinite(values)):
            fault[row] = fault[row] or f"_{label} is {values[row]:g}, which is no number to work with"
    return fault
