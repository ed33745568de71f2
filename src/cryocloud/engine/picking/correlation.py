"""Locally normalised correlation of an image with small templates.

With weights w (sum 1) of the window around a pixel, template t and image f,

    score = sum w (t - <t>) f / (sd_w(t) sd_w(f))

where mean and deviation are taken with the weights: the correlation coefficient. Dividing by the local
deviation keeps ice crystals, edges and bright regions from scoring by their contrast alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Complex64, Float32, Int64
from scipy.fft import next_fast_len
from torch import Tensor

KERNELS_AT_ONCE = 16
LOST_POWER = 1e-3
PRODUCT_VALUES_AT_ONCE = 1 << 20
SMALLEST_VARIANCE = 1e-4


@dataclass(frozen=True)
class Correlation:
    """Correlation of the best template at each pixel, and the local standard deviation.

    Attributes
    ----------
    score
        Largest correlation coefficient of all templates, -1 to 1.
    deviation
        Standard deviation of the image under the window.
    components, coefficients
        ``coefficients @ components / deviation`` are the correlations of the k templates.
    """

    score: Float32[Tensor, "h w"]
    deviation: Float32[Tensor, "h w"]
    components: Float32[Tensor, "r h w"]
    coefficients: Float32[Tensor, "k r"]

    def best_template(self, x: Int64[Tensor, " n"], y: Int64[Tensor, " n"]) -> Int64[Tensor, " n"]:
        """Number of the best template at pixels."""
        return (self.coefficients @ self.components[:, y, x]).argmax(0)


@dataclass(frozen=True)
class TemplateBank:
    """Templates made ready for :func:`local_correlation`.

    The k kernels (templates of zero mean and unit power under the window, times the window) are the
    combinations ``coefficients`` [k, r] of ``basis`` [r, n, n].
    """

    window: Float32[Tensor, "n n"]
    basis: Float32[Tensor, "r n n"]
    coefficients: Float32[Tensor, "k r"]


def template_bank(templates: Float32[Tensor, "k n n"], window: Float32[Tensor, "n n"]) -> TemplateBank:
    """Prepare templates, centered at n//2 with n odd, for a window of weights that are not negative."""
    window = window / window.sum()
    centered = templates - (templates * window).sum((-2, -1), keepdim=True)
    norm = (centered**2 * window).sum((-2, -1), keepdim=True).sqrt().clamp(min=1e-12)
    basis, coefficients = _compressed(centered / norm * window)
    return TemplateBank(window, basis, coefficients)


def local_correlation(image: Float32[Tensor, "h w"], bank: TemplateBank) -> Correlation:
    """Correlation coefficient between templates and the image under a window, at every position.

    Mean and variance of the image are taken under the window around each pixel, so that the result lies
    between -1 and 1 whatever the local gray scale. The image is mirrored at its borders. The local
    deviation is held above 1 % of its rms, so that empty places do not divide by zero.

    Cost: r + 2 pairs of FFTs of the image, r the number of kernels of the bank, and k * r multiplications
    a pixel; memory for r images.

    References
    ----------
    Roseman 2003, Ultramicroscopy 94:225.
    """
    height, width = image.shape
    margin = bank.window.shape[-1] // 2
    padded = torch.nn.functional.pad(image[None, None], (margin,) * 4, mode="reflect")[0, 0]
    shape = (next_fast_len(padded.shape[0], real=True), next_fast_len(padded.shape[1], real=True))
    transform = torch.fft.rfft2(padded, s=shape)
    squares = torch.fft.rfft2(padded**2, s=shape)

    def correlate(spectrum: Complex64[Tensor, "p f"], kernels: Float32[Tensor, "b n n"]) -> Tensor:
        product = spectrum * torch.fft.rfft2(kernels, s=shape).conj()
        correlation: Tensor = torch.fft.irfft2(product, s=shape)
        return correlation[:, :height, :width]

    mean = correlate(transform, bank.window[None])[0]
    variance = correlate(squares, bank.window[None])[0] - mean**2
    deviation = variance.clamp(min=SMALLEST_VARIANCE * float(variance.mean())).sqrt()
    components = torch.empty(len(bank.basis), height, width, device=image.device)
    for first in range(0, len(bank.basis), KERNELS_AT_ONCE):
        chosen = slice(first, first + KERNELS_AT_ONCE)
        components[chosen] = correlate(transform, bank.basis[chosen])
    best = _best_combination(components.flatten(1), bank.coefficients).view(height, width)
    return Correlation(best / deviation, deviation, components, bank.coefficients)


def _compressed(
    kernels: Float32[Tensor, "k n n"],
) -> tuple[Float32[Tensor, "r n n"], Float32[Tensor, "k r"]]:
    """Fewer kernels of which the given ones are combinations, to a thousandth of their power.

    The kernels' principal components, without centering. Rotated views of a low-passed particle have few
    degrees of freedom, about (diameter / resolution)^2 * 2.5: a matrix product over that many correlation
    images replaces thousands of Fourier transforms. Sixteen kernels or fewer are kept as they are.
    """
    flat = kernels.flatten(1)
    if len(flat) <= KERNELS_AT_ONCE:
        return kernels, torch.eye(len(flat), device=kernels.device)
    power, vectors = torch.linalg.eigh((flat.T @ flat).to(torch.float64))
    falling = power.flip(0).clamp(min=0)
    missing = 1 - falling.cumsum(0) / falling.sum()
    rank = int((missing > LOST_POWER).sum()) + 1
    basis = vectors.flip(1)[:, :rank].T.to(torch.float32).contiguous()
    return basis.view(rank, *kernels.shape[1:]), flat @ basis.T


def _best_combination(
    components: Float32[Tensor, "r p"], coefficients: Float32[Tensor, "k r"]
) -> Float32[Tensor, " p"]:
    """Largest of the k combinations at each pixel."""
    best = torch.empty(components.shape[1], device=components.device)
    pixels_at_once = max(1, PRODUCT_VALUES_AT_ONCE // len(coefficients))
    for first in range(0, len(best), pixels_at_once):
        chosen = slice(first, first + pixels_at_once)
        best[chosen] = (components[:, chosen].T @ coefficients.T).amax(1)
    return best
