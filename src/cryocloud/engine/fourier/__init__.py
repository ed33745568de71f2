"""Fourier transforms of images and volumes, pixel lists, shells, filters."""

from cryocloud.engine.fourier.crop import fourier_crop, fourier_crop_volume
from cryocloud.engine.fourier.filters import low_pass
from cryocloud.engine.fourier.half_space import HalfSpace, half_space
from cryocloud.engine.fourier.pixels import (
    PixelList,
    coefficients_to_images,
    image_coefficients,
    make_pixel_list,
    phase_ramps,
)
from cryocloud.engine.fourier.resample import pad_or_cut, resample_volume
from cryocloud.engine.fourier.shells import fsc, resolution_angstrom, ring_average, shell_average, shell_index
from cryocloud.engine.fourier.transforms import irfft2, irfftn, multiply_in_real_space, rfft2, rfftn

__all__ = [
    "HalfSpace",
    "PixelList",
    "coefficients_to_images",
    "fourier_crop",
    "fourier_crop_volume",
    "fsc",
    "half_space",
    "image_coefficients",
    "irfft2",
    "irfftn",
    "low_pass",
    "make_pixel_list",
    "multiply_in_real_space",
    "pad_or_cut",
    "phase_ramps",
    "resample_volume",
    "resolution_angstrom",
    "rfft2",
    "rfftn",
    "ring_average",
    "shell_average",
    "shell_index",
]
