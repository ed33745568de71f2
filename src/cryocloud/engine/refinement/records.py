"""Parameters and state of a refinement."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from cryocloud.engine.masking import FscCurves

Phase = Literal["global", "local", "final", "done"]


@dataclass(frozen=True)
class RefinementParameters:
    """Choices that stay fixed during a refinement; lengths in Angstrom.

    ``operators`` float64 [g, 3, 3] is the point group, ``start_resolution_angstrom`` the low-pass of the reference
    and of all that the halves share, ``shift_range_angstrom`` the search range of the first iteration.

    ``mask_diameter_angstrom`` is that of the particle, about the box center: it sets the sphere around the references
    and how fine the grid of rotations must be. ``max_iterations`` counts iterations before the final one. Of each
    searched particle, the ``max_modes`` best distinct orientations are refined in the whole band.
    ``max_orientations`` bounds the grid of the global search, and with it its memory: 16 to 20 bytes a pixel and
    orientation. ``batch_size`` images are worked on at a time, and share the gray scale that their ``log_gain`` is
    measured with. ``seed`` draws the half sets where none are assigned, the turns of the grids and the random phases.
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
    ``mask`` float32 [D, D, D] is that of the references. The curves [D//2 + 1] compare the half maps: ``fsc`` without
    mask, ``fsc_masked`` in it, ``fsc_randomized`` in it after the phases were randomized, and ``fsc_corrected``, freed
    of the latter; ``history`` holds the last one's resolution shell of each iteration. Of each particle's last update
    [n], ``pose_change_deg`` and ``best_probability`` tell how sure it is, ``log_gain`` how much better its model
    explains the image than nothing does, and ``log_gain_expected`` what that is on average if the model is right.

    ``r_max_px`` is the finest Fourier ring that the next iteration compares. ``rotation`` float64 [n, 3, 3] and
    ``shift_px`` float64 [n, 2] (x, y) are the best poses, in the convention of ``ParticleSet``; ``half_set`` int64
    [n] is 1 or 2 and never changes. ``sigma_shift_px`` is the standard deviation of the Gaussian prior on x and on y.
    Gains are natural logarithms. ``randomized_from_shell`` is where the phases of ``fsc_randomized`` begin to be
    random.
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
    mask: Tensor
    fsc: Tensor
    fsc_masked: Tensor
    fsc_randomized: Tensor
    fsc_corrected: Tensor
    sigma_shift_px: float
    pose_change_deg: Tensor
    best_probability: Tensor
    log_gain: Tensor
    log_gain_expected: Tensor
    history: tuple[int, ...]
    randomized_from_shell: int

    @property
    def curves(self) -> FscCurves:
        """The curves together."""
        return FscCurves(
            self.fsc, self.fsc_masked, self.fsc_randomized, self.fsc_corrected, self.randomized_from_shell
        )
