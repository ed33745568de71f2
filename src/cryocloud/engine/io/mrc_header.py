"""Headers of MRC files, and the gate that every file passes.

The gate compares what a header promises with the bytes that are there, before any reader allocates memory.

The first 1024 bytes are words of four: NX NY NZ and MODE (1 to 4), NXSTART.. (5 to 7), MX MY MZ (8 to 10),
CELLA in Angstrom (11 to 13), MAPC MAPR MAPS (17 to 19), ISPG (23), NSYMBT (24), ORIGIN (50 to 52), MAP
(53), MACHST (54). NSYMBT bytes of extended header follow, then the pixels, x fastest.
"""

from __future__ import annotations

import bz2
import gzip
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np
from mrcfile.dtypes import HEADER_DTYPE

from cryocloud.engine.errors import InputError
from cryocloud.engine.io.name_gate import require_readable

HEADER_BYTES = 1024
COMPRESSED_LIMIT_BYTES = 8 << 30
# mrcfile and RELION write 1.0 (or leave 0) where nobody gave a pixel size.
PLACEHOLDER_PIXEL_SIZES_ANGSTROM = (0.0, 1.0)

_DTYPE_OF_MODE = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
_REFUSED_MODES = {
    3: "complex int16 transforms",
    4: "complex float32 transforms",
    101: "4-bit packed pixels",
}
_IMOD_STAMP = 1146047817


@dataclass(frozen=True)
class MrcHeader:
    """What the header of an MRC file says, after the gate.

    Attributes
    ----------
    shape_zyx
        Sections, rows, columns as arrays are indexed (axes already in z, y, x order).
    mode
        MRC data mode: 0 int8 (uint8 from IMOD), 1 int16, 2 float32, 6 uint16, 12 float16.
    dtype
        NumPy type of the stored pixels, with byte order.
    pixel_size_xyz_angstrom
        Cell length / intervals (CELLA / MX) for each axis; 0 where the header does not say.
    origin_xyz_angstrom
        The ORIGIN words: place of the first voxel in the frame of a model, in Angstrom.
    start_xyz
        Position of the first voxel in the cell, in voxels (NXSTART words). Programs use either this or the
        origin; where both are set they may disagree.
    is_volume
        Space group above 0: a density map, not a stack of images.
    data_offset_bytes
        Where the pixels begin.
    stored_axes
        For each stored axis (section, row, column) the spatial axis 0 = z, 1 = y, 2 = x. (0, 1, 2) in most
        files; crystallographic maps may be stored otherwise.
    compression
        "", "bz2" or "gzip".
    surplus_bytes
        Bytes behind the promised pixels; 0 in a well-formed file.
    """

    shape_zyx: tuple[int, int, int]
    mode: int
    dtype: np.dtype[Any]
    pixel_size_xyz_angstrom: tuple[float, float, float]
    origin_xyz_angstrom: tuple[float, float, float]
    start_xyz: tuple[int, int, int]
    is_volume: bool
    data_offset_bytes: int
    stored_axes: tuple[int, int, int]
    compression: str
    surplus_bytes: int

    @property
    def pixel_size_angstrom(self) -> float:
        """Pixel size along x in Angstrom; 0 where the header does not say."""
        return self.pixel_size_xyz_angstrom[0]

    @property
    def has_pixel_size(self) -> bool:
        """False for 0 and for 1.0, which writers use as a placeholder."""
        return self.pixel_size_angstrom not in PLACEHOLDER_PIXEL_SIZES_ANGSTROM

    @property
    def stored_shape(self) -> tuple[int, int, int]:
        """Sections, rows, columns in the order of the file."""
        sections, rows, columns = (self.shape_zyx[axis] for axis in self.stored_axes)
        return sections, rows, columns


def read_mrc_header(path: Path | str) -> MrcHeader:
    """Read and check the header of an MRC file (plain, .bz2 or .gz).

    Raises
    ------
    InputError
        Missing or short file, unknown mode, impossible sizes, or a header that promises more bytes than
        the file has. The message holds both numbers.

    Notes
    -----
    Format: MRC2014, Cheng et al., J. Struct. Biol. 192 (2015) 146. Byte order comes from the machine stamp
    or, where that is missing (old writers), from the order that gives a valid mode and sizes.
    """
    path = Path(path)
    require_readable(path)
    compression = _compression_of(path)
    with open_bytes(path, compression) as stream:
        try:
            raw = stream.read(HEADER_BYTES)
        except (OSError, EOFError) as error:
            raise InputError(f"{path}: cannot be read ({error}); copy the file again") from error
    if len(raw) < HEADER_BYTES:
        raise InputError(
            f"{path}: {len(raw)} bytes are too few for an MRC header of {HEADER_BYTES} bytes; "
            "the file is truncated or not MRC, copy it again"
        )
    fields = _parse_header(raw, path)
    return _gate(fields, path, compression)


