"""Small pictures of MRC files, made strip by strip so that their memory does not grow with the file."""

from __future__ import annotations

import math
from io import BufferedIOBase
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cryocloud.engine.errors import InputError
from cryocloud.engine.io.atomic_write import replaced_when_complete
from cryocloud.engine.io.mrc_header import MrcHeader, open_bytes

EDGES_PX = {"thumb": 256, "view": 1536}
FRAMES_MAX = 8
TILES_MAX = 64
TILE_EDGE_MAX_PX = 512
QUALITY = 80
_STRIP_BYTES = 16 << 20
_TAILS_PERCENT = {"thumb": (1.0, 99.0), "view": (0.5, 99.5)}


def write_previews(path: Path, header: MrcHeader, targets: dict[str, Path]) -> None:
    """Write one WebP for each size: binned, which is also the low-pass filter, and stretched in contrast.

    A volume shows its middle section, a stack of small boxes a montage of its first images, a stack of
    large frames the mean of its first frames.
    """
    with open_bytes(path, header.compression) as stream:
        try:
            picture = _picture(stream, header)
        except (OSError, EOFError) as error:
            raise InputError(f"{path}: the pixels cannot be read ({error}); copy the file again") from error
    for size, target in targets.items():
        small = bin_to(picture, EDGES_PX[size])
        image = Image.fromarray(stretched(small, *_TAILS_PERCENT[size]))
        with replaced_when_complete(target) as temporary:
            image.save(temporary, "WEBP", quality=QUALITY)


def stretched(picture: NDArray[np.float32], low_percent: float, high_percent: float) -> NDArray[np.uint8]:
    """Gray values 0-255 between two percentiles; a constant picture becomes middle gray."""
    low, high = (float(value) for value in np.percentile(picture, (low_percent, high_percent)))
    if not high > low:
        return np.full(picture.shape, 128, dtype=np.uint8)
    scaled = (picture.astype(np.float64) - low) * (255.0 / (high - low))
    return np.clip(scaled, 0, 255).astype(np.uint8)


def bin_to(picture: NDArray[np.float32], edge_max_px: int) -> NDArray[np.float32]:
    """Means of square blocks, as small as needed for the longer edge."""
    return _binned(picture, math.ceil(max(picture.shape) / edge_max_px))


def _binned(picture: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    if factor <= 1:
        return picture
    row_starts, column_starts = (np.arange(0, length, factor) for length in picture.shape)
    sums = np.add.reduceat(picture, row_starts, axis=0, dtype=np.float64)
    sums = np.add.reduceat(sums, column_starts, axis=1)
    heights = np.diff([*row_starts, picture.shape[0]])
    widths = np.diff([*column_starts, picture.shape[1]])
    means: NDArray[np.float32] = (sums / np.outer(heights, widths)).astype(np.float32)
    return means


def _picture(stream: BufferedIOBase, header: MrcHeader) -> NDArray[np.float32]:
    sections, rows, columns = header.stored_shape
    factor = math.ceil(max(rows, columns) / EDGES_PX["view"])
    if header.is_volume or sections == rows == columns:
        return _section(stream, header, sections // 2, factor)
    if sections > 1 and max(rows, columns) <= TILE_EDGE_MAX_PX:
        return _montage([_section(stream, header, index, 1) for index in range(min(sections, TILES_MAX))])
    frames = min(sections, FRAMES_MAX)
    total = _section(stream, header, 0, factor)
    for index in range(1, frames):
        total = total + _section(stream, header, index, factor)
    return total


def _montage(tiles: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Tiles of equal contrast in rows, one pixel apart; each is binned so that all fit."""
    across = math.ceil(math.sqrt(len(tiles)))
    down = math.ceil(len(tiles) / across)
    factor = math.ceil(across * (max(tiles[0].shape) + 1) / EDGES_PX["view"])
    small = [_binned(tile, factor) for tile in tiles]
    height, width = (length + 1 for length in small[0].shape)
    sheet = np.zeros((down * height, across * width), dtype=np.float32)
    for index, tile in enumerate(small):
        y, x = (index // across) * height, (index % across) * width
        sheet[y : y + height - 1, x : x + width - 1] = stretched(tile, 0.5, 99.5).astype(np.float32)
    return sheet


def _section(stream: BufferedIOBase, header: MrcHeader, index: int, factor: int) -> NDArray[np.float32]:
    """One section as stored, binned while it is read."""
    _, rows, columns = header.stored_shape
    row_bytes = columns * header.dtype.itemsize
    stream.seek(header.data_offset_bytes + index * rows * row_bytes)
    rows_a_strip = max(1, _STRIP_BYTES // (row_bytes * factor)) * factor
    strips = []
    for first in range(0, rows, rows_a_strip):
        count = min(rows_a_strip, rows - first)
        raw = stream.read(count * row_bytes)
        if len(raw) < count * row_bytes:
            raise EOFError(f"row {first + len(raw) // row_bytes} of {rows} is missing")
        strip = np.frombuffer(raw, dtype=header.dtype).reshape(count, columns).astype(np.float32)
        strips.append(_binned(_finite(strip), factor))
    return np.concatenate(strips)


def _finite(strip: NDArray[np.float32]) -> NDArray[np.float32]:
    """Pixels that are no numbers take the mean of the others."""
    usable = np.isfinite(strip)
    if usable.all():
        return strip
    mean = strip[usable].mean(dtype=np.float64) if usable.any() else 0.0
    return np.where(usable, strip, np.float32(mean))
