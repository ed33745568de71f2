"""Particle and micrograph tables: RELION's two-table layout (optics groups + items) of versions 3.1 to 5.

Tables of RELION 3.0 (pixel size as magnification and detector pixel, optics in each row, origins in pixels)
are upgraded on reading. Columns that we do not know pass through with every value.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cryocloud.engine.errors import InputError
from cryocloud.engine.io.image_names import split_image_names
from cryocloud.engine.io.name_gate import find_named_file
from cryocloud.engine.io.optics_groups import optics_groups
from cryocloud.engine.io.star import read_star, write_star

# Poses are known to about 1e-3 degree; six decimals are what RELION writes too.
POSE_DECIMALS = 6

_PATH_LABELS = (
    "rlnImageName",
    "rlnMicrographName",
    "rlnMicrographNameNoDW",
    "rlnMicrographMetadata",
    "rlnMicrographMovieName",
    "rlnMicrographGainName",
    "rlnMicrographDefectFile",
    "rlnMicrographPowerSpectrum",
    "rlnMicrographCoordinates",
    "rlnCtfImage",
    "rlnCtfPowerSpectrum",
    "rlnReferenceImage",
    "rlnMtfFileName",
)
_OPTICS_LABELS_30 = (
    "rlnVoltage",
    "rlnSphericalAberration",
    "rlnAmplitudeContrast",
    "rlnBeamTiltX",
    "rlnBeamTiltY",
    "rlnBeamTiltClass",
    "rlnMtfFileName",
)


@dataclass(frozen=True)
class ParticleTables:
    """``optics`` (a row a group), ``particles`` (a row each); relative names count from ``folder``.

    Columns have RELION's labels without the underscore: ``rlnImageName`` ("000001@stack.mrcs"),
    ``rlnOpticsGroup``, ``rlnCoordinateX, Y`` (pixels of the micrograph, from 0), ``rlnAngleRot, Tilt,
    Psi`` (degrees), ``rlnOriginXAngst, YAngst``, ``rlnDefocusU, V`` (Angstrom), ``rlnDefocusAngle``
    (degrees), ``rlnRandomSubset`` (1, 2); in optics ``rlnVoltage`` (kV), ``rlnSphericalAberration`` (mm),
    ``rlnAmplitudeContrast``, ``rlnImagePixelSize``. ``image_label`` is what the file that was read calls
    the names of images.
    """

    optics: pd.DataFrame
    particles: pd.DataFrame
    folder: Path
    image_label: str = "_rlnImageName"

    def __len__(self) -> int:
        return len(self.particles)

    def select(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> ParticleTables:
        """The particles at ``rows`` (row numbers or a mask), in that order."""
        chosen = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return replace(self, particles=self.particles.iloc[chosen].reset_index(drop=True))


@dataclass(frozen=True)
class MicrographTables:
    """``optics`` (a row a group), ``micrographs`` (a row each); relative names count from ``folder``."""

    optics: pd.DataFrame
    micrographs: pd.DataFrame
    folder: Path

    def __len__(self) -> int:
        return len(self.micrographs)

    def select(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> MicrographTables:
        """The micrographs at ``rows`` (row numbers or a mask), in that order."""
        chosen = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return replace(self, micrographs=self.micrographs.iloc[chosen].reset_index(drop=True))


def read_particles(path: Path | str, *, optics: Mapping[str, float] | None = None) -> ParticleTables:
    """Read particles of any RELION version.

    Parameters
    ----------
    path
        STAR file.
    optics
        Optics labels and values that replace (or supply) what the file says, in each group; for instance
        ``{"rlnImagePixelSize": 1.5}``.

    Raises
    ------
    InputError
        No particles, no ``rlnImageName``, no pixel size, a row whose optics group is not listed. The message
        names column and file.
    """
    path = Path(path)
    optics_table, particles = _read_tables(
        path, "particles", "rlnImageName", "rlnImagePixelSize", optics or {}
    )
    return ParticleTables(optics_table, particles, path.parent)


def write_particles(path: Path | str, tables: ParticleTables) -> None:
    """Write a RELION 3.1+ STAR file; relative file names are rewritten to count from its folder."""
    path = Path(path)
    moved = with_folder(tables, path.parent)
    write_star(path, {"optics": moved.optics, "particles": moved.particles})


def read_micrographs(path: Path | str, *, optics: Mapping[str, float] | None = None) -> MicrographTables:
    """Read micrographs of any RELION version; parameters and errors as `read_particles`."""
    path = Path(path)
    optics_table, micrographs = _read_tables(
        path, "micrographs", "rlnMicrographName", "rlnMicrographPixelSize", optics or {}
    )
    return MicrographTables(optics_table, micrographs, path.parent)


def write_micrographs(path: Path | str, tables: MicrographTables) -> None:
    """Write a RELION 3.1+ STAR file; relative file names are rewritten to count from its folder."""
    path = Path(path)
    optics = _rebased(tables.optics, tables.folder, path.parent)
    micrographs = _rebased(tables.micrographs, tables.folder, path.parent)
    write_star(path, {"optics": optics, "micrographs": micrographs})


def optics_of_rows(optics: pd.DataFrame, rows: pd.DataFrame, label: str) -> NDArray[np.float64]:
    """Value of an optics column for each row, float64 [n]; rows without optics group use the only group.

    Raises
    ------
    InputError
        The column is missing.
    """
    if label not in optics:
        raise InputError(f"column _{label} is missing in data_optics; give its value when importing the data")
    values = float_column(optics, label)
    if "rlnOpticsGroup" not in rows:
        return np.full(len(rows), values[0])
    groups = whole_column(optics, "rlnOpticsGroup")
    order = np.argsort(groups)
    return values[order[np.searchsorted(groups[order], whole_column(rows, "rlnOpticsGroup"))]]


def with_folder(tables: ParticleTables, folder: Path) -> ParticleTables:
    """The tables with relative file names that count from another folder."""
    return ParticleTables(
        _rebased(tables.optics, tables.folder, folder),
        _rebased(tables.particles, tables.folder, folder),
        folder,
    )


def _read_tables(
    path: Path, kind: str, name_label: str, pixel_label: str, overrides: Mapping[str, float]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    if path.suffix == ".cs":
        raise InputError(
            f"{path}: is a cryoSPARC file; turn it into STAR first (cryocloud run import_particles)"
        )
    blocks = read_star(path)
    optics = blocks.pop("optics", None)
    rows = blocks[kind] if kind in blocks else _first_with(blocks, name_label)
    if rows is None:
        raise InputError(f"{path}: no table has column _{name_label}, so it lists no {kind}; check the file")
    if name_label not in rows:
        raise InputError(f"{path}: column _{name_label} is missing in data_{kind}; check the file")
    if optics is None:
        optics, rows = _upgraded(rows, pixel_label, overrides, path)
    for label, value in overrides.items():
        optics = optics.assign(**{label: float(value)})
    for label in ("rlnOpticsGroup", pixel_label):
        if label not in optics:
            raise InputError(
                f"{path}: column _{label} is missing in data_optics; import the data with its value"
            )
    _check_groups(optics, rows, path)
    return optics, rows


def _first_with(blocks: Mapping[str, pd.DataFrame], label: str) -> pd.DataFrame | None:
    return next((table for table in blocks.values() if label in table), None)


def _check_groups(optics: pd.DataFrame, rows: pd.DataFrame, path: Path) -> None:
    if "rlnOpticsGroup" not in rows:
        if len(optics) != 1:
            raise InputError(
                f"{path}: column _rlnOpticsGroup is missing but there are {len(optics)} optics groups"
            )
        return
    known = set(whole_column(optics, "rlnOpticsGroup").tolist())
    if len(known) < len(optics):
        raise InputError(f"{path}: an optics group is listed twice in data_optics; number them 1, 2, ...")
    unknown = set(whole_column(rows, "rlnOpticsGroup").tolist()) - known
    if unknown:
        raise InputError(
            f"{path}: optics group {min(unknown)} is used but not listed in data_optics; add it there"
        )


def _upgraded(
    rows: pd.DataFrame, pixel_label: str, overrides: Mapping[str, float], path: Path
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """RELION 3.0 rows as optics groups and rows of version 3.1.

    Particles with the same voltage, Cs, amplitude contrast, beam tilt, MTF and pixel size form a group.
    Origins, which 3.0 keeps in pixels, become Angstrom; the sign stays.
    """
    rows = rows.copy()
    pixel_size = _pixel_size_30(rows, overrides.get(pixel_label), path)
    moved = [label for label in _OPTICS_LABELS_30 if label in rows]
    values = {label: float_column(rows, label) for label in moved if label != "rlnMtfFileName"}
    values |= {pixel_label: pixel_size, "rlnMicrographOriginalPixelSize": pixel_size}
    optics, group = optics_groups(rows[moved].assign(**values))
    for old, new in (("rlnOriginX", "rlnOriginXAngst"), ("rlnOriginY", "rlnOriginYAngst")):
        if old in rows and new not in rows:
            rows[new] = np.round(float_column(rows, old) * pixel_size, POSE_DECIMALS)
    gone = [*moved, "rlnMagnification", "rlnDetectorPixelSize", "rlnPixelSize", "rlnOriginX", "rlnOriginY"]
    rows = rows.drop(columns=[label for label in gone if label in rows]).assign(rlnOpticsGroup=group)
    return optics, rows


def _pixel_size_30(rows: pd.DataFrame, override: float | None, path: Path) -> NDArray[np.float64]:
    """Pixel size of RELION 3.0, Angstrom [n]: detector pixel (micrometer) * 10^4 / magnification, unless
    given.
    """
    if override is not None:
        return np.full(len(rows), override)
    if "rlnPixelSize" in rows:
        return float_column(rows, "rlnPixelSize")
    for label in ("rlnMagnification", "rlnDetectorPixelSize"):
        if label not in rows:
            raise InputError(
                f"{path}: no data_optics table and no column _{label}, so the pixel size is unknown; "
                "import the data with its pixel size"
            )
    micrometer_in_angstrom = 1e4
    pixel_size = (
        float_column(rows, "rlnDetectorPixelSize")
        * micrometer_in_angstrom
        / float_column(rows, "rlnMagnification")
    )
    return np.round(pixel_size, POSE_DECIMALS)


def _rebased(table: pd.DataFrame, old: Path, new: Path) -> pd.DataFrame:
    """The table with its relative file names counted from folder ``new``; names of missing files stay."""
    if old.resolve() == new.resolve():
        return table
    columns = {
        label: _rebased_names(table[label], old, new)
        for label in _PATH_LABELS
        if label in table and table[label].dtype.kind not in "iuf"
    }
    result = table.assign(**columns)
    result.attrs = dict(table.attrs)
    return result


def _rebased_names(names: pd.Series, old: Path, new: Path) -> pd.Series:
    split = split_image_names(names)
    target = new.resolve()
    renamed: dict[str, str] = {}
    for name in set(split.files):
        found = None if Path(name).is_absolute() else find_named_file(old, name)
        renamed[name] = name if found is None else os.path.relpath(found.resolve(), target)
    joined = [prefix + renamed[name] for prefix, name in zip(split.prefixes, split.files, strict=True)]
    return pd.Series(joined, index=names.index, dtype="str")


def float_column(table: pd.DataFrame, label: str) -> NDArray[np.float64]:
    """A column as numbers, NaN and infinite ones included; a word among them is an ``InputError``."""
    try:
        return table[label].to_numpy().astype(np.float64)
    except ValueError as error:
        raise InputError(
            f"column _{label} has a value that is no number ({error}); repair the table"
        ) from error


def whole_column(table: pd.DataFrame, label: str) -> NDArray[np.int64]:
    """A column as whole numbers; a word, a fraction or NaN among them is an ``InputError``."""
    values = float_column(table, label)
    wrong = np.flatnonzero(~np.isfinite(values) | (values != np.round(values)))
    if len(wrong):
        raise InputError(
            f"column _{label} has {len(wrong)} values that are no whole numbers, the first in row {wrong[0] + 1} "
            f"({values[wrong[0]]:g}); repair the table"
        )
    return values.astype(np.int64)
