"""The micrographs that a job works through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryocloud.catalog.base import Facts
from cryocloud.compute.context import JobContext
from cryocloud.engine.errors import InputError
from cryocloud.engine.io.mrc import read_mrc, read_mrc_header
from cryocloud.engine.io.name_gate import named_file
from cryocloud.engine.io.tables import MicrographTables, optics_of_rows, read_micrographs
from cryocloud.engine.outliers import replace_outliers
from cryocloud.jobs.kit.optics import require_possible_optics
from cryocloud.jobs.kit.preflight import require_pixel_size

NAME_LABEL = "_rlnMicrographName"
PIXEL_LABEL = "rlnMicrographPixelSize"
# A line of a camera of 4,000 px is 2.5e-4 of its pixels, cosmic rays and hot pixels are a few in a million.
OUTLIERS_PER_PIXEL = 1e-4


@dataclass(frozen=True)
class MicrographList:
    """Micrographs row by row: names as in the table, and their pixel sizes."""

    tables: MicrographTables
    names: list[str]
    pixel_size_angstrom: NDArray[np.float64]

    def path(self, row: int) -> Path:
        """Where the micrograph of a row (from 0) lies."""
        return named_file(self.tables.folder, self.names[row], label=NAME_LABEL, row=row + 1)

    def facts(self) -> Facts:
        """Number and size, from the first micrograph that can be read."""
        height_px, width_px = first_shape_px(self.path, len(self.names))
        return Facts(items=len(self.names), image_height_px=height_px, image_width_px=width_px)


def list_micrographs(path: Path) -> MicrographList:
    """Micrographs of a STAR file; refused where it lists none or its optics cannot be."""
    tables = read_micrographs(path)
    if len(tables) == 0:
        raise InputError(f"{path}: lists no micrographs; an earlier step left none")
    require_possible_optics(tables.optics, str(path))
    pixel_size_angstrom = optics_of_rows(tables.optics, tables.micrographs, PIXEL_LABEL)
    for size in np.unique(pixel_size_angstrom):
        require_pixel_size(float(size), str(path))
    names = [str(name) for name in tables.micrographs["rlnMicrographName"]]
    return MicrographList(tables, names, pixel_size_angstrom)


def first_shape_px(path_of: Callable[[int], Path], count: int) -> tuple[int, int]:
    """Height and width of the first of some micrographs that can be read."""
    reasons: list[str] = []
    for row in range(count):
        try:
            _, height_px, width_px = read_mrc_header(path_of(row)).shape_zyx
        except InputError as error:
            reasons.append(str(error))
        else:
            return height_px, width_px
    raise InputError(f"no micrograph of the list is there and whole; the first: {reasons[0]}")


def read_micrograph(path: Path) -> tuple[NDArray[np.float32], int]:
    """One micrograph [y, x], and how many hot and dead pixels were replaced in it by their surroundings."""
    image, _ = read_mrc(path)
    if image.ndim != 2:
        raise InputError(f"{path}: holds {len(image)} sections, not one micrograph; align movies first")
    return replace_outliers(image)


def load_micrograph(path: Path, device: str) -> tuple[Tensor, int]:
    """The same with the pixels as a tensor on a device."""
    image, outliers = read_micrograph(path)
    # A copy: float32 files are memory-mapped read-only.
    return torch.from_numpy(image.copy()).to(device), outliers


def report_outliers(job: JobContext, outliers: Sequence[int], facts: Facts) -> None:
    """Count what was replaced in micrographs of the size of ``facts``; warn where it is more than a few."""
    few = OUTLIERS_PER_PIXEL * facts.image_height_px * facts.image_width_px
    striking = sum(count > few for count in outliers)
    job.metrics(outlier_pixels=sum(outliers))
    if striking:
        job.warning(
            f"{striking} of {len(outliers)} micrographs have lines or many single pixels that no electron made "
            f"({max(outliers):,} in one); they were replaced by their surroundings. Correct the movies with a gain "
            "reference and a defect file"
        )
