"""Parameters and state of a refinement."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

Phase = Literal["global", "local", "final", "done"]


@dataclass(frozen=True)
class RefinementParameters:
    """Choices that stay fixed during a refinement; lengths in Angstrom.

    ``operators`` float64 [g, 3, 3] is the point group, ``start_resolution_angstrom`` the low-pass of the reference
    and of all that the halves share, ``shift_range_angstrom`` the search range of the first iteration.
    """

    mask_diameter_angstrom: float
    operators: Tensor
    start_resolution_angstrom: float = 30.0
    shift_range_angstrom: float = 15.0
    max_iterations: int = 25
    max_modes: int = 4
    max_orientations: int = 40_000
    batch_size: int = 200
    seed: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))


@dataclass(frozen=True)
class RefinementState:
    """All that an iteration needs from the one before it.

    ``references`` float32 [2, D, D, D] are the regularized half maps, ``half_maps`` the same without regularization,
    ``sigma2`` float64 [2, r] the noise variances and ``ring_weight`` float64 [2, r] the inverse noise variances of the
    half maps. ``envelope`` float64 [2, m, 2] holds scale and B-factor (Angstrom^2) of each micrograph in each half.
    ``fsc`` [D//2 + 1] compares the half maps, ``fsc_in_sphere`` what the soft sphere of the mask holds of them;
    ``history`` holds the latter's resolution shell of each iteration. ``pose_change_deg`` and ``best_probability`` [n]
    describe each particle's last update.
    """

    iteration: int
    phase: Phase
    r_max_px: int
    rotation: Tensor
    shift_px: Tensor
    half_set: Tensor
    references: Tensor
    half_maps: Tensor
    sigma2: Tensor
    ring_weight: Tensor
    envelope: Tensor
    fsc: Tensor
    fsc_in_sphere: Tensor
    sigma_shift_px: float
    pose_change_deg: Tensor
    best_probability: Tensor
    history: tuple[int, ...]
