"""Ice crystals, carbon edges and other things that scatter far more than the particles."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

# Local standard deviations of particles scatter by 10-20 %; a crystal shows several times theirs.
DEVIATION_RATIO = 1.5
ROBUST_DEVIATIONS = 4.0
TO_STANDARD_DEVIATION = 1.4826


def deviation_limit(local_deviation: Float[np.ndarray, " n"]) -> float:
    """Largest local standard deviation that is not contamination.

    4 robust standard deviations above the median of the logarithms, and at least 1.5 times the median:
    contrast differs between particles and views, but not by that much.
    """
    logarithm = np.log(np.maximum(local_deviation, 1e-12))
    center = float(np.median(logarithm))
    spread = TO_STANDARD_DEVIATION * float(np.median(np.abs(logarithm - center)))
    return math.exp(center + max(ROBUST_DEVIATIONS * spread, math.log(DEVIATION_RATIO)))
