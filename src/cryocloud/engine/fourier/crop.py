"""Change of sampling by cutting or padding in Fourier space."""

from __future__ import annotations

import torch
from torch import Tensor

from cryocloud.engine.fourier.transforms import irfft2, irfftn, rfft2, rfftn


def fourier_crop(images: Tensor, new_box_size_px: int) -> Tensor:
    """Square images [..., D, D] resampled to [..., d, d]; gray values keep their scale.

    Either way: d < D cuts the spectrum, d > D pads it with zeros. The center stays the center (D//2 to d//2). The
    pixel size becomes D/d times as large, and the variance of white noise falls to (d/D)^2 of its value where it
    is cut. The smaller box' Nyquist frequency is left out: its partner of the other sign exists in one box only.
    """
    old = images.shape[-1]
    band = _resize_axis(rfft2(images), -2, old, new_box_size_px)
    band = _resize_half_axis(band, old, new_box_size_px)
    return irfft2(band * (new_box_size_px / old) ** 2, new_box_size_px)


def fourier_crop_volume(volume: Tensor, new_box_size_px: int) -> Tensor:
    """A cube [..., D, D, D] resampled to [..., d, d, d]; gray values keep their scale. As :func:`fourier_crop`."""
    old = volume.shape[-1]
    band = rfftn(volume)
    for axis in (-3, -2):
        band = _resize_axis(band, axis, old, new_box_size_px)
    band = _resize_half_axis(band, old, new_box_size_px)
    return irfftn(band * (new_box_size_px / old) ** 3, new_box_size_px)


def _resize_axis(transform: Tensor, axis: int, old: int, new: int) -> Tensor:
    """Keep the frequencies that both samplings have; the new Nyquist frequency, which has no partner, is zero."""
    smaller = min(old, new)
    n_positive, n_negative = (smaller + 1) // 2, (smaller - 1) // 2
    positive = transform.narrow(axis, 0, n_positive)
    negative = transform.narrow(axis, old - n_negative, n_negative)
    shape = list(transform.shape)
    shape[axis] = new - n_positive - n_negative
    return torch.cat([positive, transform.new_zeros(shape), negative], dim=axis)


def _resize_half_axis(transform: Tensor, old: int, new: int) -> Tensor:
    """As :func:`_resize_axis` for the last axis of an rfft array, which holds no negative frequencies."""
    n_kept = (min(old, new) + 1) // 2
    kept = transform.narrow(-1, 0, n_kept)
    return torch.cat([kept, transform.new_zeros(*transform.shape[:-1], new // 2 + 1 - n_kept)], dim=-1)
