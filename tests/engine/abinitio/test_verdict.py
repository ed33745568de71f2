"""The verdict on ab-initio maps, from what the stage found."""

from __future__ import annotations

import re

import pytest
import torch

from cryocloud.engine.abinitio import AbInitioState, Solution, StartComparison, Sums, judge, trust_evidence


def _state(
    agreement: float = 0.99,
    gain: tuple[float, float] = (20.0, 1.0),
    explained: float | None = 0.9,
) -> AbInitioState:
    nothing = torch.zeros(1)
    comparison = StartComparison(
        evidence=(1.0, 2.0, 0.0),
        gain=(0.0, 20.0, 0.0),
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
    verdict = judge(trust_evidence(_state(), 4))
    assert verdict.trusted
    assert verdict.seed_agreement_cc == 0.99
    assert judge(trust_evidence(_state(explained=None), 1)).trusted


def test_a_large_group_makes_up_for_starts_that_differ() -> None:
    # As of real particles of apoferritin: 24 copies average what the starts do not agree in.
    weak = _state(agreement=0.7, gain=(3.5, 0.1), explained=0.35)
    assert judge(trust_evidence(weak, 24)).trusted
    assert not judge(trust_evidence(weak, 2)).trusted


def test_many_copies_do_not_make_noise_agree_or_inform() -> None:
    # The sixty copies of an icosahedral group would average any starts to one map, and ask for less than no evidence.
    apart = judge(trust_evidence(_state(agreement=0.4), 60))
    assert apart.reasons == ("no other start agrees with the best one (correlation 0.40, 0.50 is wanted)",)
    assert not judge(trust_evidence(_state(agreement=-0.1), 60)).trusted
    silent = judge(trust_evidence(_state(gain=(0.8, 0.05)), 60))
    assert not silent.trusted
    assert "0.80 +- 0.05 a particle; 1.00 is wanted" in silent.reasons[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"agreement": 0.5}, "no other start agrees with the best one .correlation 0.50, 0.55 is wanted"),
        (
            {"gain": (3.0, 0.1)},
            r"hardly better than by a map without information .*3.00 \+- 0.10.*3.42 is wanted",
        ),
        ({"gain": (8.0, 2.0)}, "hardly better than by a map without information .*10.00 is wanted"),
        ({"explained": 0.3}, "explains 0.30 .*0.55 is wanted, a map of random phases gives 0.10"),
        ({"explained": 0.11, "agreement": 0.6}, "explains 0.11 .*0.12 is wanted"),
    ],
)
def test_each_doubt_is_named(change: dict[str, float], words: str) -> None:
    verdict = judge(trust_evidence(_state(**change), 4))  # type: ignore[arg-type]
    assert not verdict.trusted
    assert any(re.search(words, reason) for reason in verdict.reasons), verdict.reasons
