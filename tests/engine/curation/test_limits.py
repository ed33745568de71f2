from __future__ import annotations

import math

import numpy as np
import pytest

from cryocloud.engine.curation import CRITERIA, Limit, derive_limit, given_limit, reasons_against

BY_NAME = {criterion.name: criterion for criterion in CRITERIA}


def test_drift_has_a_fixed_limit() -> None:
    limit = derive_limit(BY_NAME["weakest_direction_signal"], np.array([0.9, 0.05]))
    assert limit is not None and (limit.lower, limit.upper) == (0.1, math.inf)


def test_equal_micrographs_are_not_cut_at_the_edge_of_their_scatter() -> None:
    resolution = derive_limit(BY_NAME["fit_resolution_angstrom"], np.array([3.0, 3.1, 3.2, 3.1]))
    astigmatism = derive_limit(BY_NAME["astigmatism_angstrom"], np.linspace(100, 110, 20))
    assert resolution is not None and resolution.upper == 8.0
    assert astigmatism is not None and astigmatism.upper == 1000.0


def test_far_out_values_lie_beyond_the_fence() -> None:
    values = np.append(np.linspace(15000, 25000, 40), 90000.0)
    limit = derive_limit(BY_NAME["defocus_angstrom"], values)
    assert limit is not None
    quartiles = np.percentile(values, [25, 75])
    assert limit.upper == pytest.approx(quartiles[1] + 3 * (quartiles[1] - quartiles[0]))
    assert values[-2] < limit.upper < values[-1]


@pytest.mark.parametrize("name", ["figure_of_merit", "defocus_angstrom", "ice_ring"])
def test_few_micrographs_give_no_limit_from_the_set(name: str) -> None:
    assert derive_limit(BY_NAME[name], np.array([0.1, math.nan, 0.2])) is None


def test_given_sides_replace_the_automatic_ones() -> None:
    automatic = Limit(1.0, 5.0, "set")
    assert given_limit(automatic, None, None) is automatic
    assert given_limit(automatic, 2.0, None) == Limit(2.0, 5.0, "given")
    assert given_limit(None, None, 4.0) == Limit(-math.inf, 4.0, "given")


def test_reasons_name_the_value_and_the_limit() -> None:
    evidence = {"fit_resolution_angstrom": np.array([3.0, 12.0, math.nan])}
    good, bad, unknown = reasons_against(evidence, {"fit_resolution_angstrom": Limit(-math.inf, 8.0, "")})
    assert good == []
    assert bad == ["the Thon rings end too early (fit resolution 12 Å, at most 8 is wanted)"]
    assert unknown == ["fit resolution is unknown"]
