"""Density maps, Fourier-cropped: 16-bit MRC for the 3D view, 8-bit voxels for the slices."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import fft

from cryocloud.engine.errors import InputError
from cryocloud.engine.io.mrc import open_mrc, read_mrc_header
from cryocloud.engine.io.mrc_header import MrcHeader
from cryocloud.engine.io.name_gate import is_readable_file
from cryocloud.jobs.result_previews.order import Order
from cryocloud.jobs.result_previews.surface import FRAMES, TILE_PX, level_without_dust, turning_pictures

MAP_EDGE_PX = 192
SLICES_EDGE_PX = 128
EDGE_MAX_PX = 2048
DENSITY_MAX = 1e30
"""Sums over all voxels of a small map stay finite in 32 bits."""
MAPS_MAX = 24
TURNING_EDGE_PX = 96
# The first one is shown first.
TITLES = {
    "map_sharpened_masked": "Sharpened map inside the mask",
    "map_sharpened": "Sharpened map",
    "map": "Map",
    "half1": "Half map 1",
    "half2": "Half map 2",
    "map_aligned": "Map over the truth",
    "model_placed": "Placed model",
    "mask": "Mask",
}
_INT16_PEAK = 32000
_CLASS = re.compile(r"volume_class(\d{1,3})")


def preview_maps(order: Order) -> dict[str, Any]:
    """One entry for each map that could be read; what could not is told with its reason."""
    found: list[dict[str, Any]] = []
    problems: list[dict[str, str]] = []
    turning: dict[str, Any] = {}
    for path in _map_files(order.folder):
        try:
            entry, volume = _preview(path, order.out)
            found.append(entry)
            if not turning and path.stem != "mask":
                turning = {"turning": _turning(entry, volume, order.out)}
        except (InputError, ValueError) as error:
            problems.append({"file": path.name, "reason": str(error)})
    return {"maps": found, "problems": problems} | turning


def _turning(entry: dict[str, Any], volume: NDArray[np.float32], out: Path) -> dict[str, Any]:
    """The map as it turns, as one picture of ``frames`` tiles from left to right."""
    small = fourier_cropped(volume, TURNING_EDGE_PX)
    tiles = turning_pictures(small, level_without_dust(small))
    Image.fromarray(np.concatenate(list(tiles), axis=1), mode="LA").save(out / "turning.png", optimize=True)
    return {"file": "turning.png", "title": entry["title"], "frames": FRAMES, "tile_px": TILE_PX}


def _map_files(folder: Path) -> list[Path]:
    named = [folder / f"{name}.mrc" for name in TITLES]
    classes = [path for path in folder.glob("volume_class*.mrc") if _CLASS.fullmatch(path.stem)]
    classes.sort(key=lambda path: int(path.stem.removeprefix("volume_class")))
    return [path for path in (*named, *classes) if is_readable_file(path)][:MAPS_MAX]


def _preview(path: Path, out: Path) -> tuple[dict[str, Any], NDArray[np.float32]]:
    header = read_mrc_header(path)
    shape = header.shape_zyx
    if min(shape) < 2 or max(shape) > EDGE_MAX_PX:
        raise InputError(
            f"{path.name}: {shape} voxels cannot be shown; the limit is {EDGE_MAX_PX} along an edge"
        )
    cropped = fourier_cropped(open_mrc(path), MAP_EDGE_PX)
    peak = float(np.abs(cropped).max())
    if not peak <= DENSITY_MAX:
        raise InputError(f"{path.name}: densities beyond ±{DENSITY_MAX:g} cannot be shown")
    scale = _INT16_PEAK / max(peak, 1e-30)
    pixel_xyz = _write_map(out / f"{path.stem}.mrc", np.rint(cropped * scale).astype(np.int16), header)
    mean, deviation = float(cropped.mean(dtype=np.float64)), float(cropped.std(dtype=np.float64))
    level = 0.5 if path.stem == "mask" else level_without_dust(cropped)
    match = _CLASS.fullmatch(path.stem)
    entry = {
        "name": path.stem,
        "title": f"Class {int(match.group(1))}" if match else TITLES[path.stem],
        "file": f"{path.stem}.mrc",
        "true_shape_zyx": list(shape),
        "true_pixel_size_angstrom": header.pixel_size_angstrom,
        "shape_zyx": list(cropped.shape),
        "pixel_size_angstrom": pixel_xyz[0],
        "mean": mean,
        "deviation": deviation,
        "minimum": float(cropped.min()),
        "maximum": float(cropped.max()),
        "level": level,
        "slices": _write_slices(out / f"{path.stem}.bin", cropped, header),
    }
    return entry, cropped


def fourier_cropped(volume: NDArray[Any], edge_px: int) -> NDArray[np.float32]:
    """The volume [z, y, x] with its longest edge at most ``edge_px``, its highest frequencies left out.

    Works section by section, so that memory follows the result and not the volume. What is not a number counts as 0.
    """
    nz, ny, nx = volume.shape
    mz, my, mx = cropped_shape(volume.shape, edge_px)
    if (mz, my, mx) == (nz, ny, nx):
        return np.nan_to_num(np.ascontiguousarray(volume, dtype=np.float32), posinf=0, neginf=0)
    stack = np.empty((nz, my, mx // 2 + 1), np.complex64)
    rows = _kept(ny, my)
    for z, section in enumerate(_sections(volume)):
        stack[z] = fft.rfft2(section)[rows, : mx // 2 + 1]
    stack[:, :, -1] = 0
    planes = _kept(nz, mz)
    cropped = np.empty((mz, my, mx // 2 + 1), np.complex64)
    for y in range(my):
        cropped[:, y] = fft.fft(stack[:, y], axis=0)[planes]
    if my < ny:
        cropped[:, my // 2] = 0
    if mz < nz:
        cropped[mz // 2] = 0
    cropped *= np.float32((mz * my * mx) / volume.size)
    back: NDArray[np.float32] = fft.irfftn(cropped, s=(mz, my, mx)).astype(np.float32, copy=False)
    return back


def cropped_shape(shape: tuple[int, ...], edge_px: int) -> tuple[int, int, int]:
    """Even edges in the proportions of the volume; the shape itself if it is small enough."""
    longest = max(shape)
    if longest <= edge_px:
        return shape[0], shape[1], shape[2]
    nz, ny, nx = (max(2, 2 * round(edge / longest * edge_px / 2)) for edge in shape)
    return min(nz, shape[0]), min(ny, shape[1]), min(nx, shape[2])


def _kept(edge: int, cropped_edge: int) -> NDArray[np.int64]:
    half = cropped_edge // 2
    return np.concatenate([np.arange(cropped_edge - half), np.arange(edge - half, edge)])


def _sections(volume: NDArray[Any]) -> Iterator[NDArray[np.float32]]:
    for section in volume:
        yield np.nan_to_num(np.asarray(section, dtype=np.float32), posinf=0, neginf=0)


def _write_map(path: Path, voxels: NDArray[np.int16], header: MrcHeader) -> tuple[float, float, float]:
    """Pixel sizes follow the cropping, so that the cell and the origin stay those of the map."""
    true_xyz = tuple(size or 1.0 for size in header.pixel_size_xyz_angstrom)
    edges = zip(true_xyz, header.shape_zyx[::-1], voxels.shape[::-1], strict=True)
    x, y, z = (size * true / cropped for size, true, cropped in edges)
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(voxels)
        mrc.set_volume()
        mrc.voxel_size = (x, y, z)
        mrc.header.origin = _origin(header, true_xyz)
        mrc.header.label[0] = "Written by CryoCloud for viewing"
    return x, y, z


def _origin(header: MrcHeader, pixel_xyz: tuple[float, ...]) -> tuple[float, ...]:
    if any(header.origin_xyz_angstrom):
        return header.origin_xyz_angstrom
    return tuple(start * size for start, size in zip(header.start_xyz, pixel_xyz, strict=True))


def _write_slices(path: Path, cropped: NDArray[np.float32], header: MrcHeader) -> dict[str, Any]:
    small = fourier_cropped(cropped, SLICES_EDGE_PX)
    low, high = (float(value) for value in np.quantile(small, (0.0005, 0.9995)))
    if high <= low:
        low, high = float(small.min()), float(small.max()) + 1e-12
    levels = np.clip((small - low) / (high - low), 0, 1)
    path.write_bytes(np.rint(levels * 255).astype(np.uint8).tobytes())
    cell_angstrom = header.shape_zyx[2] * (header.pixel_size_angstrom or 1.0)
    return {
        "file": path.name,
        "shape_zyx": list(small.shape),
        "pixel_size_angstrom": cell_angstrom / small.shape[2],
        "low": low,
        "high": high,
    }
