"""Vitreous ice: its structure, its thickness, and what lies on it.

Ice is an object like the protein: it is seen through the CTF, and its Thon rings are what defocus is
measured by. Shot noise is not; it is added where electrons are counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryocloud.engine.simulate.microscope import background_amplitude

Float = NDArray[np.float64]

_WATER_RING_PER_ANGSTROM, _WATER_RING_WIDTH, _WATER_RING_STRENGTH = 1 / 3.7, 0.025, 1.5
_LUMP_RADIUS_ANGSTROM = (60.0, 260.0)
_LUMP_DENSITY = (0.2, 0.9)
_RIM_ANGSTROM = 18.0
_HARMONICS = 5


@dataclass(frozen=True)
class Lump:
    """A contamination on the ice.

    Attributes
    ----------
    x_px, y_px, radius_px
        Center, in pixels of the micrograph, and mean radius.
    thickness
        Relative thickness in the middle.
    outline
        (cosine, sine) of orders 2, 3, ... of the Fourier series of radius over mean radius, along the
        polar angle.
    """

    x_px: float
    y_px: float
    radius_px: float
    thickness: float
    outline: tuple[tuple[float, float], ...]

    def covers(self, place_px: Float, room_px: float) -> bool:
        """Whether a place lies under the lump or nearer to it than ``room_px``."""
        return bool(
            np.hypot(place_px[0] - self.x_px, place_px[1] - self.y_px) < 1.3 * self.radius_px + room_px
        )


def ice_amplitude(frequency_per_angstrom: Float) -> Float:
    """Amplitude spectrum of the ice's structure: falling from low frequencies, with the water ring at 3.7 A.

    Relative to that at high frequency; the ring is a Gaussian in the frequency.
    """
    offset = (frequency_per_angstrom - _WATER_RING_PER_ANGSTROM) / _WATER_RING_WIDTH
    ring = 1 + _WATER_RING_STRENGTH * np.exp(-0.5 * offset**2)
    return background_amplitude(frequency_per_angstrom) * ring


def thickness_slope(shape: tuple[int, int], slope: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Brightness [h, w] about 1: a plane and a shallow bowl, together about ``slope`` from side to side.

    Direction of the plane and center of the bowl are random. It scales the electrons that pass, of which
    thicker ice leaves fewer.
    """
    y, x = (np.linspace(-0.5, 0.5, n, dtype=np.float32) for n in shape)
    angle = rng.uniform(0, 2 * np.pi)
    bowl_x, bowl_y = rng.uniform(-0.3, 0.3, 2)
    plane = np.cos(angle) * x + np.sin(angle) * y[:, None]
    bowl = 0.5 * ((x - bowl_x) ** 2 + (y[:, None] - bowl_y) ** 2)
    return np.asarray(1 + slope * (plane - bowl), dtype=np.float32)


def draw_lumps(
    height_px: int, width_px: int, pixel_size_angstrom: float, mean_number: float, rng: np.random.Generator
) -> tuple[Lump, ...]:
    """Contaminations at random places, of random size and outline."""
    lumps = []
    for _ in range(int(rng.poisson(mean_number))):
        x, y = rng.uniform(0, width_px), rng.uniform(0, height_px)
        radius = np.exp(rng.uniform(*np.log(_LUMP_RADIUS_ANGSTROM))) / pixel_size_angstrom
        waves = rng.normal(0, 0.12, (_HARMONICS, 2)) / np.arange(1, _HARMONICS + 1)[:, None]
        outline = tuple((float(a), float(b)) for a, b in waves)
        lumps.append(Lump(float(x), float(y), float(radius), float(rng.uniform(*_LUMP_DENSITY)), outline))
    return tuple(lumps)


def lump_thickness(
    lumps: tuple[Lump, ...], shape: tuple[int, int], margin_px: int, pixel_size_angstrom: float
) -> NDArray[np.float32]:
    """Relative thickness [h, w] of all contaminations on a canvas with a margin.

    Each is a flat dome with a rim of 18 Angstrom (logistic fall); pixel ``margin_px`` of the canvas is
    pixel 0 of the micrograph.
    """
    total = np.zeros(shape, np.float32)
    rim = _RIM_ANGSTROM / pixel_size_angstrom
    y, x = np.arange(shape[0])[:, None] - margin_px, np.arange(shape[1]) - margin_px
    for lump in lumps:
        dx, dy = x - lump.x_px, y - lump.y_px
        angle = np.arctan2(dy, dx)
        edge = np.ones(shape)
        for order, (cosine, sine) in enumerate(lump.outline, start=2):
            edge += cosine * np.cos(order * angle) + sine * np.sin(order * angle)
        depth = (lump.radius_px * edge - np.hypot(dx, dy)) / rim
        bulge = np.sqrt(np.clip(1 - (np.hypot(dx, dy) / (1.2 * lump.radius_px * edge)) ** 2, 0.0, 1))
        total += (lump.thickness * bulge / (1 + np.exp(-np.clip(depth, -30, 30)))).astype(np.float32)
    return total
