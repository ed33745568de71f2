"""Each kernel's time on the device against what its arithmetic or its traffic must take there.

``reference`` is the floor: floating-point operations over the measured peak of the matrix units, or the bytes that
must be read and written once over the measured speed of a copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from benchmarks.device.machine import Peaks, peaks, seconds
from benchmarks.device.rows import Row
from cryocloud.engine.alignment.direct import (
    PoseSamples,
    Prior,
    ReferenceTable,
    ScoringImages,
    direct_posterior,
    reference_table,
)
from cryocloud.engine.alignment.local_pose import Observations, refine_local_poses
from cryocloud.engine.alignment.sample_sums import sums_of_samples
from cryocloud.engine.fourier import PixelList, irfft2, make_pixel_list, phase_ramps, rfft2, rfftn
from cryocloud.engine.geometry import random_rotations, shift_grid
from cryocloud.engine.reconstruction import (
    Accumulator,
    VolumeTransform,
    slice_volume,
    solve,
    volume_transform,
)

SAME_BEST = 0.95  # bfloat16 finds the candidates only; 97.9 % agreed on the finest grids in prototypes


@dataclass(frozen=True)
class Sizes:
    """How much work: the full one is the search of 7.5 degrees on box 64 to ring 31."""

    box_px: int
    orientations: int
    images: int
    slices: int
    poses: int
    planes: int


FULL = Sizes(box_px=64, orientations=36_864, images=512, slices=8192, poses=2000, planes=512)
SMALL = Sizes(box_px=32, orientations=500, images=8, slices=100, poses=20, planes=8)


@dataclass(frozen=True)
class Scene:
    """A volume of noise, its slices, and images that are slices with noise as strong."""

    device: str
    peaks: Peaks
    pixels: PixelList
    transform: VolumeTransform
    rotation: Tensor
    slices: Tensor
    images: ScoringImages
    truth: Tensor


def measure(device: str, sizes: Sizes) -> Iterator[Row]:
    """A row a kernel."""
    scene = _scene(device, sizes)
    yield from _scores(scene)
    yield from _slices(scene, sizes)
    yield from _local_poses(scene, sizes)
    yield from _transforms(scene, sizes)


def _scene(device: str, sizes: Sizes) -> Scene:
    generator = torch.Generator().manual_seed(0)
    box = sizes.box_px
    volume = torch.randn(box, box, box, generator=generator).to(device)
    pixels = make_pixel_list(box, box // 2 - 1).to(device)
    transform = volume_transform(volume)
    rotation = random_rotations(sizes.orientations, generator).to(device)
    slices = slice_volume(transform, rotation, pixels)
    truth = torch.randint(sizes.orientations, (sizes.images,), generator=generator).to(device)
    strength = float(slices.abs().square().mean().sqrt())
    noise = torch.randn(sizes.images, len(pixels), generator=generator, dtype=torch.complex64).to(device)
    whitened = (slices[truth] / strength + noise) / strength
    power = torch.full((sizes.images, len(pixels)), strength**-2, device=device)
    return Scene(
        device, peaks(device), pixels, transform, rotation, slices, ScoringImages(whitened, power), truth
    )


def _scores(scene: Scene) -> Iterator[Row]:
    """The direct search with 21 shifts; the floor is that of its matrix product."""
    shifts = shift_grid(4.0, 1.6)
    ramps = phase_ramps(shifts.to(scene.device), scene.pixels)
    flat = Prior(
        torch.zeros(len(scene.slices), device=scene.device), torch.zeros(len(shifts), device=scene.device)
    )
    table = reference_table(scene.slices)
    found = {}
    single = replace(table, coarse=table.coarse.float())
    n_images = len(scene.images.weighted)
    flop = 2.0 * n_images * len(shifts) * len(table.slices) * 2 * len(scene.pixels)
    for name, references, peak in (
        ("coarse precision", table, scene.peaks.bfloat16_flop_per_s),
        ("float32", single, scene.peaks.float32_flop_per_s),
    ):
        found[name] = _search(scene, references, ramps, flat)
        taken = seconds(partial(_search, scene, references, ramps, flat), scene.device, 2)
        note = f"{n_images} images x {len(table.slices)} orientations x {len(shifts)} shifts"
        yield Row(f"direct search, {name}", taken, "s", flop / peak, note=note)
        yield Row(f"direct search of 10,000 images, {name}", taken * 10_000 / n_images, "s")
    best = [samples.reference[samples.best()] for samples in found.values()]
    same = float((best[0] == best[1]).float().mean())
    yield Row("same best pose in both precisions", same, "", 1.0, same >= SAME_BEST)
    right = float((best[0] == scene.truth).float().mean())
    yield Row("true pose found", right, "", 1.0)
    taken = seconds(lambda: sums_of_samples(scene.images, found["coarse precision"], ramps), scene.device, 3)
    n_samples = len(found["coarse precision"].image)
    traffic = n_samples * len(scene.pixels) * 12
    yield Row(
        "sums of samples", taken, "s", traffic / scene.peaks.copy_bytes_per_s, note=f"{n_samples} samples"
    )


def _search(scene: Scene, references: ReferenceTable, ramps: Tensor, flat: Prior) -> PoseSamples:
    return direct_posterior(scene.images, references, ramps, flat, max_samples=60)


def _slices(scene: Scene, sizes: Sizes) -> Iterator[Row]:
    rotation = scene.rotation[: sizes.slices]
    n, n_pixels = len(rotation), len(scene.pixels)
    taken = seconds(lambda: slice_volume(scene.transform, rotation, scene.pixels), scene.device)
    floor = n * n_pixels * 8 / scene.peaks.copy_bytes_per_s
    yield Row("slice", 1e6 * taken / n, "us a slice", 1e6 * floor / n)
    data = slice_volume(scene.transform, rotation, scene.pixels)
    weight = torch.ones(n, n_pixels, device=scene.device)
    accumulator = Accumulator(sizes.box_px, sizes.box_px // 2, device=scene.device)
    taken = seconds(lambda: accumulator.insert(data, weight, rotation, scene.pixels), scene.device)
    floor = n * n_pixels * 12 / scene.peaks.copy_bytes_per_s
    yield Row("insertion", 1e6 * taken / n, "us a slice", 1e6 * floor / n)
    yield Row("map from sums", seconds(lambda: solve(accumulator), scene.device), "s")


def _local_poses(scene: Scene, sizes: Sizes) -> Iterator[Row]:
    """Four steps; the floor is reading image and CTF at each of the five evaluations."""
    image = torch.arange(sizes.poses, device=scene.device) % len(scene.images.weighted)
    observations = Observations(
        scene.slices[scene.truth],
        torch.ones_like(scene.images.power),
        torch.ones(scene.pixels.r_max_px + 1, dtype=torch.float64, device=scene.device),
        scene.pixels,
    )
    rotation = scene.rotation[scene.truth][image]
    shift_px = torch.zeros(len(image), 2, dtype=torch.float64, device=scene.device)
    taken = seconds(
        lambda: refine_local_poses(scene.transform, observations, image, rotation, shift_px), scene.device, 3
    )
    floor = 5 * len(image) * len(scene.pixels) * 12 / scene.peaks.copy_bytes_per_s
    yield Row(
        "local pose, 4 steps", 1e6 * taken / len(image), "us a pose", 1e6 * floor / len(image),
        note=f"{len(image)} at once",
    )  # fmt: skip


def _transforms(scene: Scene, sizes: Sizes) -> Iterator[Row]:
    """The floor is one read of the image and one write of its half transform."""
    for box in (sizes.box_px, 4 * sizes.box_px):
        images = torch.randn(sizes.planes, box, box, device=scene.device)
        floor = sizes.planes * (4 * box**2 + 8 * box * (box // 2 + 1)) / scene.peaks.copy_bytes_per_s
        note = f"{sizes.planes} of {box} px"
        yield Row(
            "rfft2 about the center", seconds(partial(rfft2, images), scene.device), "s", floor, note=note
        )
        transform = rfft2(images)
        taken = seconds(partial(irfft2, transform, box), scene.device)
        yield Row("irfft2 about the center", taken, "s", floor, note=note)
    box = 4 * sizes.box_px
    volume = torch.randn(box, box, box, device=scene.device)
    floor = (4 * box**3 + 8 * box**2 * (box // 2 + 1)) / scene.peaks.copy_bytes_per_s
    yield Row(
        "rfftn about the center", seconds(lambda: rfftn(volume), scene.device), "s", floor, note=f"{box} px"
    )