def _compression_of(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            magic = stream.read(3)
    except OSError as error:
        raise InputError(f"{path}: cannot be opened ({error.strerror}); check the path") from error
    if magic == b"BZh":
        return "bz2"
    return "gzip" if magic[:2] == b"\x1f\x8b" else ""


def open_bytes(path: Path, compression: str) -> BufferedIOBase:
    """The bytes of a file, unpacked; ``compression`` is "", "bz2" or "gzip"."""
    if compression == "bz2":
        return bz2.open(path, "rb")
    return gzip.open(path, "rb") if compression == "gzip" else path.open("rb")


def _parse_header(raw: bytes, path: Path) -> np.void:
    """Fields in the byte order that the machine stamp (0x11 = big endian) names or, if these make no sense,
    in the other.
    """
    little: np.void = np.frombuffer(raw, dtype=HEADER_DTYPE)[0]
    big: np.void = np.frombuffer(raw, dtype=HEADER_DTYPE.newbyteorder(">"))[0]
    stamp = raw[212]
    preferred, other = (big, little) if stamp == 0x11 else (little, big)
    for fields in (preferred, other):
        if _is_plausible(fields):
            return fields
    mode = int(preferred["mode"])
    if mode in _REFUSED_MODES:
        raise InputError(
            f"{path}: MRC mode {mode} ({_REFUSED_MODES[mode]}) is not read; convert to float32 (mode 2)"
        )
    sizes = tuple(int(preferred[name]) for name in ("nx", "ny", "nz"))
    raise InputError(
        f"{path}: not an MRC header (mode {mode}, size {sizes[0]} x {sizes[1]} x {sizes[2]}); "
        f"modes {sorted(_DTYPE_OF_MODE)} and positive sizes are read. Check that this is an MRC file"
    )


def _is_plausible(fields: np.void) -> bool:
    sizes_positive = all(int(fields[name]) > 0 for name in ("nx", "ny", "nz"))
    return int(fields["mode"]) in _DTYPE_OF_MODE and sizes_positive and int(fields["nsymbt"]) >= 0


def _gate(fields: np.void, path: Path, compression: str) -> MrcHeader:
    columns, rows, sections = (int(fields[name]) for name in ("nx", "ny", "nz"))
    dtype = _pixel_dtype(fields)
    offset_bytes = HEADER_BYTES + int(fields["nsymbt"])
    promised_bytes = offset_bytes + columns * rows * sections * dtype.itemsize
    if compression:
        if promised_bytes > COMPRESSED_LIMIT_BYTES:
            raise InputError(
                f"{path}: the header promises {promised_bytes:,} bytes, more than is unpacked in memory "
                f"({COMPRESSED_LIMIT_BYTES:,}); unpack the file first"
            )
        surplus_bytes = 0
    else:
        surplus_bytes = path.stat().st_size - promised_bytes
    if surplus_bytes < 0:
        mode = int(fields["mode"])
        raise InputError(
            f"{path}: the header promises {columns} x {rows} x {sections} pixels of mode {mode}, "
            f"{promised_bytes:,} bytes, but the file has {promised_bytes + surplus_bytes:,}; "
            "it is truncated or its header damaged, copy it again"
        )
    axes = _stored_axes(fields, path)
    by_axis = dict(zip(axes, (sections, rows, columns), strict=True))
    return MrcHeader(
        shape_zyx=(by_axis[0], by_axis[1], by_axis[2]),
        mode=int(fields["mode"]),
        dtype=dtype,
        pixel_size_xyz_angstrom=_pixel_sizes(fields),
        origin_xyz_angstrom=(
            float(fields["origin"]["x"]),
            float(fields["origin"]["y"]),
            float(fields["origin"]["z"]),
        ),
        start_xyz=_start(fields, axes),
        is_volume=int(fields["ispg"]) > 0,
        data_offset_bytes=offset_bytes,
        stored_axes=axes,
        compression=compression,
        surplus_bytes=surplus_bytes,
    )


def _pixel_dtype(fields: np.void) -> np.dtype[Any]:
    mode = int(fields["mode"])
    order = ">" if fields.dtype["nx"].byteorder == ">" else "<"
    # IMOD stores bytes unsigned unless bit 0 of its flags (words 39 and 40) says otherwise.
    imod_stamp, imod_flags = np.frombuffer(fields.tobytes()[152:160], dtype=f"{order}i4")
    if mode == 0 and imod_stamp == _IMOD_STAMP and not imod_flags & 1:
        return np.dtype("u1")
    return np.dtype(order + _DTYPE_OF_MODE[mode])


def _stored_axes(fields: np.void, path: Path) -> tuple[int, int, int]:
    """Spatial axis of sections, rows and columns, from MAPS, MAPR, MAPC (1 = x, 2 = y, 3 = z; all 0 in old
    files).
    """
    numbers = tuple(int(fields[name]) for name in ("maps", "mapr", "mapc"))
    if numbers == (0, 0, 0):
        return 0, 1, 2
    if sorted(numbers) != [1, 2, 3]:
        raise InputError(
            f"{path}: axis order MAPC/R/S = {numbers[::-1]} is no permutation of 1, 2, 3; repair the header"
        )
    section, row, column = (3 - number for number in numbers)
    return section, row, column


def _start(fields: np.void, axes: tuple[int, int, int]) -> tuple[int, int, int]:
    """NXSTART, NYSTART, NZSTART as x, y, z: they belong to stored columns, rows and sections, not to axes."""
    stored = (int(fields["nzstart"]), int(fields["nystart"]), int(fields["nxstart"]))
    by_axis = dict(zip(axes, stored, strict=True))
    return by_axis[2], by_axis[1], by_axis[0]


def _pixel_sizes(fields: np.void) -> tuple[float, float, float]:
    def size(axis: str) -> float:
        length, intervals = float(fields["cella"][axis]), int(fields[f"m{axis}"])
        usable = np.isfinite(length) and length > 0 and intervals > 0
        # Seven digits are what float32 holds; more would be the noise of the division.
        return float(f"{length / intervals:.6g}") if usable else 0.0

    return size("x"), size("y"), size("z")
