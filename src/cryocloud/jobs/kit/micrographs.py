"""The micrographs that a job works through."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryocloud.catalog.base import Facts
from cryocloud.engine.errors import InputError
from cryocloud.engine.io.mrc import read_mrc, read_mrc_header
from cryocloud.engine.io.tables import MicrographTables, optics_of_rows, read_micrographs, resolve_path
from cryocloud.jobs.kit.preflight import require_pixel_size

PIXEL_LABEL = "rlnMicrographPixelSize"


@dataclass(frozen=True)
class MicrographList:
    """Micrographs row by row: names as in the table, where they lie, their pixel sizes."""

    tables: MicrographTables
    names: list[str]
    paths: list[Path]
    pixel_size_angstrom: NDArray[np.float64]

    def facts(self) -> Facts:
        """Number and size, from the first micrograph that is there."""
        first = next((path for path in self.paths if path.exists()), None)
        if first is None:
            raise InputError(
                f"{self.paths[0]}: no micrograph of the list is there; check the paths in the STAR file"
            )
        height_px, width_px = read_mrc_header(first).shape_zyx[1:]
        return Facts(items=len(self.names), image_height_px=height_px, image_width_px=width_px)


def list_micrographs(path: Path) -> MicrographList:
    """Micrographs of a STAR file; refused where it lists none or pixel sizes cannot be."""
    tables = read_micrographs(path)
    if len(tables) == 0:
        raise InputError(f"{path}: lists no micrographs; an earlier step left none")
    pixel_size_angstrom = optics_of_rows(tables.optics, tables.micrographs, PIXEL_LABEL)
    for size in np.unique(pixel_size_angstrom):
        require_pixel_size(float(size), str(path))
    names = [str(name) for name in tables.micrographs["rlnMicrographName"]]
    paths = [resolve_path(tables.folder, name) for name in names]
    return MicrographList(tables, names, paths, pixel_size_angstrom)


def read_micrograph(path: Path) -> NDArray[np.float32]:
    """One micrograph [y, x]."""
    image, _ = read_mrc(path)
    if image.ndim != 2:
        raise InputError(f"{path}: holds {len(image)} sections, not one micrograph; align movies first")
    return image


def load_micrograph(path: Path, device: str) -> Tensor:
    """One micrograph as a tensor on a device."""
    # A copy: float32 files are memory-mapped read-only.
    return torch.from_numpy(read_micrograph(path).copy()).to(device)
