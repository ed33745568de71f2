"""The verdict on ab-initio maps, from what the stage found."""

from __future__ import annotations

import re

import pytest
import torch

from cryocloud.engine.abinitio import AbInitioState, Solution, StartComparison, Sums, judge, trust_evidence


def _state(
    agreement: float = 0.99,
    gain: tuple[float, float] = (20.0, 1.0),
    gain_without_symmetry: float = 20.0,
    explained: float | None = 0.9,
) -> AbInitioState:
    nothing = torch.zeros(1)
    comparison = StartComparison(
        evidence=(1.0, 2.0, 0.0),
        gain=(0.0, gain_without_symmetry, 0.0),
        gain_error=(1.0, 1.0, 1.0),
        pairs=((0, 1), (0, 2), (1, 2)),
        # The first and the last start agree, which says nothing about the best one.
        correlation=(agreement, 0.999, 0.1),
        agreement_angstrom=(20.0, 20.0, 20.0),
    )
    return AbInitioState(
        phase="done",
        start=2,
        step=4,
        sums=Sums(nothing, nothing),
        solution=Solution(*[nothing] * 9),
        comparison=comparison,
        symmetry_fit=() if explained is None else (explained,),
        symmetry_fit_by_chance=() if explained is None else (0.1,),
        final_gain=gain,
    )


def test_a_good_map_is_trusted() -> None:
    verdict = judge(trust_evidence(_state()))
    assert verdict.trusted
    assert verdict.seed_agreement_cc == 0.99
    assert judge(trust_evidence(_state(explained=None))).trusted


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"agreement": 0.5}, "no other start agrees with the best one .correlation 0.50"),
        ({"gain": (4.0, 1.0)}, "hardly better than by a map without information"),
        ({"gain": (8.0, 0.1)}, "much worse than without it .log-evidence gain 8.00 instead of 20.00"),
        ({"explained": 0.2}, "explains 0.20 of the map made without it, a random frame 0.10"),
    ],
)
def test_each_doubt_is_named(change: dict[str, float], words: str) -> None:
    verdict = judge(trust_evidence(_state(**change)))  # type: ignore[arg-type]
    assert not verdict.trusted
    assert any(re.search(words, reason) for reason in verdict.reasons), verdict.reasons
