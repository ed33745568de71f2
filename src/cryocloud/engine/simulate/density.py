"""Electrostatic potential of an atomic model on a grid.

For fast electrons and thin specimens the phase of the exit wave is proportional to the projected
potential, so this is the object that cryo-EM reconstructs. With f(s) the electron scattering factor of an
atom (Angstrom),

    V(r) = h^2 / (2 pi m e) * sum over atoms of the inverse Fourier transform of f(s) exp(-B s^2 / 4)

Cost: an FFT of the oversampled grid for each element, and about (11 sigma)^3 grid points an atom.
"""

from __future__ import annotations

import math

import gemmi
import numpy as np
import scipy.fft
import torch
from jaxtyping import Float32
from numpy.typing import NDArray
from torch import Tensor

from cryocloud.engine.errors import InputError
from cryocloud.engine.fourier import low_pass
from cryocloud.engine.native.density import add_gaussians
from cryocloud.engine.records.atomic_model import AtomicModel

Float = NDArray[np.float64]

VOLT_ANGSTROM2 = 47.878
"""h^2 / (2 pi m e): turns an electron scattering length density (Angstrom^-2) into volts."""

ICE_VOLT = 4.5
"""Mean inner potential of low-density amorphous ice from the scattering factors of its free atoms."""

# Volume of ice that a heavy atom and its hydrogens displace, in Angstrom^3, and how many hydrogens it carries;
# averages over proteins, which fill 1.21 Angstrom^3 a dalton. Other elements count as a carbon.
_DISPLACED = {"C": (19.8, 1.25), "N": (12.5, 1.2), "O": (12.5, 0.3), "S": (26.0, 0.3), "H": (0.0, 0.0)}
_OVERSAMPLING = 1.5
# Gaussians are widened by this B-factor (in units of the squared pixel) before sampling and sharpened again in
# Fourier space; with the oversampling it keeps aliases below 1e-5 of the signal at the final Nyquist frequency.
_BLUR_PER_PIXEL2 = 61.0


