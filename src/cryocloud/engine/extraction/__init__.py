"""Boxes around particles, cut out of micrographs and normalised."""

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
