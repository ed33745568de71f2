"""Parameters of the contrast transfer function, one row per image."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True)
class CtfParameters:
    """Optics of n images as float64 tensors of shape [n].

    Underfocus is positive and ``defocus_u_angstrom`` belongs to the axis at ``defocus_angle_deg``,
    counter-clockwise from x, as in RELION. ``b_factor_angstrom2`` damps by exp(-B s^2 / 4).
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
