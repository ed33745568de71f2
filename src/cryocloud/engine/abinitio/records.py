"""Parameters and state of a reconstruction from nothing but particles."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

Phase = Literal["search", "refine", "done"]


@dataclass(frozen=True)
class AbInitioParameters:
    """Choices that stay fixed during a run; lengths in Angstrom.

    ``operators`` float64 [g, 3, 3] is the point group of the result; the search itself runs without symmetry.
    A start takes ``n_updates`` mini-batches of ``first_batch`` to ``last_batch`` particles. Two are made, and more, up
    to ``max_starts``, until another start agrees with the best one to ``sufficient_agreement``; then ``n_passes``
    passes refine the best. ``shift_range_angstrom`` bounds how far a particle may move from where it was cut,
    ``max_orientations`` the size of a grid of rotations.

    ``mask_diameter_angstrom`` is that of the sphere maps are cut to. The band grows from ``first_resolution_angstrom``
    to ``last_resolution_angstrom``, which the refinement reaches. Batches are meant a class; ``sufficient_agreement``
    is a correlation at 20 Angstrom, from 0 to 1. ``seed`` draws everything that is random, so that a run can be
    repeated.
    """

    mask_diameter_angstrom: float
    operators: Tensor
    n_classes: int = 1
    max_starts: int = 4
    sufficient_agreement: float = 0.85
    first_resolution_angstrom: float = 40.0
    last_resolution_angstrom: float = 12.0
    shift_range_angstrom: float = 20.0
    n_updates: int = 120
    n_passes: int = 4
    first_batch: int = 200
    last_batch: int = 600
    max_orientations: int = 40_000
    seed: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))


@dataclass(frozen=True)
class Solution:
    """Maps and poses at some point of the way; lengths in working pixels.

    ``volumes`` float32 [k, d, d, d] are the regularized class maps, ``half_volumes`` [k, 2, d, d, d] those of the two
    halves of the particles, ``agreement`` float64 [k, r] the FSC between them. ``sigma2`` [r] is the noise variance,
    ``class_weight`` [k] the share of each class. ``rotation`` [n, 3, 3], ``shift_px`` [n, 2], ``class_index`` [n] and
    ``probability`` [n] are each particle's last best pose.
    """

    volumes: Tensor
    half_volumes: Tensor
    agreement: Tensor
    sigma2: Tensor
    class_weight: Tensor
    rotation: Tensor
    shift_px: Tensor
    class_index: Tensor
    probability: Tensor


@dataclass(frozen=True)
class Sums:
    """Decaying sums of each class and half: ``numerator`` complex64 [k, 2, ...], ``weight`` float32 [k, 2, ...].

    Sums of p C X / sigma2 and of p C^2 / sigma2 on the padded half grid of ``Accumulator``.
    """

    numerator: Tensor
    weight: Tensor


@dataclass(frozen=True)
class StartComparison:
    """What the starts say about each other and about particles that none of them has seen.

    ``evidence`` [s] is the mean log-evidence of a held-out particle under each start's maps, ``gain`` [s] that less
    the evidence of the better of two maps without information (the rotational average, and random phases), and
    ``gain_error`` [s] its standard error. ``correlation`` and ``agreement_angstrom`` hold a value a pair of starts:
    correlation of the aligned maps without their rotational averages, and where their FSC falls below 0.5.
    """

    evidence: tuple[float, ...]
    gain: tuple[float, ...]
    gain_error: tuple[float, ...]
    pairs: tuple[tuple[int, int], ...]
    correlation: tuple[float, ...]
    agreement_angstrom: tuple[float, ...]

    @property
    def best(self) -> int:
        """Start with the highest evidence."""
        return max(range(len(self.evidence)), key=lambda start: self.evidence[start])

    @property
    def likeness(self) -> dict[tuple[int, int], tuple[float, float]]:
        """Correlation and resolution of agreement of each pair."""
        return dict(zip(self.pairs, zip(self.correlation, self.agreement_angstrom, strict=True), strict=True))

    @property
    def agreement_of_best(self) -> float:
        """Correlation of the best start with the one most like it."""
        return max(cc for pair, cc in zip(self.pairs, self.correlation, strict=True) if self.best in pair)


@dataclass(frozen=True)
class AbInitioState:
    """All that the next step needs from the one before it.

    ``start`` and ``step`` count within the phase. ``finished`` are the solutions of the starts that are through.
    ``symmetry_fit`` [k] is how much of each map the point group explains (1 = all), with that of random phases.
    ``final_gain`` is the refined maps' evidence gain and its standard error.

    ``sums`` and ``solution`` are those of the present start or, in the phase "refine", ``solution`` is the chosen one.
    ``comparison`` is there from the second start on. ``final_gain`` is measured before the last pass, for the last
    time that held-out particles are still unseen.
    """

    phase: Phase
    start: int
    step: int
    sums: Sums
    solution: Solution
    finished: tuple[Solution, ...] = ()
    comparison: StartComparison | None = None
    symmetry_fit: tuple[float, ...] = ()
    symmetry_fit_by_chance: tuple[float, ...] = ()
    final_gain: tuple[float, float] | None = None
