"""Particles of cryoSPARC (.cs files: NumPy record arrays).

A record is a particle, a field is named "group/field". The groups that are read are blob (images), ctf,
location (place in the micrograph), alignments2D and alignments3D.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from cryocloud.engine.errors import InputError
from cryocloud.engine.geometry import euler_from_rotation, rotation_from_vector
from cryocloud.engine.io.name_gate import is_readable_file, name_fault, require_readable
from cryocloud.engine.io.optics_groups import optics_groups
from cryocloud.engine.io.tables import POSE_DECIMALS, ParticleTables

NUMPY_MAGIC = b"\x93NUMPY"
# A .cs header lists some hundred fields; NumPy's own limit of 10,000 characters is below that.
_HEADER_LIMIT_CHARACTERS = 200_000
_REQUIRED = ("blob/path", "blob/idx", "blob/psize_A")
_OPTICS = {
    "ctf/accel_kv": "rlnVoltage",
    "ctf/cs_mm": "rlnSphericalAberration",
    "ctf/amp_contrast": "rlnAmplitudeContrast",
}
_UNCONVERTED = ("ctf/trefoil_A", "ctf/tetra_A", "ctf/anisomag", "ctf/shift_A")
LOCATION_LABELS = ("rlnMicrographName", "rlnCoordinateX", "rlnCoordinateY")
_DEGREES = 180.0 / np.pi


def read_cs(path: Path | str) -> ParticleTables:
    """Read the particles of a .cs file as RELION tables.

    Poses: ``alignments3D/pose`` is a rotation vector v with rotation M = exp([v]x) in our convention (its
    transpose is RELION's Euler matrix); ``alignments2D/pose`` is psi in radians; shifts are origins in
    pixels of the alignment's own ``psize_A``, same sign as RELION's. Where both alignments are there, the
    3D one counts. Defocus angles and phase shifts come in radians. Splits, classes and image numbers count
    from 0. Locations are fractions of the micrograph's width and height (``micrograph_shape`` is height,
    width). Beam tilt comes as Cs * tilt in Angstrom. File names lose cryoSPARC's leading ">"; they count
    from the project folder, so they are looked for from the .cs file's folder and the folders above.

    Returns
    -------
    ParticleTables
        Angles in degrees, origins in Angstrom, image numbers, classes and half sets from 1. Half sets only
        where the file has two of them: one value for all means that the set was never divided. Exposure
        groups become optics groups.

    Raises
    ------
    InputError
        No NumPy header, pickled content (never loaded), missing fields, no particles; the message names
        both.

    Notes
    -----
    Conventions as in pyem (Asarnow, Palovcak, Cheng, doi.org/10.5281/zenodo.3576630), formulas our own.
    ``blob/sign`` -1 (protein dark on bright) is kept as column ``ccImageSign``; see `import_particles`.
    Trefoil, tetrafoil, anisotropic magnification and ``ctf/shift_A`` are not carried over; see
    `unconverted_aberrations`.
    """
    path = Path(path)
    records = _load(path)
    missing = [name for name in _REQUIRED if name not in _fields(records)]
    if missing:
        raise InputError(
            f"{path}: field {missing[0]} is missing; export the particles with their images (blob) and CTF "
            "from cryoSPARC"
        )
    if len(records) == 0:
        raise InputError(f"{path}: holds no particles; check the cryoSPARC job")
    files = _names(records, "blob/path")
    folder = _project_folder(path.resolve().parent, files)
    numbers = (records["blob/idx"].astype(np.int64) + 1).tolist()
    names = [f"{number:06d}@{file}" for number, file in zip(numbers, files, strict=True)]
    particles = pd.DataFrame({"rlnImageName": pd.Series(names, dtype="str")})
    particles = particles.assign(**_locations(records), **_ctf(records), **_pose(records))
    if "blob/sign" in _fields(records):
        particles["ccImageSign"] = records["blob/sign"].astype(np.int64)
    optics, particles["rlnOpticsGroup"] = _optics(records)
    return ParticleTables(optics, particles, folder, image_label="blob/path")


def read_cs_locations(path: Path | str) -> pd.DataFrame:
    """Where the particles of a .cs file lie: ``rlnMicrographName`` and ``rlnCoordinateX, Y`` in pixels.

    Raises
    ------
    InputError
        As `read_cs`, which also needs images; here the ``location`` fields are needed.
    """
    path = Path(path)
    columns = _locations(_load(path))
    if len(columns) < len(LOCATION_LABELS):
        raise InputError(
            f"{path}: has no location of the particles in micrographs; export the picks from cryoSPARC"
        )
    return pd.DataFrame(columns)


def unconverted_aberrations(path: Path | str) -> list[str]:
    """Fields of a .cs file with non-zero values that RELION tables made by `read_cs` do not carry."""
    records = _load(Path(path))
    fields = _fields(records)
    names = [name for name in _UNCONVERTED if name in fields and np.any(records[name] != 0)]
    has_tilt = "ctf/tilt_A" in fields and "ctf/cs_mm" in fields
    # A product with a spherical aberration of 0 does not tell the tilt.
    if has_tilt and np.any((records["ctf/tilt_A"] != 0) & (records["ctf/cs_mm"][:, None] == 0)):
        names.append("ctf/tilt_A")
    return names


def _fields(records: NDArray[Any]) -> tuple[str, ...]:
    return records.dtype.names or ()


def _load(path: Path) -> NDArray[Any]:
    """The records, memory-mapped; pickled objects, which could run code, are refused."""
    require_readable(path)
    try:
        with path.open("rb") as stream:
            magic = stream.read(len(NUMPY_MAGIC))
    except OSError as error:
        raise InputError(f"{path}: cannot be opened ({error.strerror}); check the path") from error
    if magic != NUMPY_MAGIC:
        raise InputError(
            f"{path}: begins with {magic!r}, not with a NumPy header, so its fields are unknown; "
            "export the particles again from cryoSPARC"
        )
    try:
        records = np.load(path, mmap_mode="r", allow_pickle=False, max_header_size=_HEADER_LIMIT_CHARACTERS)
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"{path}: damaged .cs file ({error}); copy or export it again") from error
    if records.dtype.names is None:
        raise InputError(f"{path}: is a plain array without named fields, not a .cs file; check the path")
    return np.asarray(records)


def _names(records: NDArray[Any], field: str) -> list[str]:
    """File names, without cryoSPARC's leading ">"."""
    column = records[field]
    try:
        texts = np.char.decode(column, "utf-8") if column.dtype.kind == "S" else column.astype(str)
        return [text.lstrip(">") for text in texts.tolist()]
    except (UnicodeDecodeError, ValueError) as error:
        raise InputError(
            f"field {field} holds names that are not Unicode text; export the particles again"
        ) from error


