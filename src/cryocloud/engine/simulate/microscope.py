"""How simulated images are taken: optics, defocus, viewing directions, spectra of noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64
from numpy.typing import NDArray
from torch import Tensor

from cryocloud.engine.geometry import random_rotations, rotation_from_euler
from cryocloud.engine.records.ctf_parameters import CtfParameters

_BACKGROUND_LENGTH_ANGSTROM, _BACKGROUND_STRENGTH = 60.0, 6.0


@dataclass(frozen=True)
class Microscope:
    """Optics that all images share.

    Voltage in kV, Cs in mm, amplitude contrast from 0 to 1; ``b_factor_angstrom2`` is the envelope of the
    CTF, ``exp(-B s^2 / 4)``, for all that blurs images but motion and damage.
    """

    voltage_kv: float
    spherical_aberration_mm: float
    amplitude_contrast: float
    b_factor_angstrom2: float


@dataclass(frozen=True)
class DefocusRange:
    """Mean defocus is uniform between the limits, the two axes differ by up to ``astigmatism_angstrom``."""

    min_angstrom: float
    max_angstrom: float
    astigmatism_angstrom: float


@dataclass(frozen=True)
class Views:
    """Uniform viewing directions but for a share that looks along the object's z axis, ``spread_deg`` around
    it.

    Half of that share sees it from above, half from below (tilt near 0 and near 180 degrees).
    ``spread_deg`` is the standard deviation of the tilt; 0 <= ``preferred_share`` <= 1.
    """

    preferred_share: float
    spread_deg: float


def draw_ctf(
    n: int, microscope: Microscope, defocus: DefocusRange, rng: np.random.Generator
) -> CtfParameters:
    """Optics of n images with random defocus and astigmatism.

    The mean defocus and the difference u - v are uniform, so is the angle (0 to 180 degrees); no phase
    shift.
    """
    mean = rng.uniform(defocus.min_angstrom, defocus.max_angstrom, n)
    half = 0.5 * rng.uniform(0, defocus.astigmatism_angstrom, n)
    columns = [
        # Whole tenths, so that files hold exactly what was used.
        np.round(mean + half, 1),
        np.round(mean - half, 1),
        np.round(rng.uniform(0, 180, n), 1),
        np.full(n, microscope.voltage_kv),
        np.full(n, microscope.spherical_aberration_mm),
        np.full(n, microscope.amplitude_contrast),
        np.zeros(n),
        np.full(n, microscope.b_factor_angstrom2),
    ]
    return CtfParameters(*(torch.from_numpy(column) for column in columns))


def draw_rotations(n: int, views: Views, rng: np.random.Generator) -> Float64[Tensor, "n 3 3"]:
    """Random poses: rotations M from map to image, with the preferred share of `Views`.

    In-plane angles are uniform everywhere.
    """
    uniform = random_rotations(n, torch.Generator().manual_seed(int(rng.integers(2**62))))
    tilt = np.abs(rng.normal(0, views.spread_deg, n))
    tilt = np.where(rng.random(n) < 0.5, tilt, 180 - tilt)
    rot, psi = rng.uniform(-180, 180, (2, n))
    preferred = rotation_from_euler(torch.from_numpy(rot), torch.from_numpy(tilt), torch.from_numpy(psi))
    chosen = torch.from_numpy(rng.random(n) < views.preferred_share)
    return torch.where(chosen[:, None, None], preferred, uniform)


def background_amplitude(frequency_per_angstrom: NDArray[np.float64]) -> NDArray[np.float64]:
    """Amplitude spectrum of images of ice, relative to that at high frequency: it rises towards low ones.

    ``sqrt(1 + 6 / (1 + (60 s)^2))`` with s in 1/Angstrom: the power at zero frequency is seven times that
    of white noise.
    """
    rise = _BACKGROUND_STRENGTH / (1 + (_BACKGROUND_LENGTH_ANGSTROM * frequency_per_angstrom) ** 2)
    return np.asarray(np.sqrt(1 + rise))
