"""Boxes around particles, cut out of micrographs and normalised.

Boxes are cut at whole pixels, without interpolation; the rest of the position, at most half a pixel, stays
in the table as origin. Stages expect white particles and noise of mean 0 and variance 1.
"""

from cryocloud.engine.extraction.boxes import BoxPlacement, cut_boxes, place_boxes
from cryocloud.engine.extraction.copies import (
    COPY_DISTANCE_BOXES,
    COPY_DISTANCE_DIAMETERS,
    repeated_positions,
)
from cryocloud.engine.extraction.gaps import gap_positions
from cryocloud.engine.extraction.normalization import NormalizeSettings, normalize_boxes

__all__ = [
    "COPY_DISTANCE_BOXES",
    "COPY_DISTANCE_DIAMETERS",
    "BoxPlacement",
    "NormalizeSettings",
    "cut_boxes",
    "gap_positions",
    "normalize_boxes",
    "place_boxes",
    "repeated_positions",
]
