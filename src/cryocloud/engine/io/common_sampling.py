"""Particles of several optics groups, with pixels and boxes of different size, as images of one sampling.

Sessions at two magnifications are refined together in this way. Only the coarsest pixel and the narrowest
box are common to all images: a finer one would ask for frequencies that some images lack, a wider one for
pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32
from numpy.typing import NDArray
from torch import Tensor

from cryocloud.engine.errors import InputError
from cryocloud.engine.fourier import coefficients_to_images, make_pixel_list
from cryocloud.engine.fourier.plane import plane_grid, plane_taps, sample_plane
from cryocloud.engine.io.image_names import ImageStacks

SMALLEST_BOX_PX = 16
# Pixels within this of one another count as one size; over a box of 500 px that is half a pixel.
PIXEL_SIZE_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Sampling:
    """Box and pixel size of square images: the frequencies are k / (box_size_px * pixel_size_angstrom)."""

    box_size_px: int
    pixel_size_angstrom: float

    @property
    def edge_angstrom(self) -> float:
        """Width of the box."""
        return self.box_size_px * self.pixel_size_angstrom


@dataclass(frozen=True)
class OpticsImages:
    """The images of one sampling: ``rows`` int64 [m] are their places among all n particles."""

    stacks: ImageStacks
    rows: NDArray[np.int64]
    pixel_size_angstrom: float

    @property
    def sampling(self) -> Sampling:
        """That of the stored images."""
        return Sampling(self.stacks.box_size_px, self.pixel_size_angstrom)


class CommonImages:
    """Reads images of several samplings as images of one.

    It has the coarsest pixel, which every image resolves, and the largest even box that no image falls short of.

    Raises
    ------
    InputError
        The common box has fewer than 16 px.
    """

    def __init__(self, parts: list[OpticsImages]) -> None:
        self._parts = parts
        n = sum(len(part.rows) for part in parts)
        self._part_of_row, self._row_in_part = np.empty((2, n), dtype=np.int64)
        for number, part in enumerate(parts):
            self._part_of_row[part.rows] = number
            self._row_in_part[part.rows] = np.arange(len(part.rows))
        self.sampling = common_sampling([part.sampling for part in parts])

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Images of the rows [b] as float32 [b, D, D], in the order asked for."""
        box = self.sampling.box_size_px
        images = np.empty((len(rows), box, box), dtype=np.float32)
        part_of_row = self._part_of_row[rows]
        for number in np.unique(part_of_row):
            part = self._parts[number]
            places = part_of_row == number
            stored = part.stacks.read(self._row_in_part[rows[places]])
            found = resampled_images(torch.from_numpy(stored), part.pixel_size_angstrom, self.sampling)
            images[places] = found.numpy()
        return images


def common_sampling(samplings: list[Sampling]) -> Sampling:
    """The coarsest pixel and the largest even box that is no wider than any of the images; one alone stays."""
    if len(set(samplings)) == 1:
        return samplings[0]
    pixel = max(sampling.pixel_size_angstrom for sampling in samplings)
    edge_angstrom = min(sampling.edge_angstrom for sampling in samplings)
    box = 2 * int(edge_angstrom / (2 * pixel) * (1 + PIXEL_SIZE_TOLERANCE))
    if box < SMALLEST_BOX_PX:
        raise InputError(
            f"boxes of {edge_angstrom:.0f} Å at the coarsest pixel of {pixel:g} Å leave {box} px for all optics "
            "groups together; extract the particles with one pixel size, or leave a group out"
        )
    return Sampling(box, pixel)


def resampled_images(
    images: Float32[Tensor, "b e e"], pixel_size_angstrom: float, wanted: Sampling
) -> Float32[Tensor, "b d d"]:
    """The middle of images with other pixels, which keeps noise of variance 1 at variance 1 in every
    frequency.

    The images are cut to the wanted width, to a pixel, and their transform is read at the wanted
    frequencies, at which no sampling need match: frequency k of the wanted box is ``k * c * p / edge`` of
    a cut image of c pixels of p Angstrom. The centers, pixel c//2 and D//2, fall on one another. Mean and
    frequencies beyond the last full ring are left out, as in all scoring. Images that have the wanted box
    and pixel, to 0.1 %, are returned as they are.
    """
    if images.shape[-1] == wanted.box_size_px and (
        abs(pixel_size_angstrom / wanted.pixel_size_angstrom - 1) <= PIXEL_SIZE_TOLERANCE
    ):
        return images
    cut = min(2 * round(wanted.edge_angstrom / (2 * pixel_size_angstrom)), images.shape[-1])
    start = images.shape[-1] // 2 - cut // 2
    middle = images[:, start : start + cut, start : start + cut]
    pixels = make_pixel_list(wanted.box_size_px, wanted.box_size_px // 2 - 1)
    scale = cut * pixel_size_angstrom / wanted.edge_angstrom
    r_max_px = min(int(pixels.r_max_px * scale) + 1, cut // 2 - 1)
    taps = plane_taps(pixels.kx * scale, pixels.ky * scale, r_max_px)
    return coefficients_to_images(sample_plane(plane_grid(middle, r_max_px), taps), pixels)