def _project_folder(folder: Path, names: list[str]) -> Path:
    """The nearest folder, upwards, that one of the files is found from."""
    for name in dict.fromkeys(name for name in names if not name_fault(name)):
        for candidate in (folder, *folder.parents):
            if is_readable_file(candidate / name):
                return candidate
    return folder


def _decimal(column: NDArray[Any]) -> NDArray[np.float64]:
    """float32 values as the decimals they were made from (1.345 rather than 1.34500002861)."""
    return np.array([float(f"{value:.7g}") for value in column.tolist()], dtype=np.float64)


def _locations(records: NDArray[Any]) -> dict[str, Any]:
    """Micrograph names and centers in pixels (x, y), rounded to 0.01; y counts from the first row, as the
    fraction does.
    """
    fields = _fields(records)
    columns: dict[str, Any] = {}
    if "location/micrograph_path" in fields:
        columns["rlnMicrographName"] = pd.Series(_names(records, "location/micrograph_path"), dtype="str")
    if {"location/center_x_frac", "location/center_y_frac", "location/micrograph_shape"} <= set(fields):
        height_px, width_px = records["location/micrograph_shape"].astype(np.float64).T
        columns["rlnCoordinateX"] = np.round(records["location/center_x_frac"] * width_px, 2)
        columns["rlnCoordinateY"] = np.round(records["location/center_y_frac"] * height_px, 2)
    return columns


