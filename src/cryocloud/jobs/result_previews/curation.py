"""What each micrograph is judged by, and the limits that the set suggests, as numbers for the page that moves them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryocloud.engine.curation import CRITERIA, Criterion, derive_limit
from cryocloud.engine.errors import InputError
from cryocloud.engine.io.name_gate import is_readable_file
from cryocloud.engine.io.tables import MicrographTables, read_micrographs
from cryocloud.jobs.kit.curation import Evidence, evidence_of, limit_names, mildest_limit
from cryocloud.jobs.result_previews.order import Order

MICROGRAPHS_MAX = 20_000
STAR_BYTES_MAX = 64 << 20
FILE = "curation.json"


def preview_curation(order: Order) -> dict[str, Any]:
    """Nothing where the list has no column to judge by."""
    path = order.folder / "micrographs.star"
    if not is_readable_file(path) or path.stat().st_size > STAR_BYTES_MAX:
        return {}
    try:
        tables = read_micrographs(path)
        evidence = evidence_of(tables)
    except (InputError, ValueError):
        return {}
    if not evidence or not 0 < len(tables) <= MICROGRAPHS_MAX:
        return {}
    names = [Path(str(name)).name for name in tables.micrographs["rlnMicrographName"]]
    criteria = [_criterion(one, evidence, tables) for one in CRITERIA if one.name in evidence]
    (order.out / FILE).write_text(
        json.dumps({"names": names, "criteria": criteria}, allow_nan=False), encoding="utf-8"
    )
    return {"curation": {"file": FILE, "micrographs": len(names)}}


def _criterion(criterion: Criterion, evidence: Evidence, tables: MicrographTables) -> dict[str, Any]:
    values = evidence[criterion.name]
    lower, upper = limit_names(criterion)
    limit = derive_limit(criterion, values, mildest=mildest_limit(criterion, tables))
    return {
        "name": criterion.name,
        "unit": criterion.unit,
        "lower_parameter": lower if criterion.too_low else None,
        "upper_parameter": upper if criterion.too_high else None,
        "lower": _finite(limit.lower) if limit else None,
        "upper": _finite(limit.upper) if limit else None,
        "why": limit.why if limit else "",
        "too_low": criterion.too_low,
        "too_high": criterion.too_high,
        "values": _all_finite(values),
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _all_finite(values: NDArray[np.float64]) -> list[float | None]:
    return [_finite(value) for value in values.tolist()]
