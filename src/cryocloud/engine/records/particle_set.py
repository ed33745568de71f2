"""Particles as the stages see them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cryocloud.engine.records.ctf_parameters import CtfParameters

ImageReader = Callable[[NDArray[np.int64]], NDArray[np.float32]]


@dataclass(frozen=True)
class ParticleSet:
    """n particles: a reader of their images, their optics and their current poses.

    Attributes
    ----------
    read_images
        Maps row numbers [b] to float32 images [b, D, D] (white protein on black).
    rotation, shift_px
        float64 [n, 3, 3] and [n, 2] (x, y); a particle's model is CTF * slice(rotation) *
        exp(+2 pi i k.shift / D), so the shift is RELION's origin in pixels.
    half_set
        1 or 2, for the life of a particle, or 0 where none was assigned.
    class_number
        Counts from 1, 0 = none.
    micrograph
        int64 [n], numbers the micrographs from 0; none where they are not known.
    """

    read_images: ImageReader
    box_size_px: int
    pixel_size_angstrom: float
    ctf: CtfParameters
    rotation: Tensor
    shift_px: Tensor
    half_set: Tensor
    class_number: Tensor
    micrograph: Tensor | None = None

    def __len__(self) -> int:
        return len(self.ctf)