def _ctf(records: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    conversions = {
        "ctf/df1_A": ("rlnDefocusU", 1.0),
        "ctf/df2_A": ("rlnDefocusV", 1.0),
        "ctf/df_angle_rad": ("rlnDefocusAngle", _DEGREES),
        "ctf/phase_shift_rad": ("rlnPhaseShift", _DEGREES),
        "ctf/bfactor": ("rlnCtfBfactor", 1.0),
    }
    fields = _fields(records)
    return {
        label: _decimal(records[name].astype(np.float64) * factor)
        for name, (label, factor) in conversions.items()
        if name in fields
    }


def _pose(records: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Angles in degrees, origins in Angstrom, class and half set from 1; empty without an alignment."""
    fields = _fields(records)
    columns: dict[str, NDArray[Any]] = {}
    if "alignments3D/pose" in fields:
        prefix = "alignments3D"
        vectors = torch.from_numpy(records["alignments3D/pose"].astype(np.float64))
        angles = [angle.numpy() for angle in euler_from_rotation(rotation_from_vector(vectors))]
    elif "alignments2D/pose" in fields:
        prefix = "alignments2D"
        zero = np.zeros(len(records))
        angles = [zero, zero, records["alignments2D/pose"].astype(np.float64) * _DEGREES]
    else:
        return columns
    for label, angle in zip(("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"), angles, strict=True):
        columns[label] = np.round(angle, POSE_DECIMALS)
    pixel_name = f"{prefix}/psize_A" if f"{prefix}/psize_A" in fields else "blob/psize_A"
    shift_angstrom = records[f"{prefix}/shift"].astype(np.float64) * _decimal(records[pixel_name])[:, None]
    columns["rlnOriginXAngst"], columns["rlnOriginYAngst"] = np.round(shift_angstrom, POSE_DECIMALS).T
    if f"{prefix}/class" in fields:
        columns["rlnClassNumber"] = records[f"{prefix}/class"].astype(np.int64) + 1
    split = records[f"{prefix}/split"].astype(np.int64) if f"{prefix}/split" in fields else np.zeros(0)
    # One value for all means that cryoSPARC never divided the set.
    if len(np.unique(split)) == 2:
        columns["rlnRandomSubset"] = split + 1
    return columns


def _optics(records: NDArray[Any]) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """Optics groups and the group of each particle: one for each exposure group and each set of optics within
    it.
    """
    fields = _fields(records)
    keys = pd.DataFrame({label: _decimal(records[name]) for name, label in _OPTICS.items() if name in fields})
    keys["rlnImagePixelSize"] = _decimal(records["blob/psize_A"])
    if "blob/shape" in fields:
        keys["rlnImageSize"] = records["blob/shape"][:, 0].astype(np.int64)
        keys["rlnImageDimensionality"] = 2
    if "ctf/tilt_A" in fields and "ctf/cs_mm" in fields and np.any(records["ctf/tilt_A"] != 0):
        # cryoSPARC stores Cs * tilt; Cs in mm is 1e7 Angstrom, tilt in mrad is 1e3 rad.
        product, cs_mm = (records[name].astype(np.float64) for name in ("ctf/tilt_A", "ctf/cs_mm"))
        known = np.broadcast_to(cs_mm[:, None] != 0, product.shape)
        tilt_mrad = np.divide(1e-4 * product, cs_mm[:, None], out=np.zeros_like(product), where=known)
        keys["rlnBeamTiltX"], keys["rlnBeamTiltY"] = np.round(tilt_mrad, POSE_DECIMALS).T
    if "ctf/exp_group_id" not in fields:
        return optics_groups(keys)
    optics, group = optics_groups(keys.assign(exposure_group=records["ctf/exp_group_id"].astype(np.int64)))
    return optics.drop(columns="exposure_group"), group
