from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from cryocloud.engine.classification import (
    ClassificationParameters,
    ClassQuality,
    SelectionRules,
    choose_classes,
    classify,
    rate_classes,
    score_classes,
    start_classification,
)
from cryocloud.engine.errors import InputError


def _quality(**changes: list[float]) -> ClassQuality:
    """Five good classes, but for the changes."""
    values = {
        "particles": [100.0, 90.0, 80.0, 70.0, 60.0],
        "resolution_angstrom": [12.0, 12.5, 12.0, 13.0, 12.0],
        "match": [10.0, 10.5, 9.8, 10.2, 10.0],
        "center_density": [0.9, 1.1, 0.8, 1.0, 1.0],
        "edge_ratio": [0.02, 0.03, 0.02, 0.02, 0.03],
    } | changes
    return score_classes(*(torch.tensor(values[name], dtype=torch.float64) for name in values))


def test_selection_keeps_particles_and_rejects_junk(finished: Any) -> None:
    """The bar of the design: junk recall 0.8; and nearly no particle may be lost."""
    quality = rate_classes(finished.labelled.particles, finished.states[-1], finished.parameters)
    kept_class = torch.tensor([d.kept for d in choose_classes(quality, SelectionRules())])
    kept = kept_class[finished.states[-1].assignments.class_index]
    junk = finished.labelled.view < 0
    assert (~kept[junk]).float().mean() >= 0.8
    assert kept[~junk].float().mean() >= 0.95


@pytest.mark.slow
def test_twenty_views_and_a_fifth_of_junk(labelled_particles: Any) -> None:
    """The bar of the design at a fifth of its particles: purity 0.9, junk recall 0.8."""
    labelled = labelled_particles(2000, n_views=20, snr=0.05, box_size_px=64, seed=11)
    parameters = ClassificationParameters(50, 150.0)
    start = start_classification(labelled.particles, parameters)
    last = list(classify(labelled.particles, start, parameters))[-1]
    assigned = last.assignments.class_index
    agreeing = sum(
        int(torch.bincount(labelled.view[assigned == k] + 1).max()) for k in assigned.unique().tolist()
    )
    assert agreeing / 2000 >= 0.9
    decisions = choose_classes(rate_classes(labelled.particles, last, parameters), SelectionRules())
    kept = torch.tensor([d.kept for d in decisions])[assigned]
    assert (~kept[labelled.view < 0]).float().mean() >= 0.8
    assert kept[labelled.view >= 0].float().mean() >= 0.9


def test_classes_of_pure_noise_are_rejected(labelled_particles: Any) -> None:
    labelled = labelled_particles(300, n_views=1, snr=0.1, junk_share=0.0)
    noise = torch.randn(300, 48, 48, generator=torch.Generator().manual_seed(1)).numpy()
    particles = replace(labelled.particles, read_images=lambda rows: noise[rows])
    parameters = ClassificationParameters(4, 110.0, updates=6, full_passes=1)
    last = list(classify(particles, start_classification(particles, parameters), parameters))[-1]
    decisions = choose_classes(rate_classes(particles, last, parameters), SelectionRules())
    assert not any(d.kept for d in decisions)


def test_equal_classes_are_all_kept() -> None:
    assert all(d.kept for d in choose_classes(_quality(), SelectionRules()))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"match": [10.0, 10.5, 9.8, 10.2, 3.6]}, "match the average little better than noise"),
        ({"resolution_angstrom": [12.0, 12.5, 12.0, 13.0, 30.0]}, "halves agree only to 30.0 Å"),
        ({"center_density": [0.9, 1.1, 0.8, 1.0, -0.1]}, "center is not brighter than the background"),
        ({"edge_ratio": [0.02, 0.03, 0.02, 0.02, 0.9]}, "bright at the rim of the mask"),
        ({"particles": [100.0, 90.0, 80.0, 70.0, 4.0]}, "4 particles, fewer than 10"),
    ],
)
def test_each_fault_rejects_a_class_and_is_named(changes: dict[str, list[float]], reason: str) -> None:
    decisions = choose_classes(_quality(**changes), SelectionRules())
    assert [d.kept for d in decisions] == [True] * 4 + [False]
    assert reason in decisions[4].reason


def test_classes_named_by_hand_override_the_rules() -> None:
    quality = _quality(match=[10.0, 10.5, 9.8, 10.2, 3.6])
    rules = SelectionRules(include=frozenset({5}), exclude=frozenset({1}))
    decisions = choose_classes(quality, rules)
    assert [d.kept for d in decisions] == [False, True, True, True, True]
    assert decisions[0].reason == "excluded by hand"


def test_limits_are_parameters() -> None:
    quality = _quality(match=[10.0, 10.5, 9.8, 10.2, 6.5])
    assert choose_classes(quality, SelectionRules(min_score=0.1))[4].kept
    assert not choose_classes(quality, SelectionRules(min_score=0.9))[4].kept
    assert not choose_classes(quality, SelectionRules(min_particles=61))[4].kept


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (SelectionRules(include=frozenset({6})), "class 6 does not exist; classes are numbered 1 to 5"),
        (SelectionRules(include=frozenset({2}), exclude=frozenset({2})), "both included and excluded"),
    ],
)
def test_impossible_wishes_are_refused(rules: SelectionRules, message: str) -> None:
    with pytest.raises(InputError, match=message):
        choose_classes(_quality(), rules)
