"""The band-limited half-plane of Fourier pixels that scores and reconstructions run over.

Half a plane, because a real image's other half repeats it: the likelihood counts each independent coefficient
once. A list of pixels, because scores are then matrix products over it, and a lower resolution is a prefix.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Complex64, Float, Float32
from torch import Tensor

from cryocloud.engine.fourier.transforms import irfft2, rfft2


@dataclass(frozen=True)
class PixelList:
    """Fourier pixels of a D x D image with 0 < |k| <= r_max, one of each Friedel pair, ordered by ring.

    About pi r_max^2 / 2 pixels. The mean (k = 0) is left out: it depends on the background more than on the
    particle.

    Attributes
    ----------
    box_size_px, r_max_px
        D and the last ring.
    kx, ky
        Integer frequencies in units of 1/D, kx >= 0, float32 [n].
    ring
        round(|k|), int64 [n], ascending: a smaller band is a prefix.
    flat_index
        Place in a flattened rfft2 array, int64 [n].
    """

    box_size_px: int
    r_max_px: int
    kx: Tensor
    ky: Tensor
    ring: Tensor
    flat_index: Tensor

    def __len__(self) -> int:
        return len(self.kx)

    def count_within(self, r_max_px: int) -> int:
        """Number of leading pixels whose ring is at most ``r_max_px``."""
        return int(torch.searchsorted(self.ring, r_max_px, right=True))

    def within(self, r_max_px: int) -> PixelList:
        """The prefix of rings up to ``r_max_px``."""
        n = self.count_within(r_max_px)
        reach = min(r_max_px, self.r_max_px)
        return PixelList(
            self.box_size_px, reach, self.kx[:n], self.ky[:n], self.ring[:n], self.flat_index[:n]
        )

    def to(self, device: torch.device | str) -> PixelList:
        """The same list on another device."""
        kx, ky, ring, flat_index = (t.to(device) for t in (self.kx, self.ky, self.ring, self.flat_index))
        return PixelList(self.box_size_px, self.r_max_px, kx, ky, ring, flat_index)


@lru_cache(maxsize=32)
def make_pixel_list(box_size_px: int, r_max_px: int) -> PixelList:
    """Pixels with round(|k|) from 1 to ``r_max_px`` (at most D/2 - 1, so that no Nyquist pixel enters).

    Results are kept and given out again for equal arguments: their tensors, on the CPU, must not be written.
    """
    r_max_px = min(r_max_px, box_size_px // 2 - 1)
    ky = torch.fft.fftfreq(box_size_px, 1 / box_size_px)
    kx = torch.fft.rfftfreq(box_size_px, 1 / box_size_px)
    ky, kx = torch.meshgrid(ky, kx, indexing="ij")
    radius = torch.hypot(kx, ky)
    ring = radius.round().long()
    keep = (ring >= 1) & (ring <= r_max_px) & ~((kx == 0) & (ky < 0))
    flat_index = keep.flatten().nonzero()[:, 0]
    order = torch.argsort(ring.flatten()[flat_index], stable=True)
    flat_index = flat_index[order]
    kx, ky, ring = (t.flatten()[flat_index].contiguous() for t in (kx, ky, ring))
    return PixelList(box_size_px, r_max_px, kx, ky, ring, flat_index)


def image_coefficients(images: Float32[Tensor, "b d d"], pixels: PixelList) -> Complex64[Tensor, "b n"]:
    """Unitary Fourier coefficients rfft2(image) / D of images at the pixels of the list.

    At this scale sum |X|^2 over the whole plane equals the sum of squared gray values, and white noise keeps its
    variance.
    """
    return rfft2(images).flatten(1)[:, pixels.flat_index] / pixels.box_size_px


def coefficients_to_images(
    coefficients: Complex64[Tensor, "b n"], pixels: PixelList
) -> Float32[Tensor, "b d d"]:
    """Images [b, D, D] that have the given coefficients and nothing elsewhere, so their mean is 0.

    The inverse of :func:`image_coefficients` within the band; Friedel partners at kx = 0 are filled in.
    """
    box = pixels.box_size_px
    plane = torch.zeros(
        len(coefficients), box * (box // 2 + 1), dtype=torch.complex64, device=coefficients.device
    )
    plane[:, pixels.flat_index] = coefficients * box
    mirrored = (pixels.kx == 0) & (pixels.ky > 0)
    plane[:, (box - pixels.ky[mirrored]).long() * (box // 2 + 1)] = coefficients[:, mirrored].conj() * box
    return irfft2(plane.view(-1, box, box // 2 + 1), box)


def phase_ramps(shift_px: Float[Tensor, "s 2"], pixels: PixelList) -> Complex64[Tensor, "s n"]:
    """exp(-2 pi i k.shift / D): multiplying an image's coefficients moves its content by +shift.

    ``shift_px`` is (x, y) in pixels, any fraction. A particle's stored shift is the one that centers it: this ramp
    centers the image, its conjugate displaces the model.
    """
    shift = shift_px.to(torch.float32)
    angle = (-2 * math.pi / pixels.box_size_px) * (shift[:, :1] * pixels.kx + shift[:, 1:] * pixels.ky)
    return torch.polar(torch.ones_like(angle), angle)
