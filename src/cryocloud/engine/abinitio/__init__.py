"""Density maps from particles alone, and how far to trust them.

:func:`load_observations` reads the particles into a small box, :func:`start_ab_initio` makes the first random map and
:func:`reconstruct` does the rest: starts from random orientations, their comparison on particles that none of them has
seen, the axes of the point group, and passes that refine the best start. :func:`judge` says whether to believe it.
"""

from cryocloud.engine.abinitio.observations import Observations, load_observations
from cryocloud.engine.abinitio.reconstruct import progress_fraction, reconstruct, start_ab_initio
from cryocloud.engine.abinitio.records import (
    AbInitioParameters,
    AbInitioState,
    Solution,
    StartComparison,
    Sums,
)
from cryocloud.engine.abinitio.verdict import TrustEvidence, Verdict, judge, trust_evidence

__all__ = [
    "AbInitioParameters",
    "AbInitioState",
    "Observations",
    "Solution",
    "StartComparison",
    "Sums",
    "TrustEvidence",
    "Verdict",
    "judge",
    "load_observations",
    "progress_fraction",
    "reconstruct",
    "start_ab_initio",
    "trust_evidence",
]
