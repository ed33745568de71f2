"""Density maps from particles alone, and how far to trust them."""

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
