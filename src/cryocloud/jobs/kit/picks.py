"""Picks of a set of micrographs: their table and their picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from cryocloud.engine.io.tables import ParticleTables
from cryocloud.jobs.kit.micrographs import MicrographList, read_micrograph
from cryocloud.jobs.kit.plots import CircleGroup, plot_micrograph

CARRIED = (
    "rlnOpticsGroup", "rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle", "rlnPhaseShift", "rlnCtfAstigmatism",
    "rlnCtfBfactor", "rlnCtfMaxResolution", "rlnCtfFigureOfMerit", "rlnCtfIceRingDensity",
)  # fmt: skip
SMOOTHING_DIAMETERS = 0.05


def picks_table(
    micrographs: MicrographList,
    rows: NDArray[np.int64],
    xy_px: NDArray[np.float64],
    score: NDArray[np.float64] | None,
) -> ParticleTables:
    """Picks with optics and CTF of their micrographs, which are those in ``rows`` of the list."""
    source = micrographs.tables.micrographs
    picks = source.iloc[rows][["rlnMicrographName"]].reset_index(drop=True)
    picks["rlnCoordinateX"], picks["rlnCoordinateY"] = xy_px.T
    if score is not None:
        picks["rlnAutopickFigureOfMerit"] = score
    for label in CARRIED:
        if label in source:
            picks[label] = source[label].to_numpy()[rows]
    return ParticleTables(micrographs.tables.optics, picks, micrographs.tables.folder)


def plot_picks(path: Path, micrographs: MicrographList, row: int, groups: Sequence[CircleGroup]) -> None:
    """A micrograph, smoothed by a twentieth of the first circles, below its picks."""
    smoothing_px = SMOOTHING_DIAMETERS * 2 * groups[0].radius_px
    image = gaussian_filter(read_micrograph(micrographs.path(row))[0], smoothing_px)
    plot_micrograph(path, image, groups, title=Path(micrographs.names[row]).name)
