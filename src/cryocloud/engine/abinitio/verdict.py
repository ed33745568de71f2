"""Whether a map from nothing but particles can be trusted.

The limits were chosen on maps of simulated weak particles, some with junk, whose truth is known
(``benchmarks/accuracy/trust.py``): a map is right when it correlates with the truth above 0.9 at 20 Angstrom. Most of
the others are no noise; they show the outline of the particle and wrong detail, and a refinement does not leave them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from cryocloud.engine.abinitio.records import AbInitioState

# How well two starts must agree: as they are, and once the group has averaged what they differ in. Many copies would
# average anything; starts of noise reached 0.47 to 0.72.
AGREEMENT_LEAST, AGREEMENT_WANTED = 0.5, 0.83
# Nats that a map must tell of a particle: what it takes to choose an orientation, less with a group of many copies, and
# more than maps of noise with a group, which reached 0.8.
GAIN_WANTED, GAIN_PER_LOG_ORDER, GAIN_LEAST = 5.5, 1.5, 1.0
GAIN_ERRORS_WANTED = 5.0
# How far the group must explain more of the map than of one with random phases, from nothing (0) to all (1): a little
# in any case, and half where the starts agree in everything, as those of wrong groups and of other objects may.
SYMMETRY_LEAST, SYMMETRY_MOST = 0.02, 0.5
_SYMMETRY_POWER = 10


@dataclass(frozen=True)
class TrustEvidence:
    """Numbers that speak for or against a map.

    ``seed_agreement_cc`` is the correlation of the best start with the one most like it, ``gain`` the refined map's
    log-evidence gain a held-out particle with its standard error, ``group_order`` the number of operators of the point
    group. ``symmetry_fit`` and ``symmetry_fit_by_chance`` are as in the state.
    """

    seed_agreement_cc: float
    gain: float
    gain_error: float
    group_order: int
    symmetry_fit: tuple[float, ...]
    symmetry_fit_by_chance: tuple[float, ...]


@dataclass(frozen=True)
class Verdict:
    """Whether a map can be trusted, with the numbers and the reasons against it in plain words."""

    trusted: bool
    reasons: tuple[str, ...]
    seed_agreement_cc: float
    log_evidence_gain: float
    log_evidence_gain_error: float


def trust_evidence(state: AbInitioState, group_order: int) -> TrustEvidence:
    """What a finished reconstruction is judged by."""
    assert state.comparison is not None
    assert state.final_gain is not None
    return TrustEvidence(
        seed_agreement_cc=state.comparison.agreement_of_best,
        gain=state.final_gain[0],
        gain_error=state.final_gain[1],
        group_order=group_order,
        symmetry_fit=state.symmetry_fit,
        symmetry_fit_by_chance=state.symmetry_fit_by_chance,
    )


def judge(evidence: TrustEvidence) -> Verdict:
    """The verdict, with a reason for each doubt.

    Two starts that correlate to c share the part c of their power; averaging g copies leaves 1/g of the rest, so that
    their symmetric maps correlate to ``g c / (1 + (g - 1) c)``. The same rest is all that a group that is there takes
    away from a map: how much it explains may be small where c is, and not where c is near 1.
    """
    agreement, order = evidence.seed_agreement_cc, evidence.group_order
    gain, error = evidence.gain, evidence.gain_error
    reasons = []
    # The correlation of the starts whose symmetric maps correlate to what is wanted.
    least = max(AGREEMENT_LEAST, AGREEMENT_WANTED / (order - (order - 1) * AGREEMENT_WANTED))
    if agreement < least:
        reasons.append(
            f"no other start agrees with the best one (correlation {agreement:.2f}, {least:.2f} is wanted)"
        )
    wanted = max(GAIN_WANTED - GAIN_PER_LOG_ORDER * math.log(order), GAIN_LEAST, GAIN_ERRORS_WANTED * error)
    if gain < wanted:
        reasons.append(
            f"particles kept aside are explained hardly better than by a map without information "
            f"(log-evidence gain {gain:.2f} +- {error:.2f} a particle; {wanted:.2f} is wanted)"
        )
    share = max(SYMMETRY_LEAST, min(SYMMETRY_MOST, agreement**_SYMMETRY_POWER))
    for explained, by_chance in zip(evidence.symmetry_fit, evidence.symmetry_fit_by_chance, strict=True):
        enough = by_chance + share * (1 - by_chance)
        if explained < enough:
            reasons.append(
                f"the point group explains {explained:.2f} of the map made without it ({enough:.2f} is wanted, "
                f"a map of random phases gives {by_chance:.2f})"
            )
    return Verdict(not reasons, tuple(reasons), agreement, gain, error)
