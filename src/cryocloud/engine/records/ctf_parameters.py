"""Parameters of the contrast transfer function, one row per image."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True)
class CtfParameters:
    """Optics of n images as float64 tensors of shape [n].

    Attributes
    ----------
    defocus_u_angstrom, defocus_v_angstrom
        Defocus along the two axes of astigmatism, underfocus positive.
    defocus_angle_deg
        Axis that ``defocus_u_angstrom`` belongs to, counter-clockwise from x, as in RELION.
    spherical_aberration_mm
        Cs of the objective.
    amplitude_contrast
        Q, the share of contrast that is there without defocus: enters as a phase of asin(Q).
    phase_shift_deg
        That of a phase plate.
    b_factor_angstrom2
        Damps amplitudes by exp(-B s^2 / 4); 0 = none.
    """

    defocus_u_angstrom: Tensor
    defocus_v_angstrom: Tensor
    defocus_angle_deg: Tensor
    voltage_kv: Tensor
    spherical_aberration_mm: Tensor
    amplitude_contrast: Tensor
    phase_shift_deg: Tensor
    b_factor_angstrom2: Tensor

    def __len__(self) -> int:
        return len(self.defocus_u_angstrom)

    def select(self, index: Tensor | slice) -> CtfParameters:
        """Rows at ``index``."""
        return CtfParameters(*(getattr(self, f.name)[index] for f in fields(self)))

    def to(self, device: torch.device | str) -> CtfParameters:
        """The same values on another device."""
        return CtfParameters(*(getattr(self, f.name).to(device) for f in fields(self)))
