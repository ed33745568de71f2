"""Noise variance of each Fourier ring.

``sigma2`` always means the variance of an *unmasked* image's coefficients. With it the sum of
|mask (x - m)|^2 / sigma2 over Fourier pixels equals the real-space sum over the mask's area (Parseval), so
the same spectrum serves masked images in scores and unmasked ones in reconstructions. A mask scales the
noise power of a coefficient by the mean of its square; estimates from masked images are divided by that.
"""

from __future__ import annotations

import torch
from jaxtyping import Complex64, Float, Float32, Float64
from torch import Tensor

from cryocloud.engine.errors import InputError
from cryocloud.engine.fourier import PixelList, image_coefficients, ring_average
from cryocloud.engine.records.particle_set import ParticleSet

_IMAGES_AT_ONCE = 200


def initial_noise_spectrum(
    particles: ParticleSet,
    pixels: PixelList,
    generator: torch.Generator,
    *,
    mask: Float32[Tensor, "d d"],
    max_images: int = 1000,
) -> Float64[Tensor, " r"]:
    """Noise variance before any reference exists: power of the masked images less that of their average.

    What all images share (the average, which holds the mean particle and the mask's own transform) is not
    noise; the signal that differs between images still is counted, so the estimate is a little high.

    Parameters
    ----------
    particles, pixels
        Images [D, D] and a pixel list of the same box; the work runs on the device of ``pixels``.
    generator
        Draws which images are used.
    mask
        Multiplied into each image; keeps neighboring particles out.
    max_images
        Size of the random sample.

    Returns
    -------
    Tensor
        float64 [r_max + 1], sigma2 of rings 0 .. r_max of unmasked images; ring 0 repeats ring 1.

    Raises
    ------
    InputError
        Fewer than two images, or images without any variance in a ring.
    """
    if len(particles) < 2:
        raise InputError(f"a noise spectrum needs at least 2 particles, got {len(particles)}")
    device = pixels.kx.device
    rows = torch.randperm(len(particles), generator=generator)[:max_images].sort().values.numpy()
    power = torch.zeros(pixels.r_max_px + 1, dtype=torch.float64, device=device)
    total = torch.zeros(len(pixels), dtype=torch.complex128, device=device)
    for start in range(0, len(rows), _IMAGES_AT_ONCE):
        images = torch.from_numpy(particles.read_images(rows[start : start + _IMAGES_AT_ONCE])).to(device)
        coefficients = image_coefficients(images * mask.to(device), pixels)
        power += ring_average(coefficients.abs() ** 2, pixels).sum(0)
        total += coefficients.to(torch.complex128).sum(0)
    n = len(rows)
    average_power = ring_average((total / n).abs()[None] ** 2, pixels)[0]
    variance = (power / n - average_power) * (n / (n - 1)) / _mean_square(mask)
    if not bool((variance[1:] > 0).all()):
        ring = int((variance[1:] <= 0).nonzero()[0, 0]) + 1
        raise InputError(
            f"the images have no noise in Fourier ring {ring}: they are blank, identical or filtered; "
            "use the particles as they were extracted"
        )
    variance[0] = variance[1]
    return variance


def residual_power(
    coefficients: Complex64[Tensor, "m n"],
    models: Complex64[Tensor, "m n"],
    weight: Float[Tensor, " m"],
    pixels: PixelList,
) -> Float64[Tensor, " r"]:
    """Weighted sum over m (image, pose) samples of the ring means of |X - model|^2.

    Sum it over batches together with the sum of ``weight`` and hand both to :func:`noise_from_residuals`.
    """
    difference = coefficients - models
    squared = difference.real**2 + difference.imag**2
    return weight.to(torch.float64) @ ring_average(squared, pixels)


def noise_from_residuals(
    power: Float64[Tensor, " r"], weight: float, *, mask: Float32[Tensor, "d d"] | None = None
) -> Float64[Tensor, " r"]:
    """Noise variance sigma2 [r] from sums of :func:`residual_power`; ring 0 repeats ring 1.

    Parameters
    ----------
    power, weight
        Sums over samples of weighted residual power and of the weights.
    mask
        The mask that the images were multiplied by; none if they were not.
    """
    if weight <= 0:
        raise ValueError(f"noise from residuals needs a positive sum of weights, got {weight}")
    sigma2 = power / (weight * (1.0 if mask is None else _mean_square(mask)))
    sigma2[0] = sigma2[1]
    return sigma2


def _mean_square(mask: Tensor) -> float:
    return float((mask.to(torch.float64) ** 2).mean())
