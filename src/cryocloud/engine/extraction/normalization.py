"""Gray values of extracted boxes: contrast, background, dust, sampling."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from cryocloud.engine.fourier import fourier_crop
from cryocloud.engine.least_squares import least_squares

DUST_DEVIATIONS = 5.0


@dataclass(frozen=True)
class NormalizeSettings:
    """How boxes are normalised.

    Attributes
    ----------
    background_radius_px
        The background is what lies outside this radius of the cut box, around pixel D//2; it should
        exclude the particle and leave enough pixels for a plane.
    output_box_size_px
        Edge after the Fourier crop; the pixel size grows by cut over output.
    invert
        Whether particles are dark in the boxes.
    clamp_dust
        Whether to clip what is beyond 5 robust standard deviations.
    """

    background_radius_px: float
    output_box_size_px: int
    invert: bool = True
    clamp_dust: bool = True


def normalize_boxes(boxes: Float32[Tensor, "b d d"], settings: NormalizeSettings) -> Float32[Tensor, "b o o"]:
    """White particles on a flat background of mean 0 and standard deviation 1.

    Contrast is inverted, a plane fitted to the background subtracted, pixels beyond 5 robust standard
    deviations set to 5 (dust, dead pixels; twice, since dust tilts the first plane), the box
    Fourier-cropped, and mean and deviation of the background set at the end, since the crop removes noise.
    A box without any noise becomes 0. The input is not modified.

    Refinement has one noise spectrum for all images, so noise must have one scale: without it, images of a
    brighter micrograph would count for more than they should.
    """
    background = _background(boxes.shape[-1], settings.background_radius_px, boxes.device)
    images = -boxes if settings.invert else boxes
    images = images - _fitted_planes(images, background)
    for _ in range(2 if settings.clamp_dust else 0):
        limit = DUST_DEVIATIONS * _robust_deviation(images, background)
        images = torch.minimum(torch.maximum(images, -limit), limit)
        images = images - _fitted_planes(images, background)
    if settings.output_box_size_px != boxes.shape[-1]:
        images = fourier_crop(images, settings.output_box_size_px)
    scale = settings.output_box_size_px / boxes.shape[-1]
    background = _background(settings.output_box_size_px, settings.background_radius_px * scale, boxes.device)
    return _unit_background(images, background)


def _robust_deviation(
    images: Float32[Tensor, "b d d"], background: Bool[Tensor, "d d"]
) -> Float32[Tensor, "b 1 1"]:
    """From the median of the absolute values, of images of mean 0."""
    return 1.4826 * images[:, background].abs().median(1).values[:, None, None]


def _background(box_size_px: int, radius_px: float, device: torch.device) -> Bool[Tensor, "d d"]:
    """Pixels farther than ``radius_px`` from pixel D//2."""
    line = torch.arange(box_size_px, device=device, dtype=torch.float32) - box_size_px // 2
    return torch.hypot(line[:, None], line[None, :]) > radius_px


def _unit_background(
    images: Float32[Tensor, "b d d"], background: Bool[Tensor, "d d"]
) -> Float32[Tensor, "b d d"]:
    deviation, mean = torch.std_mean(images[:, background], dim=1)
    safe = torch.where(deviation > 0, deviation, torch.inf)
    return (images - mean[:, None, None]) / safe[:, None, None]


def _fitted_planes(
    images: Float32[Tensor, "b d d"], background: Bool[Tensor, "d d"]
) -> Float32[Tensor, "b d d"]:
    """Least-squares planes through the background of each image."""
    edge = images.shape[-1]
    line = torch.linspace(-1, 1, edge, device=images.device)
    y, x = torch.meshgrid(line, line, indexing="ij")
    terms = torch.stack([torch.ones_like(x), x, y])
    design = terms[:, background].T
    coefficients = least_squares(design, images[:, background].T).to(terms)
    return torch.einsum("tb,tyx->byx", coefficients, terms)
