"""``{"part": "maps", "folder": ..., "out": ..., ...}`` on standard input, the part's index on standard output."""

from __future__ import annotations

import json
import sys

from cryocloud.jobs.result_previews.classes import preview_classes
from cryocloud.jobs.result_previews.curves import preview_curves
from cryocloud.jobs.result_previews.maps import preview_maps
from cryocloud.jobs.result_previews.micrographs import preview_micrographs
from cryocloud.jobs.result_previews.order import read_order
from cryocloud.jobs.result_previews.orientations import preview_orientations

PARTS = {
    "maps": preview_maps,
    "classes": preview_classes,
    "curves": preview_curves,
    "orientations": preview_orientations,
    "micrographs": preview_micrographs,
}

if __name__ == "__main__":
    given = json.load(sys.stdin)
    json.dump(PARTS[given["part"]](read_order(given)), sys.stdout, allow_nan=False)
