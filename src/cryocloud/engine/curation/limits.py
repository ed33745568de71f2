"""Limits on the evidence about micrographs: fixed by physics or drawn from the set, each with its reason.

Only far outliers go. Good sets have no sharp border between good and bad, and particles of mediocre
micrographs still add signal; what does harm is the micrograph that belongs to another population.
Quartiles and medians do not move with the outliers that they are meant to find.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64

Rule = Literal["fixed", "multiple of median", "far out"]

# Tukey's fence for "far out" values: 3 interquartile ranges beyond the quartiles.
FENCE = 3.0
# Quartiles of fewer values say little.
FEWEST_FOR_QUARTILES = 8
FEWEST_FOR_MEDIAN = 4


@dataclass(frozen=True)
class Criterion:
    """One kind of evidence and how its limits are found.

    Attributes
    ----------
    name, label, unit
        Name of the criterion, STAR column that holds the evidence, and its unit ("" for a pure number).
    too_low, too_high
        What a value beyond the lower or upper limit means, in plain words; "" where that side is not
        limited.
    rule
        "fixed": ``factor`` itself. "multiple of median": ``factor`` times the median of the set. "far
        out": three interquartile ranges beyond the quartiles.
    mildest
        A limit is never stricter than this (for "far out" on both sides: than this far from the median),
        so that a set of very equal micrographs does not lose good ones.
    """

    name: str
    label: str
    unit: str
    too_low: str
    too_high: str
    rule: Rule
    factor: float = math.nan
    mildest: float = math.nan


@dataclass(frozen=True)
class Limit:
    """Allowed range in the criterion's unit, both ends included; infinite where a side is not limited.

    ``why`` says where the numbers come from, for the report.
    """

    lower: float
    upper: float
    why: str


CRITERIA = (
    Criterion(
        name="weakest_direction_signal",
        label="cryocloudWeakestDirectionSignal",
        unit="",
        too_low="the specimen drifted: in one direction hardly any signal is left",
        too_high="",
        rule="fixed",
        # A tenth of the power is a third of the amplitude: the envelope of a drift of 0.8 of the resolution.
        factor=0.1,
    ),
    Criterion(
        name="fit_resolution_angstrom",
        label="rlnCtfMaxResolution",
        unit="Å",
        too_low="",
        too_high="the Thon rings end too early",
        rule="multiple of median",
        factor=2.0,
        mildest=8.0,
    ),
    Criterion(
        name="figure_of_merit",
        label="rlnCtfFigureOfMerit",
        unit="",
        too_low="the Thon rings are too faint",
        too_high="",
        rule="multiple of median",
        factor=1 / 3,
    ),
    Criterion(
        name="defocus_angstrom",
        label="rlnDefocusU",
        unit="Å",
        too_low="the defocus is far below that of the others",
        too_high="the defocus is far above that of the others",
        rule="far out",
        mildest=10000.0,
    ),
    Criterion(
        name="astigmatism_angstrom",
        label="rlnCtfAstigmatism",
        unit="Å",
        too_low="",
        too_high="the astigmatism is far above that of the others",
        rule="far out",
        mildest=1000.0,
    ),
    Criterion(
        name="ice_ring",
        label="rlnCtfIceRingDensity",
        unit="",
        too_low="",
        too_high="the ice is crystalline",
        rule="far out",
        mildest=0.2,
    ),
    Criterion(
        name="intensity",
        label="cryocloudIntensityMean",
        unit="",
        too_low="the image is far darker than the others: thick ice, carbon or a blocked beam",
        too_high="the image is far brighter than the others: a hole without ice",
        rule="far out",
    ),
)


def derive_limit(
    criterion: Criterion, values: Float64[np.ndarray, " n"], *, mildest: float | None = None
) -> Limit | None:
    """The limit that a set of micrographs suggests; None where the set is too small to say.

    A median needs four finite values, quartiles eight.

    Parameters
    ----------
    values
        The evidence of all micrographs; values that are not finite are left out.
    mildest
        Replaces the criterion's own, where that depends on the data.

    References
    ----------
    Tukey 1977, Exploratory Data Analysis (fences at 3 interquartile ranges for values that are far out).
    """
    finite = values[np.isfinite(values)]
    mildest = criterion.mildest if mildest is None else mildest
    if criterion.rule == "fixed":
        return _sided(criterion, criterion.factor, criterion.factor, "what physics leaves usable")
    if criterion.rule == "multiple of median":
        if len(finite) < FEWEST_FOR_MEDIAN:
            return None
        median = float(np.median(finite))
        value = criterion.factor * median
        why = f"{criterion.factor:.2g} times the median of {median:.3g}"
        if criterion.too_high and value < mildest:
            value, why = mildest, f"{mildest:g}; {why} would be stricter than needed"
        return _sided(criterion, value, value, why)
    if len(finite) < FEWEST_FOR_QUARTILES:
        return None
    low, median, high = (float(v) for v in np.percentile(finite, [25, 50, 75]))
    margin = FENCE * (high - low)
    if criterion.too_low:
        lower, upper = min(low - margin, median - mildest), max(high + margin, median + mildest)
    else:
        lower, upper = -math.inf, max(high + margin, mildest)
    why = f"3 interquartile ranges beyond the quartiles {_plain(low)} and {_plain(high)}"
    return _sided(criterion, lower, upper, why)


def range_text(criterion: Criterion, limit: Limit) -> str:
    """A limit in words: "at most 1,639 Å"."""
    unit = f" {criterion.unit}" if criterion.unit else ""
    if math.isinf(limit.lower):
        return f"at most {_plain(limit.upper)}{unit}"
    if math.isinf(limit.upper):
        return f"at least {_plain(limit.lower)}{unit}"
    return f"{_plain(limit.lower)} to {_plain(limit.upper)}{unit}"


def given_limit(automatic: Limit | None, lower: float | None, upper: float | None) -> Limit | None:
    """Replace the sides that a person has given; None leaves a side as it was found."""
    if lower is None and upper is None:
        return automatic
    base = automatic or Limit(-math.inf, math.inf, "")
    return Limit(base.lower if lower is None else lower, base.upper if upper is None else upper, "given")


def reasons_against(
    evidence: Mapping[str, Float64[np.ndarray, " n"]], limits: Mapping[str, Limit]
) -> list[list[str]]:
    """For each micrograph the plain reasons to reject it, worst kind first; none for a good one.

    Both mappings go by the criteria's names. A value that is not finite is a reason where there is a limit.
    """
    count = len(next(iter(evidence.values())))
    return [
        [reason for criterion in CRITERIA if (reason := _reason(criterion, evidence, limits, row))]
        for row in range(count)
    ]


def _reason(
    criterion: Criterion,
    evidence: Mapping[str, Float64[np.ndarray, " n"]],
    limits: Mapping[str, Limit],
    row: int,
) -> str:
    if criterion.name not in limits or criterion.name not in evidence:
        return ""
    limit, value = limits[criterion.name], float(evidence[criterion.name][row])
    words = criterion.name.removesuffix("_angstrom").replace("_", " ")
    unit = f" {criterion.unit}" if criterion.unit else ""
    if not math.isfinite(value):
        return f"{words} is unknown"
    if value < limit.lower:
        return (
            f"{criterion.too_low} ({words} {_plain(value)}{unit}, at least {_plain(limit.lower)} is wanted)"
        )
    if value > limit.upper:
        return (
            f"{criterion.too_high} ({words} {_plain(value)}{unit}, at most {_plain(limit.upper)} is wanted)"
        )
    return ""


def _sided(criterion: Criterion, lower: float, upper: float, why: str) -> Limit:
    return Limit(lower if criterion.too_low else -math.inf, upper if criterion.too_high else math.inf, why)


def _plain(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
