"""MRC and MRCS files: micrographs, stacks and density maps.

Arrays are [z, y, x] (or [section, y, x]); row 0 is y = 0. A viewer that draws row 0 at the top shows the
image upside down against one that draws y upwards; the arrays are the same. Every file passes the gate of
`mrc_header` first.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import mrcfile
import numpy as np
from mrcfile.dtypes import HEADER_DTYPE
from numpy.typing import NDArray

from cryocloud.engine.errors import InputError
from cryocloud.engine.io.atomic_write import replaced_when_complete
from cryocloud.engine.io.mrc_header import HEADER_BYTES, MrcHeader, open_bytes, read_mrc_header

__all__ = ["MrcHeader", "MrcStackWriter", "open_mrc", "read_mrc", "read_mrc_header", "write_mrc"]

_FORMAT_VERSION = 20141
_SPACE_GROUP_STACK = 0

StorageType = Literal["float32", "float16"]


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

    The file appears under its name only when complete. The input is not modified. Equal contents give
    equal bytes.

    Parameters
    ----------
    pixel_size_angstrom
        The same for all axes.
    dtype
        "float32" (mode 2) or "float16" (mode 12), which halves the size; RELION reads it from version 4
        on.
    stack
        Writes space group 0, where a volume has 1: programs tell stacks of images from maps by it.
    origin_xyz_angstrom
        ORIGIN words: where voxel (0, 0, 0) lies in the frame of a model.

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
        # Instead of the time of writing: equal contents give equal files.
        mrc.header.label[0] = "Written by CryoCloud"


class MrcStackWriter:
    """Writes a stack of square images batch by batch; the file appears when it is closed.

    The header, with the number of images and the statistics of their pixels, is written last. Use as a
    context manager: an exception inside leaves no file, nor does a stack without images, which raises
    `InputError`.

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
        self._files = ExitStack()
        temporary = self._files.enter_context(replaced_when_complete(self.path))
        self._stream = self._files.enter_context(temporary.open("wb"))
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
        with self._files:
            self._stream.seek(0)
            self._stream.write(self._header().tobytes())

    def _header(self) -> NDArray[Any]:
        if self.count == 0:
            raise InputError(f"{self.path}: a stack needs at least one image; nothing was left to write")
        header = np.zeros((), dtype=HEADER_DTYPE)
        box = self._box_size_px
        header["nx"] = header["ny"] = header["mx"] = header["my"] = box
        header["nz"] = self.count
        header["mz"] = 1
        header["mode"] = 12 if self._dtype == "float16" else 2
        header["cella"] = (
            box * self._pixel_size_angstrom,
            box * self._pixel_size_angstrom,
            self._pixel_size_angstrom,
        )
        header["cellb"] = (90.0, 90.0, 90.0)
        header["mapc"], header["mapr"], header["maps"] = 1, 2, 3
        header["ispg"] = _SPACE_GROUP_STACK
        header["nversion"] = _FORMAT_VERSION
        header["map"] = b"MAP "
        header["machst"] = (0x44, 0x44, 0, 0)
        header["dmin"], header["dmax"], header["dmean"], header["rms"] = self._statistics.summary()
        return header

    def __enter__(self) -> MrcStackWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._files.__exit__(kind, error, trace)


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


def _unpack(path: Path, header: MrcHeader) -> NDArray[Any]:
    wanted = int(np.prod(header.stored_shape)) * header.dtype.itemsize
    with open_bytes(path, header.compression) as stream:
        try:
            stream.read(header.data_offset_bytes)
            raw = stream.read(wanted)
        except (OSError, EOFError) as error:
            raise InputError(
                f"{path}: damaged {header.compression} data ({error}); copy the file again"
            ) from error
    if len(raw) < wanted:
        raise InputError(
            f"{path}: the header promises {wanted:,} bytes of pixels, {len(raw):,} are there; copy it again"
        )
    return np.frombuffer(raw, dtype=header.dtype).reshape(header.stored_shape)
