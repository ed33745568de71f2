"""How many particles look from each direction, on cells of equal area."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryocloud.engine.errors import InputError
from cryocloud.engine.geometry.symmetry import symmetry_operators
from cryocloud.engine.io.name_gate import is_readable_file
from cryocloud.engine.io.star import read_star
from cryocloud.jobs.result_previews.order import Order

HEIGHTS = 24
AZIMUTHS = 48
PARTICLES_BYTES_MAX = 1 << 30
Floats = NDArray[np.float64]


def preview_orientations(order: Order) -> dict[str, Any]:
    """Counts [height * azimuth]: height is cos(tilt) from 1 to -1, azimuth is rot from -180 to 180 degrees."""
    path = order.folder / "particles.star"
    if not is_readable_file(path):
        return {}
    try:
        if path.stat().st_size > PARTICLES_BYTES_MAX:
            raise InputError(f"particles.star: {path.stat().st_size:,} bytes are too many to be counted")
        table = read_star(path).get("particles")
        if table is None or not {"rlnAngleRot", "rlnAngleTilt"} <= set(table.columns):
            return {}
        operators = symmetry_operators(order.symmetry).numpy()
        rot_deg, tilt_deg = (table[f"rlnAngle{name}"].to_numpy(np.float64) for name in ("Rot", "Tilt"))
    except (InputError, ValueError) as error:
        return {"problems": [{"file": path.name, "reason": str(error)}]}
    usable = np.isfinite(rot_deg) & np.isfinite(tilt_deg)
    if not usable.any() or not tilt_deg[usable].any():
        return {}
    counts = _counts(np.deg2rad(rot_deg[usable]), np.deg2rad(tilt_deg[usable]), operators)
    return {
        "orientations": {
            "heights": HEIGHTS,
            "azimuths": AZIMUTHS,
            "particles": int(usable.sum()),
            "symmetry": order.symmetry,
            "copies": len(operators),
            "counts": counts.tolist(),
            "empty_share": float((counts == 0).mean()),
            "most": int(counts.max()),
        }
    }


def _counts(rot_rad: Floats, tilt_rad: Floats, operators: Floats) -> NDArray[np.int64]:
    """Each particle once for each symmetric copy of its direction: that is what the map is made from."""
    radius = np.sin(tilt_rad)
    directions = np.stack([radius * np.cos(rot_rad), radius * np.sin(rot_rad), np.cos(tilt_rad)])
    counts = np.zeros(HEIGHTS * AZIMUTHS, np.int64)
    for operator in operators:
        x, y, z = operator @ directions
        turns = (np.arctan2(y, x) / (2 * np.pi) + 0.5) % 1
        azimuth = np.minimum((turns * AZIMUTHS).astype(np.int64), AZIMUTHS - 1)
        height = np.clip(((1 - z) / 2 * HEIGHTS).astype(np.int64), 0, HEIGHTS - 1)
        counts += np.bincount(height * AZIMUTHS + azimuth, minlength=len(counts))
    return counts
