"""MRC and MRCS files: micrographs, stacks and density maps.

A header gate compares what a header promises with the bytes that are there before any reader
allocates memory for it. Arrays are [z, y, x] (or [section, y, x]); row 0 is y = 0.
"""

from __future__ import annotations

import bz2
import gzip
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Self

import mrcfile
import numpy as np
from mrcfile.dtypes import HEADER_DTYPE
from numpy.typing import NDArray

from cryocloud.engine.errors import InputError
from cryocloud.engine.io.atomic_write import replaced_when_complete

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
_FORMAT_VERSION = 20141
_SPACE_GROUP_STACK = 0
_SPACE_GROUP_VOLUME = 1

StorageType = Literal["float32", "float16"]


@dataclass(frozen=True)
class MrcHeader:
    """What the header of an MRC file says, after the gate.

    Attributes
    ----------
    shape_zyx
        Sections, rows, columns as arrays are indexed (axes already in z, y, x order).
    mode
        MRC data mode.
    dtype
        NumPy type of the stored pixels, with byte order.
    pixel_size_xyz_angstrom
        Cell length / intervals for each axis; 0 where the header does not say.
    origin_xyz_angstrom
        The ORIGIN words.
    start_xyz
        Position of the first voxel in the cell, in voxels (NXSTART words).
    is_volume
        Space group above 0: a density map, not a stack of images.
    data_offset_bytes
        Where the pixels begin.
    stored_axes
        For each stored axis (section, row, column) the spatial axis 0 = z, 1 = y, 2 = x.
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
    compression = _compression_of(path)
    with _open_bytes(path, compression) as stream:
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


def open_mrc(path: Path | str) -> NDArray[Any]:
    """Memory-map an MRC file: read-only array [z, y, x] in the stored type; pixels are read when indexed.

    Always three-dimensional (a single image is one section), so that stacks of one image need no special
    case. Compressed files are unpacked into memory.

    Raises
    ------
    InputError
        As `read_mrc_header`.
    """
    path = Path(path)
    header = read_mrc_header(path)
    if header.compression:
        stored = _unpack(path, header)
    else:
        stored = np.memmap(
            path, dtype=header.dtype, mode="r", offset=header.data_offset_bytes, shape=header.stored_shape
        )
    position_of_axis = [header.stored_axes.index(axis) for axis in range(3)]
    return stored.transpose(position_of_axis)


def read_mrc(path: Path | str) -> tuple[NDArray[np.float32], float]:
    """Read a whole MRC file.

    Returns
    -------
    array, pixel_size_angstrom
        float32 [y, x] where the file holds a single section, else [z, y, x]; pixel size along x, 0 where
        the header does not say.

    Raises
    ------
    InputError
        As `read_mrc_header`.
    """
    header = read_mrc_header(path)
    array = np.ascontiguousarray(open_mrc(path), dtype=np.float32)
    if array.shape[0] == 1:
        array = array[0]
    return array, header.pixel_size_angstrom


def write_mrc(
    path: Path | str,
    array: NDArray[Any],
    pixel_size_angstrom: float,
    *,
    dtype: StorageType = "float32",
    stack: bool = False,
    origin_xyz_angstrom: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> None:
    """Write an image [y, x], a volume [z, y, x] or (``stack``) a stack of images [n, y, x].

    The file appears under its name only when complete. ``dtype`` "float16" (mode 12) halves the size; RELION
    reads it from version 4 on. The input is not modified.

    Raises
    ------
    InputError
        Values that float16 cannot hold.
    """
    path = Path(path)
    pixels = _stored_pixels(array, dtype, path)
    with replaced_when_complete(path) as temporary, mrcfile.new(temporary, overwrite=True) as mrc:
        mrc.set_data(pixels)
        if stack:
            mrc.set_image_stack()
        elif pixels.ndim == 3:
            mrc.set_volume()
        mrc.voxel_size = pixel_size_angstrom
        mrc.header.origin = origin_xyz_angstrom


class MrcStackWriter:
    """Writes a stack of square images batch by batch; the file appears when it is closed.

    Use as a context manager: an exception inside leaves no file.

    >>> with MrcStackWriter("particles.mrcs", box_size_px=64, pixel_size_angstrom=1.5) as stack:
    ...     stack.append(images)
    """

    def __init__(
        self,
        path: Path | str,
        box_size_px: int,
        pixel_size_angstrom: float,
        *,
        dtype: StorageType = "float32",
    ) -> None:
        self.path = Path(path)
        self.count = 0
        self._box_size_px = box_size_px
        self._pixel_size_angstrom = pixel_size_angstrom
        self._dtype: StorageType = dtype
        self._statistics = _RunningStatistics()
        self._replacement = replaced_when_complete(self.path)
        self._stream: IO[bytes] = self._replacement.__enter__().open("wb")
        self._stream.write(bytes(HEADER_BYTES))

    def append(self, images: NDArray[Any]) -> None:
        """Add images [b, D, D] at the end."""
        if images.shape[1:] != (self._box_size_px, self._box_size_px):
            raise ValueError(f"images {images.shape} do not have box size {self._box_size_px}")
        pixels = _stored_pixels(images, self._dtype, self.path)
        self._statistics.add(pixels)
        self._stream.write(np.ascontiguousarray(pixels).data)
        self.count += len(images)

    def close(self) -> None:
        """Write the header and give the file its name."""
        self._stream.seek(0)
        self._stream.write(self._header().tobytes())
        self._stream.close()
        self._replacement.__exit__(None, None, None)

    def _header(self) -> NDArray[Any]:
        if self.count == 0:
            raise InputError(f"{self.path}: a stack needs at least one image; nothing was left to write")
        header = np.zeros((), dtype=HEADER_DTYPE)
        box = self._box_size_px
        header["nx"] = header["ny"] = header["mx"] = header["my"] = box
        header["nz"] = self.count
        header["mz"] = 1
        header["mode"] = 12 if self._dtype == "float16" else 2
        header["cella"] = (box * self._pixel_size_angstrom, box * self._pixel_size_angstrom, self._pixel_size_angstrom)
        header["cellb"] = (90.0, 90.0, 90.0)
        header["mapc"], header["mapr"], header["maps"] = 1, 2, 3
        header["ispg"] = _SPACE_GROUP_STACK
        header["nversion"] = _FORMAT_VERSION
        header["map"] = b"MAP "
        header["machst"] = (0x44, 0x44, 0, 0)
        header["dmin"], header["dmax"], header["dmean"], header["rms"] = self._statistics.summary()
        return header

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._stream.close()
            self._discard()

    def _discard(self) -> None:
        self.path.with_name(f".{self.path.name}.part").unlink(missing_ok=True)


class _RunningStatistics:
    """Minimum, maximum, mean and standard deviation of what was added, in float64."""

    def __init__(self) -> None:
        self.minimum, self.maximum = np.inf, -np.inf
        self.count, self.total, self.total_of_squares = 0, 0.0, 0.0

    def add(self, pixels: NDArray[Any]) -> None:
        self.minimum = min(self.minimum, float(pixels.min()))
        self.maximum = max(self.maximum, float(pixels.max()))
        self.count += pixels.size
        self.total += float(pixels.sum(dtype=np.float64))
        self.total_of_squares += float(np.square(pixels, dtype=np.float64).sum())

    def summary(self) -> tuple[float, float, float, float]:
        mean = self.total / self.count
        variance = max(0.0, self.total_of_squares / self.count - mean**2)
        return self.minimum, self.maximum, mean, variance**0.5


def _stored_pixels(array: NDArray[Any], dtype: StorageType, path: Path) -> NDArray[Any]:
    with np.errstate(over="ignore"):
        pixels = np.asarray(array).astype(dtype)
    if dtype == "float16" and np.isinf(pixels).any():
        peak = float(np.abs(array).max())
        raise InputError(f"{path}: value {peak:g} does not fit float16 (65504); write float32 instead")
    return pixels


def _compression_of(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            magic = stream.read(3)
    except OSError as error:
        raise InputError(f"{path}: cannot be opened ({error.strerror}); check the path") from error
    if magic == b"BZh":
        return "bz2"
    return "gzip" if magic[:2] == b"\x1f\x8b" else ""


def _open_bytes(path: Path, compression: str) -> IO[bytes]:
    if compression == "bz2":
        return bz2.open(path, "rb")
    return gzip.open(path, "rb") if compression == "gzip" else path.open("rb")


def _parse_header(raw: bytes, path: Path) -> NDArray[Any]:
    little = np.frombuffer(raw, dtype=HEADER_DTYPE)[0]
    big = np.frombuffer(raw, dtype=HEADER_DTYPE.newbyteorder(">"))[0]
    stamp = raw[212]
    preferred, other = (big, little) if stamp == 0x11 else (little, big)
    for fields in (preferred, other):
        if _is_plausible(fields):
            return fields  # type: ignore[no-any-return]  # numpy types a record scalar as Any
    mode = int(preferred["mode"])
    if mode in _REFUSED_MODES:
        raise InputError(f"{path}: MRC mode {mode} ({_REFUSED_MODES[mode]}) is not read; convert to float32 (mode 2)")
    sizes = tuple(int(preferred[name]) for name in ("nx", "ny", "nz"))
    raise InputError(
        f"{path}: not an MRC header (mode {mode}, size {sizes[0]} x {sizes[1]} x {sizes[2]}); "
        f"modes {sorted(_DTYPE_OF_MODE)} and positive sizes are read. Check that this is an MRC file"
    )


def _is_plausible(fields: NDArray[Any]) -> bool:
    sizes_positive = all(int(fields[name]) > 0 for name in ("nx", "ny", "nz"))
    return int(fields["mode"]) in _DTYPE_OF_MODE and sizes_positive and int(fields["nsymbt"]) >= 0


def _gate(fields: NDArray[Any], path: Path, compression: str) -> MrcHeader:
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
        raise InputError(
            f"{path}: the header promises {columns} x {rows} x {sections} pixels of mode {int(fields['mode'])} = "
            f"{promised_bytes:,} bytes but the file has {path.stat().st_size:,}; it is truncated or its header is "
            "damaged, copy it again"
        )
    axes = _stored_axes(fields, path)
    by_axis = dict(zip(axes, (sections, rows, columns), strict=True))
    return MrcHeader(
        shape_zyx=(by_axis[0], by_axis[1], by_axis[2]),
        mode=int(fields["mode"]),
        dtype=dtype,
        pixel_size_xyz_angstrom=_pixel_sizes(fields),
        origin_xyz_angstrom=(float(fields["origin"]["x"]), float(fields["origin"]["y"]), float(fields["origin"]["z"])),
        start_xyz=_start(fields, axes),
        is_volume=int(fields["ispg"]) > _SPACE_GROUP_STACK,
        data_offset_bytes=offset_bytes,
        stored_axes=axes,
        compression=compression,
        surplus_bytes=surplus_bytes,
    )


def _pixel_dtype(fields: NDArray[Any]) -> np.dtype[Any]:
    mode = int(fields["mode"])
    order = ">" if fields.dtype["nx"].byteorder == ">" else "<"
    # IMOD stores bytes unsigned unless bit 0 of its flags (words 39 and 40) says otherwise.
    imod_stamp, imod_flags = np.frombuffer(fields.tobytes()[152:160], dtype=f"{order}i4")
    if mode == 0 and imod_stamp == _IMOD_STAMP and not imod_flags & 1:
        return np.dtype("u1")
    return np.dtype(order + _DTYPE_OF_MODE[mode])


def _stored_axes(fields: NDArray[Any], path: Path) -> tuple[int, int, int]:
    numbers = tuple(int(fields[name]) for name in ("maps", "mapr", "mapc"))
    if numbers == (0, 0, 0):
        return 0, 1, 2
    if sorted(numbers) != [1, 2, 3]:
        raise InputError(f"{path}: axis order MAPC/R/S = {numbers[::-1]} is no permutation of 1, 2, 3; repair the header")
    section, row, column = (3 - number for number in numbers)
    return section, row, column


def _start(fields: NDArray[Any], axes: tuple[int, int, int]) -> tuple[int, int, int]:
    stored = (int(fields["nzstart"]), int(fields["nystart"]), int(fields["nxstart"]))
    by_axis = dict(zip(axes, stored, strict=True))
    return by_axis[2], by_axis[1], by_axis[0]


def _pixel_sizes(fields: NDArray[Any]) -> tuple[float, float, float]:
    def size(axis: str) -> float:
        length, intervals = float(fields["cella"][axis]), int(fields[f"m{axis}"])
        usable = np.isfinite(length) and length > 0 and intervals > 0
        # Seven digits are what float32 holds; more would be the noise of the division.
        return float(f"{length / intervals:.6g}") if usable else 0.0

    return size("x"), size("y"), size("z")


def _unpack(path: Path, header: MrcHeader) -> NDArray[Any]:
    wanted = int(np.prod(header.stored_shape)) * header.dtype.itemsize
    with _open_bytes(path, header.compression) as stream:
        try:
            stream.read(header.data_offset_bytes)
            raw = stream.read(wanted)
        except (OSError, EOFError) as error:
            raise InputError(f"{path}: damaged {header.compression} data ({error}); copy the file again") from error
    if len(raw) < wanted:
        raise InputError(f"{path}: the header promises {wanted:,} bytes of pixels, {len(raw):,} are there; copy it again")
    return np.frombuffer(raw, dtype=header.dtype).reshape(header.stored_shape)
