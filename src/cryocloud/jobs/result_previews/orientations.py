"""How many particles look from each direction, on cells of equal area."""

from __future__ import annotations

from typing import Any

import numpy as np

from cryocloud.engine.errors import InputError
from cryocloud.engine.io.star import read_star
from cryocloud.jobs.result_previews.order import Order

HEIGHTS = 24
AZIMUTHS = 48
PARTICLES_BYTES_MAX = 1 << 30


def preview_orientations(order: Order) -> dict[str, Any]:
    """Counts [height, azimuth]: height is cos(tilt) from 1 to -1, azimuth is rot from -180 to 180 degrees."""
    path = order.folder / "particles.star"
    if not path.is_file():
        return {}
    try:
        if path.stat().st_size > PARTICLES_BYTES_MAX:
            raise InputError(f"particles.star: {path.stat().st_size:,} bytes are too many to be counted")
        table = read_star(path).get("particles")
        if table is None or not {"rlnAngleRot", "rlnAngleTilt"} <= set(table.columns):
            return {}
        rot_deg, tilt_deg = (table[f"rlnAngle{name}"].to_numpy(np.float64) for name in ("Rot", "Tilt"))
    except (InputError, ValueError) as error:
        return {"problems": [{"file": path.name, "reason": str(error)}]}
    usable = np.isfinite(rot_deg) & np.isfinite(tilt_deg)
    if not usable.any() or not tilt_deg[usable].any():
        return {}
    azimuth = np.floor((rot_deg[usable] + 180) % 360 / 360 * AZIMUTHS).astype(np.int64) % AZIMUTHS
    height = np.floor((1 - np.cos(np.deg2rad(tilt_deg[usable]))) / 2 * HEIGHTS).astype(np.int64)
    cells = np.minimum(height, HEIGHTS - 1) * AZIMUTHS + azimuth
    counts = np.bincount(cells, minlength=HEIGHTS * AZIMUTHS)
    return {
        "orientations": {
            "heights": HEIGHTS,
            "azimuths": AZIMUTHS,
            "particles": int(usable.sum()),
            "counts": counts.tolist(),
            "empty_share": float((counts == 0).mean()),
            "most": int(counts.max()),
        }
    }
