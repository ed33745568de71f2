"""What micrographs are judged by, as their table holds it and as the parameters of ``curate`` call it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cryocloud.engine.curation import CRITERIA, Criterion
from cryocloud.engine.io.tables import MicrographTables

Evidence = dict[str, NDArray[np.float64]]


def evidence_of(tables: MicrographTables) -> Evidence:
    """Values of all micrographs by criterion, of those criteria that the table has columns for."""
    return {
        criterion.name: tables.micrographs[criterion.label].to_numpy(dtype=np.float64)
        for criterion in CRITERIA
        if criterion.label in tables.micrographs
    }


def limit_names(criterion: Criterion) -> tuple[str, str]:
    """The parameters of the lower and the upper limit, whether there are such or not."""
    stem = criterion.name.removesuffix("_angstrom")
    unit = "_angstrom" if stem != criterion.name else ""
    return f"{stem}_min{unit}", f"{stem}_max{unit}"


def mildest_limit(criterion: Criterion, tables: MicrographTables) -> float | None:
    """Gray values have no scale of their own: they may differ by the spread of the pixels."""
    if criterion.name != "intensity":
        return None
    return float(tables.micrographs["cryocloudIntensityDeviation"].median())
