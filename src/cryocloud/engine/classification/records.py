"""Parameters and state of a 2D classification."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class ClassificationParameters:
    """Choices that stay fixed during a classification; lengths in Angstrom.

    The updates on growing mini-batches are followed by ``full_passes`` over all particles.

    ``mask_diameter_angstrom`` is that of the disc averages are cut to. Scores begin at ``start_resolution_angstrom``
    and never see detail finer than ``max_resolution_angstrom``, which sets the working box. ``shift_range_angstrom``
    is the radius of the disc of shifts about the image's center. ``recenter`` moves each average to its center of
    mass. ``seed`` draws first groups, batches, halves and angles.
    """

    n_classes: int
    mask_diameter_angstrom: float
    max_resolution_angstrom: float = 6.0
    start_resolution_angstrom: float = 30.0
    shift_range_angstrom: float = 15.0
    updates: int = 20
    full_passes: int = 2
    recenter: bool = True
    seed: int = 0
    device: str = "cpu"


@dataclass(frozen=True)
class Assignments:
    """What is known of each of n particles from the last batch it was in.

    ``class_index`` int64 [n] counts from 0, -1 = not yet seen. ``psi_deg`` and ``shift_px`` [n, 2] (working
    pixels) are the best pose, ``probability`` that of the class, ``effective_classes`` 1 / sum of squared
    class probabilities, ``match`` the correlation with the model in units of its standard deviation for
    noise, ``log_evidence`` the log of the likelihood summed over poses, relative to an empty model.
    """

    class_index: Tensor
    psi_deg: Tensor
    shift_px: Tensor
    probability: Tensor
    effective_classes: Tensor
    match: Tensor
    log_evidence: Tensor


@dataclass(frozen=True)
class ClassSums:
    """Sufficient statistics: complex64 ``numerator`` and float32 ``weight`` [2 halves, k, g] on padded half
    planes, the summed probabilities ``occupancy`` float64 [2, k], and residual noise ``noise_power`` [r],
    ``noise_weight``.

    ``numerator`` holds sums of p C X / sigma2 and ``weight`` of p C^2 / sigma2. ``noise_power`` sums the ring means of
    |X - model|^2 over windowed images, and ``noise_weight`` counts them; both fade like the rest.
    """

    numerator: Tensor
    weight: Tensor
    occupancy: Tensor
    noise_power: Tensor
    noise_weight: float


@dataclass(frozen=True)
class ClassificationState:
    """All that an update needs from the one before it.

    ``averages`` float32 [k, d, d] are masked and Wiener-filtered; ``frc`` float64 [k, r] compares the halves
    of each class. ``r_max_px`` is the band limit of the next scoring. ``occupancy_history`` and
    ``resolution_history`` [updates so far, k].

    ``update`` counts the updates that are done. ``sigma2`` float64 [r] is the noise variance of whole images in the
    working box, ``class_prior`` float64 [k] the probabilities of the classes, ``sigma_shift_px`` (working pixels) the
    width of the prior on shifts. Occupancies are shares of the probability, resolutions are in Angstrom.
    """

    update: int
    r_max_px: int
    averages: Tensor
    frc: Tensor
    sigma2: Tensor
    sums: ClassSums
    class_prior: Tensor
    sigma_shift_px: float
    assignments: Assignments
    occupancy_history: Tensor
    resolution_history: Tensor