def density_map(
    model: AtomicModel,
    *,
    box_size_px: int,
    pixel_size_angstrom: float,
    resolution_angstrom: float | None = None,
    b_factor_angstrom2: float = 0.0,
    in_ice: bool = False,
) -> Float32[Tensor, "d d d"]:
    """Electrostatic potential in volts of the atoms of a model.

    Parameters
    ----------
    model
        Atoms; the coordinate origin falls on the voxel D//2.
    box_size_px, pixel_size_angstrom
        Edge and sampling of the cubic map.
    resolution_angstrom
        Low-pass with a raised-cosine edge; the full band up to the Nyquist frequency when None.
    b_factor_angstrom2
        Added to the B-factor of every atom.
    in_ice
        The difference to the ice that the model displaces, as a micrograph shows it, with hydrogens implied. Low
        frequencies lose most by it: the mean contrast of protein falls from 8 to 3.5 V. Otherwise the atoms
        that are listed, in vacuum.

    Returns
    -------
    Tensor
        float32 [D, D, D], indexed z, y, x.

    Raises
    ------
    InputError
        Atoms outside the box, an element without scattering factors, or a resolution finer than two pixels.

    Notes
    -----
    Each element's atoms are summed as single Gaussians exp(-B s^2/4) on an oversampled grid and multiplied in
    Fourier space by the element's five-Gaussian electron scattering factor (International Tables C, 4.3.2.2;
    Peng et al. 1996, Acta Cryst. A52:257). Displaced ice is a Gaussian of each atom's volume (Fraser et al. 1978,
    J. Appl. Cryst. 11:693).
    """
    _check(model, box_size_px, pixel_size_angstrom, resolution_angstrom)
    grid_px = scipy.fft.next_fast_len(math.ceil(_OVERSAMPLING * box_size_px), real=True)
    step_angstrom = box_size_px * pixel_size_angstrom / grid_px
    blur = _BLUR_PER_PIXEL2 * pixel_size_angstrom**2
    b_factor = model.b_factor_angstrom2 + b_factor_angstrom2 + blur
    if b_factor.min() < 0.5 * blur:
        raise InputError(
            f"B-factors go down to {b_factor.min() - blur:.0f} Å²; raise --b-factor-angstrom2 to make them positive"
        )
    sigma_px = np.sqrt(b_factor / (8 * math.pi**2)) / step_angstrom
    position_px = model.positions_angstrom / step_angstrom
    total = np.zeros((box_size_px, box_size_px, box_size_px // 2 + 1), np.complex64)
    s2 = _squared_frequency(box_size_px, pixel_size_angstrom)
    for element in np.unique(model.element):
        rows = model.element == element
        grid = np.zeros((grid_px,) * 3, np.float32)
        add_gaussians(grid, position_px[rows], sigma_px[rows], model.occupancy[rows])
        factor = _factor_in_ice(str(element), s2) if in_ice else scattering_factor(str(element), s2)
        total += _crop(scipy.fft.rfftn(grid), box_size_px) * factor
    total *= np.exp(0.25 * blur * s2) * (VOLT_ANGSTROM2 / pixel_size_angstrom**3)
    volume = torch.from_numpy(np.fft.fftshift(scipy.fft.irfftn(total, s=(box_size_px,) * 3)))
    if resolution_angstrom is None:
        return volume
    return low_pass(volume, resolution_angstrom, pixel_size_angstrom)


def smallest_box_px(model: AtomicModel, pixel_size_angstrom: float) -> int:
    """Smallest even box that holds every atom in any orientation about the origin, with 10 % to spare."""
    radius = float(np.linalg.norm(model.positions_angstrom, axis=1).max())
    return 2 * math.ceil(1.1 * radius / pixel_size_angstrom)


def mass_kda(model: AtomicModel) -> float:
    """Mass of the atoms that are listed; a protein without its hydrogens weighs 7 % less than with them."""
    names, index = np.unique(model.element, return_inverse=True)
    weights = np.array([gemmi.Element(str(name)).weight for name in names])
    return float((weights[index] * model.occupancy).sum()) / 1000


def _check(
    model: AtomicModel, box_size_px: int, pixel_size_angstrom: float, resolution_angstrom: float | None
) -> None:
    if resolution_angstrom is not None and resolution_angstrom < 2 * pixel_size_angstrom:
        raise InputError(
            f"resolution {resolution_angstrom:g} Å is finer than two pixels of {pixel_size_angstrom:g} Å; "
            "choose a coarser resolution or a smaller pixel"
        )
    extent = float(np.abs(model.positions_angstrom).max())
    if extent > 0.5 * box_size_px * pixel_size_angstrom:
        raise InputError(
            f"a box of {box_size_px} px x {pixel_size_angstrom:g} Å cannot hold a model that reaches {extent:.0f} Å "
            f"from its center; use at least {smallest_box_px(model, pixel_size_angstrom)} px or center the model"
        )


def _factor_in_ice(element: str, s2: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scattering factor of an atom with its hydrogens, less that of the ice in its place.

    ``f(s) + n_H f_H(s) g(s) - rho_ice V g(s)`` with V the displaced volume and ``g(s) = exp(-pi V^(2/3)
    s^2)`` the transform of a Gaussian of that volume. Ice is smooth at this scale, so only low frequencies
    change.
    """
    volume_angstrom3, hydrogens = _DISPLACED.get(element, _DISPLACED["C"])
    spread = np.exp(np.float32(-math.pi * volume_angstrom3 ** (2 / 3)) * s2)
    displaced = np.float32(ICE_VOLT / VOLT_ANGSTROM2 * volume_angstrom3) * spread
    factor = scattering_factor(element, s2) - displaced
    # Hydrogens sit 1 Angstrom off; on average over directions that is a fall as by their atom's own volume.
    total: NDArray[np.float32] = factor + np.float32(hydrogens) * scattering_factor("H", s2) * spread
    return total


def scattering_factor(element: str, s2: NDArray[np.float32]) -> NDArray[np.float32]:
    """Electron scattering factor in Angstrom at squared frequencies s^2 = 1/d^2 (1/Angstrom^2).

    ``sum of a_i exp(-b_i s^2 / 4)``, five terms of a neutral atom; the tables use sin(theta) / lambda = s
    / 2.
    """
    coefficients = gemmi.Element(element).c4322
    if coefficients is None:
        raise InputError(
            f"element '{element}' has no electron scattering factor; remove its atoms or rename them"
        )
    factor: NDArray[np.float32] = np.zeros_like(s2)
    for a, b in zip(coefficients.a, coefficients.b, strict=True):
        factor += np.float32(a) * np.exp(np.float32(-0.25 * b) * s2)
    return factor


def _squared_frequency(box_size_px: int, pixel_size_angstrom: float) -> NDArray[np.float32]:
    full = np.fft.fftfreq(box_size_px, pixel_size_angstrom) ** 2
    half = np.fft.rfftfreq(box_size_px, pixel_size_angstrom) ** 2
    squared: NDArray[np.float32] = (full[:, None, None] + full[:, None] + half).astype(np.float32)
    return squared


def _crop(transform: NDArray[np.complex64], box_size_px: int) -> NDArray[np.complex64]:
    """The frequencies of the smaller grid; its Nyquist planes stay empty."""
    kept = np.fft.fftfreq(box_size_px, 1 / box_size_px).astype(int)
    out: NDArray[np.complex64] = transform[np.ix_(kept, kept, np.arange(box_size_px // 2 + 1))]
    if box_size_px % 2 == 0:
        middle = box_size_px // 2
        out[middle], out[:, middle], out[:, :, middle] = 0, 0, 0
    return out
