"""Fourier transforms of images and volumes, pixel lists, shells, filters.

Conventions: the origin is the pixel D//2 in every direction; frequencies k are integers in units of 1/D, at index
0 of the rfft layout; coefficients of images are unitary, rfft2(image) / D, so that white noise of variance s^2 a
pixel has E|n|^2 = s^2 in each coefficient, and slices of a volume at the scale rfftn(volume) / D are coefficients
of its projections. A shell or ring r holds round(|k|) = r and the resolution D * pixel size / r.
"""

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
