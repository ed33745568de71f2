"""Checks before work. Each failure is an `InputError` with the value and the remedy."""

from __future__ import annotations

import glob
import math
import shutil
from collections import Counter
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import TypeVar

from cryocloud.catalog.base import Forecast
from cryocloud.engine.errors import InputError
from cryocloud.engine.io.name_gate import is_readable_file, require_readable

PIXEL_SIZE_RANGE_ANGSTROM = (0.1, 30.0)
PIXEL_SIZE_MISMATCH = 0.01
# A job that fills the disk to the last byte harms its neighbors; the system needs some memory too.
DISK_RESERVE_BYTES = 200e6
MEMORY_SHARE = 0.95

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")

Shape = TypeVar("Shape", bound=Hashable)


def find_files(path: Path, *, suffixes: tuple[str, ...]) -> list[Path]:
    """Files behind a path, a folder (those with ``suffixes``) or a glob pattern, in order of name.

    Raises
    ------
    InputError
        Nothing is there.
    """
    require_readable(path)
    if path.is_file():
        return [path]
    if path.is_dir():
        found = sorted(
            entry for entry in path.iterdir() if entry.suffix in suffixes and is_readable_file(entry)
        )
        if not found:
            raise InputError(f"{path}: the folder holds no {' or '.join(suffixes)} file; give another folder")
        return found
    found = sorted(Path(match) for match in glob.glob(str(path)) if is_readable_file(Path(match)))
    if not found:
        raise InputError(f"{path}: no file matches; check the path, and quote patterns with *")
    return found


def require_pixel_size(pixel_size_angstrom: float, source: str) -> None:
    """A pixel size that an electron microscope can have."""
    low, high = PIXEL_SIZE_RANGE_ANGSTROM
    if not (math.isfinite(pixel_size_angstrom) and low <= pixel_size_angstrom <= high):
        raise InputError(
            f"pixel size {pixel_size_angstrom:g} Å ({source}) is not between {low:g} and {high:g} Å; "
            "give the right one with --pixel-size-angstrom"
        )


def pixel_sizes_differ(a_angstrom: float, b_angstrom: float) -> bool:
    """Whether two pixel sizes differ by more than 1 %."""
    return abs(a_angstrom - b_angstrom) > PIXEL_SIZE_MISMATCH * min(a_angstrom, b_angstrom)


def most_common_shape(shapes: Iterable[Shape]) -> Shape:
    """The shape that most items have; of equally common ones the first."""
    return Counter(shapes).most_common(1)[0][0]


def require_equal_shapes(shapes: Iterable[tuple[str, tuple[int, ...]]]) -> None:
    """All named things have one shape (half maps, maps and masks)."""
    named = list(shapes)
    first_name, first_shape = named[0]
    for name, shape in named[1:]:
        if shape != first_shape:
            raise InputError(
                f"{name}: {_product(shape)}, but {first_name}: {_product(first_shape)}; sizes must agree"
            )


def require_cube(shape: tuple[int, ...], path: Path) -> None:
    """A map with three equal edges."""
    if len(shape) != 3 or len(set(shape)) != 1:
        raise InputError(f"{path}: {_product(shape)}; a map must be a cube, pad it to equal edges")


def require_resources(forecast: Forecast, out: Path) -> None:
    """Enough free memory and disk for what a job is expected to need."""
    require_disk_space(out, forecast.disk_bytes)
    require_memory(forecast.memory_bytes)


def require_disk_space(out: Path, needed_bytes: float) -> None:
    """Free space for results on the disk of ``out``, with a reserve of 200 MB."""
    free_bytes = shutil.disk_usage(out).free
    if needed_bytes + DISK_RESERVE_BYTES > free_bytes:
        raise InputError(
            f"{out}: about {_gigabytes(needed_bytes)} will be written, {_gigabytes(free_bytes)} are free; "
            "free some space or choose another --out"
        )


def require_memory(needed_bytes: float) -> None:
    """Free memory for a job, as far as the machine or the container allows."""
    available_bytes = available_memory_bytes()
    if needed_bytes > MEMORY_SHARE * available_bytes:
        raise InputError(
            f"about {_gigabytes(needed_bytes)} of memory will be needed, {_gigabytes(available_bytes)} are "
            "free; use a smaller box, fewer classes or threads, or a machine with more memory"
        )


def available_memory_bytes() -> float:
    """Free memory: the kernel's estimate, or what the container's limit leaves if that is less."""
    lines = _MEMINFO.read_text().splitlines()
    kibibytes = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    return min(1024.0 * kibibytes, _container_leaves_bytes())


def _container_leaves_bytes() -> float:
    limit, used = _CGROUP / "memory.max", _CGROUP / "memory.current"
    if not limit.is_file() or (text := limit.read_text().strip()) == "max":
        return math.inf
    # The page cache counts as used but is given back when asked for.
    statistics = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
    return float(text) - float(used.read_text()) + float(statistics["inactive_file"])


def _product(shape: tuple[int, ...]) -> str:
    return " x ".join(str(edge) for edge in reversed(shape)) + " px"


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:.2g} GB"
