"""Ratios between kernels that do the same work on one core: what each optimization brings on this machine."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from cryocloud.engine.alignment.direct import (
    Prior,
    ReferenceTable,
    coarse_dtype,
    direct_posterior,
    prepare_scoring,
    reference_table,
)
from cryocloud.engine.alignment.polar import (
    make_polar_grid,
    polar_image_samples,
    polar_posterior,
    polar_references,
    prepare_polar,
)
from cryocloud.engine.fourier import coefficients_to_images, image_coefficients, make_pixel_list, phase_ramps
from cryocloud.engine.geometry import random_rotations, rotation_from_euler, shift_grid
from cryocloud.engine.reconstruction import Accumulator, VolumeTransform, slice_volume, volume_transform
from cryocloud.engine.reconstruction.slicing import _slice_by_gather

BOX, R_MAX = 64, 31
VIEWS, ANGLES, IMAGES, SLICES = 20, 72, 24, 1000
REPEATS = 25
BARS = {
    "polar over direct, float32": 3.0,
    "bfloat16 over float32, matrix product": 2.5,
    "numba slice over grid_sample": 2.0,
}


def cpu_s(works: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Best time of each, taken in turns so that a busy moment of the machine meets all alike."""
    best = dict.fromkeys(works, math.inf)
    for work in works.values():
        work()
    for _ in range(REPEATS):
        for name, work in works.items():
            start = time.process_time()
            work()
            best[name] = min(best[name], time.process_time() - start)
    return best


def measure() -> list[dict[str, object]]:
    """One row a ratio: names, CPU milliseconds of both sides, ratio, and the bar where one was set."""
    scoring, slicing = _scoring(), _slicing()
    pairs = {
        "polar over direct, float32": (scoring["direct float32"], scoring["polar float32"]),
        "polar over direct, best precision": (scoring["direct best"], scoring["polar best"]),
        "numba slice over grid_sample": (slicing["grid_sample"], slicing["slice numba"]),
        "numba slice over torch gather": (slicing["slice torch"], slicing["slice numba"]),
        "numba insertion over torch scatter": (slicing["insert torch"], slicing["insert numba"]),
    }
    if coarse_dtype(torch.device("cpu")) == torch.bfloat16:
        pairs["bfloat16 over float32, direct search"] = (scoring["direct float32"], scoring["direct best"])
        pairs["bfloat16 over float32, matrix product"] = (scoring["product float32"], scoring["product best"])
    return [
        {
            "what": what,
            "slow_ms": 1e3 * slow,
            "quick_ms": 1e3 * quick,
            "ratio": slow / quick,
            "bar": BARS.get(what),
        }
        for what, (slow, quick) in pairs.items()
    ]


def _scoring() -> dict[str, float]:
    """All in-plane angles of a few views times 21 shifts, for a few images, by every kernel and precision."""
    generator = torch.Generator().manual_seed(0)
    pixels = make_pixel_list(BOX, R_MAX)
    transform = volume_transform(_volume(generator))
    views = random_rotations(VIEWS, generator)
    shifts = shift_grid(4.0, 1.6)
    images = coefficients_to_images(
        slice_volume(transform, random_rotations(IMAGES, generator), pixels), pixels
    )
    images = images + images.std() * 3 * torch.randn(images.shape, generator=generator)
    sigma2 = torch.full((R_MAX + 1,), float((images.std() * 0.95) ** 2))
    flat = Prior(torch.zeros(VIEWS), torch.zeros(len(shifts)))
    psi = torch.arange(ANGLES, dtype=torch.float64) * 360 / ANGLES
    zero = torch.zeros_like(psi)
    turned = torch.einsum("vij,pjk->vpik", views, rotation_from_euler(zero, zero, psi)).reshape(-1, 3, 3)
    table = reference_table(slice_volume(transform, turned, pixels))
    single = ReferenceTable(table.slices, table.power, table.coarse.float())
    ones = torch.ones(IMAGES, len(pixels))
    prepared = prepare_scoring(image_coefficients(images, pixels), ones, sigma2, pixels)
    ramps = phase_ramps(shifts, pixels)
    each = Prior(torch.zeros(len(turned)), flat.log_shift)
    grid = make_polar_grid(BOX, R_MAX, ANGLES, object_radius_px=24.0, image_radius_px=28.0)
    references = polar_references(slice_volume(transform, views, grid.points), shifts, grid)
    single_polar = replace(references, tables=tuple(t.float() for t in references.tables))
    polar = prepare_polar(
        polar_image_samples(images, grid), torch.ones(IMAGES, len(grid.points)), sigma2, grid
    )
    rows = torch.view_as_real(prepared.weighted[:, None] * ramps).reshape(IMAGES * len(shifts), -1)
    rows_best = rows.to(table.coarse.dtype)
    return cpu_s(
        {
            "product float32": lambda: rows @ single.coarse.T,
            "product best": lambda: rows_best @ table.coarse.T,
            "direct float32": lambda: direct_posterior(prepared, single, ramps, each),
            "direct best": lambda: direct_posterior(prepared, table, ramps, each),
            "polar float32": lambda: polar_posterior(polar, single_polar, grid, flat),
            "polar best": lambda: polar_posterior(polar, references, grid, flat),
        }
    )


def _slicing() -> dict[str, float]:
    generator = torch.Generator().manual_seed(0)
    pixels = make_pixel_list(BOX, R_MAX)
    transform = volume_transform(_volume(generator))
    rotation = random_rotations(SLICES, generator).float()
    slices = slice_volume(transform, rotation, pixels)
    weight = torch.ones(SLICES, len(pixels))
    target = Accumulator(BOX, R_MAX)
    return cpu_s(
        {
            "slice numba": lambda: slice_volume(transform, rotation, pixels),
            "slice torch": lambda: _slice_by_gather(transform, rotation, pixels),
            "grid_sample": lambda: _slice_by_grid_sample(transform, rotation, pixels.kx, pixels.ky),
            "insert numba": lambda: target.insert(slices, weight, rotation, pixels),
            "insert torch": lambda: target._insert_by_scatter(slices, weight, rotation, pixels),
        }
    )


def _slice_by_grid_sample(transform: VolumeTransform, rotation: Tensor, kx: Tensor, ky: Tensor) -> Tensor:
    """The same slices with torch's own interpolation: real and imaginary part as two channels."""
    reach = transform.grid.shape[2] - 1
    channels = torch.view_as_real(transform.grid).movedim(3, 0)[None].contiguous()
    position = (rotation[:, :, :2] @ (torch.stack([kx, ky]) * transform.padding)).mT
    mirrored = position[..., :1] < 0
    position = torch.where(mirrored, -position, position)
    # x runs over the non-negative half, y and z over both; grid_sample counts from -1 to 1.
    unit = torch.stack(
        [2 * position[..., 0] / reach - 1, position[..., 1] / reach, position[..., 2] / reach], -1
    )
    values = torch.nn.functional.grid_sample(channels, unit[None, None], align_corners=True)[0, :, 0]
    return torch.complex(values[0], torch.where(mirrored[..., 0], -values[1], values[1]))


def _volume(generator: torch.Generator) -> Tensor:
    """Noise in a ball of 24 px: what a volume holds does not matter for speed."""
    line = torch.arange(BOX) - BOX // 2
    inside = line[:, None, None] ** 2 + line[:, None] ** 2 + line**2 < 24**2
    return torch.randn(BOX, BOX, BOX, generator=generator) * inside
