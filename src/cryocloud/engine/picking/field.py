"""The micrograph as the pickers see it: coarse, particles bright, without slow gradients."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32
from scipy.ndimage import distance_transform_edt, label
from torch import Tensor

from cryocloud.engine.errors import InputError
from cryocloud.engine.least_squares import least_squares

SIZE_UNIT_PX = 32
GRADIENT_DIAMETERS = 2.0
FEWEST_DIAMETERS = 2.0
CLIP_ROBUST_DEVIATIONS = 6.0
CONTAMINATION_DISC_SHARE = 0.1
LARGEST_CONTAMINATED_SHARE = 0.2


@dataclass(frozen=True)
class Field:
    """A coarse image [h, w] of zero mean and unit deviation in which particles are bright.

    A point (x, y) of it is the point ``scale * (x, y)`` of the micrograph: cutting Fourier coefficients
    keeps pixel 0 in place.

    Attributes
    ----------
    usable
        False where ice crystals and the like were cut out (the image is 0 there).
    pixel_size_angstrom
        Of the coarse image.
    """

    image: Float32[Tensor, "h w"]
    usable: Bool[Tensor, "h w"]
    pixel_size_angstrom: float
    scale: float


def prepare_field(
    micrograph: Float32[Tensor, "h w"],
    *,
    pixel_size_angstrom: float,
    coarse_pixel_size_angstrom: float,
    diameter_angstrom: float,
    dark_particles: bool = True,
) -> Field:
    """Fourier-crop a micrograph to about ``coarse_pixel_size_angstrom`` and remove gradients of ice
    thickness.

    Variations longer than two particle diameters are removed. Solid areas beyond 6 robust standard
    deviations (ice crystals, carbon edges) are cut out and single pixels beyond that clipped: otherwise
    one crystal would dominate every average that follows. The background under a crystal is wrong until it
    is gone, so both are done twice.

    Parameters
    ----------
    coarse_pixel_size_angstrom
        Wanted. The band that is kept is a whole number of sixteenths of the micrograph's, so that both
        axes have one scale; it is never widened.
    diameter_angstrom
        Of the particles.
    dark_particles
        Whether they are darker than the ice; the field shows them bright in any case.

    Raises
    ------
    InputError
        Pixels that are not finite, an image without contrast, or one smaller than two particles.

    Notes
    -----
    The background is a cubic surface and then a Gaussian blur of deviation ``sqrt(2) D / pi``, D the
    diameter: what is left of a wave of period 2 D is 1 - 1/e of its amplitude, of longer ones less.
    """
    # Sizes in multiples of 32 and an even number of kept 32nds: the same scale along x and y, and even edges.
    height, width = (edge // SIZE_UNIT_PX * SIZE_UNIT_PX for edge in micrograph.shape)
    if min(height, width) * pixel_size_angstrom < FEWEST_DIAMETERS * diameter_angstrom:
        raise InputError(
            f"micrograph of {micrograph.shape[1]} x {micrograph.shape[0]} px of {pixel_size_angstrom:g} Å is too "
            f"small for particles of {diameter_angstrom:g} Å; check diameter and pixel size"
        )
    image = micrograph[:height, :width]
    deviation = float(image.std())
    if not deviation > 0:
        reason = "all pixels have the same value" if deviation == 0 else "some pixels are not finite"
        raise InputError(f"nothing can be picked: {reason}; make the micrograph again")
    kept = 2 * max(1, round(SIZE_UNIT_PX * pixel_size_angstrom / coarse_pixel_size_angstrom / 2))
    kept = min(kept, SIZE_UNIT_PX)
    small_height, small_width = height // SIZE_UNIT_PX * kept, width // SIZE_UNIT_PX * kept
    scale = SIZE_UNIT_PX / kept
    coarse_pixel = pixel_size_angstrom * scale
    sign = -1.0 if dark_particles else 1.0
    small = _cropped(sign * (image - _smooth_surface(image)) / deviation, small_height, small_width)
    blur_px = GRADIENT_DIAMETERS * diameter_angstrom / coarse_pixel / (math.sqrt(2) * math.pi)
    radius_px = diameter_angstrom / 2 / coarse_pixel
    usable = torch.ones_like(small, dtype=torch.bool)
    for _ in range(2):
        background = _blurred(small, blur_px)
        detail = small - background
        robust = 1.4826 * float(detail.abs().median())
        usable = usable & ~_solid_contamination(detail / robust, radius_px)
        limit = CLIP_ROBUST_DEVIATIONS * robust
        small = background + torch.where(usable, detail.clamp(-limit, limit), 0.0)
    detail = torch.where(usable, detail.clamp(-limit, limit), 0.0)
    return Field(detail / detail.std(), usable, coarse_pixel, scale)


def _cropped(image: Float32[Tensor, "h w"], height: int, width: int) -> Float32[Tensor, "p q"]:
    """Fourier-cropped image; all sizes even."""
    transform = torch.fft.rfft2(image)
    transform = torch.cat([transform[: height // 2], transform[len(transform) - height // 2 :]])
    small: Tensor = torch.fft.irfft2(transform[:, : width // 2 + 1], s=(height, width))
    return small


def _smooth_surface(image: Float32[Tensor, "h w"]) -> Float32[Tensor, "h w"]:
    """Cubic surface through an image, fitted to the means of 32 x 32 pixels.

    Without it the opposite borders of the image differ, and every filter would leave fringes along them.
    """
    blocks = torch.nn.functional.avg_pool2d(image[None, None], SIZE_UNIT_PX)[0, 0]
    y, x = (_powers(edge, image.device) for edge in blocks.shape)
    order = torch.arange(len(y), device=image.device)
    cubic = order[:, None] + order < len(order)
    design = torch.einsum("iy,jx->yxij", y, x)[..., cubic].flatten(0, 1)
    coefficients = torch.zeros(cubic.shape, device=image.device)
    coefficients[cubic] = least_squares(design, blocks.reshape(-1, 1))[:, 0].to(coefficients)
    y, x = (_powers(edge, image.device) for edge in image.shape)
    return y.T @ (coefficients @ x)


def _powers(edge: int, device: torch.device) -> Float32[Tensor, "4 n"]:
    """Powers 0 to 3 of a coordinate that runs from -1 to 1 over equal cells."""
    line = (torch.arange(edge, device=device) + 0.5) * 2 / edge - 1
    return line ** torch.arange(4, device=device)[:, None]


def _blurred(image: Float32[Tensor, "h w"], sigma_px: float) -> Float32[Tensor, "h w"]:
    """Gaussian blur with mirrored borders."""
    reach = min(math.ceil(3 * sigma_px), min(image.shape) - 1)
    line = torch.arange(-reach, reach + 1, dtype=torch.float32, device=image.device)
    kernel = torch.exp(-0.5 * (line / sigma_px) ** 2)
    kernel = kernel / kernel.sum()
    padded = torch.nn.functional.pad(image[None, None], (reach,) * 4, mode="reflect")
    along_x = torch.nn.functional.conv2d(padded, kernel[None, None, None, :])
    return torch.nn.functional.conv2d(along_x, kernel[None, None, :, None])[0, 0]


def _solid_contamination(level: Float32[Tensor, "h w"], radius_px: float) -> Bool[Tensor, "h w"]:
    """Connected areas far beyond the contrast of particles, with a margin of half a radius.

    Nothing where they would cover more than a fifth of the image: then that is the contrast of the particles.
    """
    far = (level.abs() > CLIP_ROBUST_DEVIATIONS).cpu().numpy()
    areas, count = label(far)
    sizes = np.bincount(areas.ravel(), minlength=count + 1)
    large = sizes >= CONTAMINATION_DISC_SHARE * np.pi * radius_px**2
    large[0] = False
    spoiled = large[areas]
    if spoiled.any():
        spoiled = distance_transform_edt(~spoiled) <= radius_px / 2
    if spoiled.mean() > LARGEST_CONTAMINATED_SHARE:
        spoiled = np.zeros_like(spoiled)
    return torch.from_numpy(spoiled).to(level.device)


def squared_frequency(
    shape: tuple[int, int], pixel_size_angstrom: float, device: torch.device | str = "cpu"
) -> Float32[Tensor, "h f"]:
    """Squared spatial frequency (1 / Angstrom^2) in rfft layout."""
    sy = torch.fft.fftfreq(shape[0], pixel_size_angstrom, device=device)
    sx = torch.fft.rfftfreq(shape[1], pixel_size_angstrom, device=device)
    squared: Tensor = sy[:, None] ** 2 + sx[None, :] ** 2
    return squared
