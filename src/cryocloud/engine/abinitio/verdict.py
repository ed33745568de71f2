"""Whether a map from nothing but particles can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

from cryocloud.engine.abinitio.records import AbInitioState

# Right maps agree above 0.99 on simulated and to 0.68 and 0.80 on weak real particles, maps of noise to 0.44.
AGREEMENT_WANTED = 0.6
GAIN_ERRORS_WANTED = 5.0
# How much of the map the point group must explain, between what a random frame does (0) and all (1): 0.84 on simulated
# and 0.32 to 0.41 on weak real particles; 0.15 of noise, 0.12 to 0.34 by groups that are not there.
SYMMETRY_WANTED = 0.27
# The share of the evidence gain that must be left with the group imposed: 1.3 and 0.66 on the same particles; 0.18 to
# 0.48 with wrong groups, and 0.84 with one that explains only 0.22.
GAIN_KEPT_WANTED = 0.55


@dataclass(frozen=True)
class TrustEvidence:
    """Numbers that speak for or against a map.

    ``seed_agreement_cc`` is the correlation of the best start with the one most like it, ``gain`` the refined map's
    log-evidence gain a held-out particle with its standard error, ``gain_of_search`` that of the best start, before any
    symmetry. ``symmetry_fit`` and ``symmetry_fit_by_chance`` are as in the state.
    """

    seed_agreement_cc: float
    gain: float
    gain_error: float
    gain_of_search: float
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


def trust_evidence(state: AbInitioState) -> TrustEvidence:
    """What a finished reconstruction is judged by."""
    assert state.comparison is not None
    assert state.final_gain is not None
    comparison = state.comparison
    return TrustEvidence(
        seed_agreement_cc=comparison.agreement_of_best,
        gain=state.final_gain[0],
        gain_error=state.final_gain[1],
        gain_of_search=comparison.gain[comparison.best],
        symmetry_fit=state.symmetry_fit,
        symmetry_fit_by_chance=state.symmetry_fit_by_chance,
    )


def judge(evidence: TrustEvidence) -> Verdict:
    """The verdict, with a reason for each doubt."""
    agreement, gain, error = evidence.seed_agreement_cc, evidence.gain, evidence.gain_error
    reasons = []
    if agreement < AGREEMENT_WANTED:
        reasons.append(
            f"no other start agrees with the best one (correlation {agreement:.2f}, {AGREEMENT_WANTED} is wanted)"
        )
    if gain < GAIN_ERRORS_WANTED * error:
        reasons.append(
            f"particles kept aside are explained hardly better than by a map without information "
            f"(log-evidence gain {gain:.2f} +- {error:.2f} a particle)"
        )
    before = evidence.gain_of_search
    if evidence.symmetry_fit and gain < GAIN_KEPT_WANTED * before:
        reasons.append(
            f"with the point group imposed the map explains particles kept aside much worse than without it "
            f"(log-evidence gain {gain:.2f} instead of {before:.2f} a particle)"
        )
    for explained, by_chance in zip(evidence.symmetry_fit, evidence.symmetry_fit_by_chance, strict=True):
        if (explained - by_chance) / (1 - by_chance) < SYMMETRY_WANTED:
            reasons.append(
                f"the point group explains {explained:.2f} of the map made without it, a random frame {by_chance:.2f}"
            )
    return Verdict(not reasons, tuple(reasons), agreement, gain, error)
