"""Boxes around particles, cut out of micrographs and normalised."""

from cryocloud.engine.extraction.boxes import BoxPlacement, cut_boxes, place_boxes
from cryocloud.engine.extraction.gaps import gap_positions
from cryocloud.engine.extraction.normalization import NormalizeSettings, normalize_boxes

__all__ = [
    "BoxPlacement",
    "NormalizeSettings",
    "cut_boxes",
    "gap_positions",
    "normalize_boxes",
    "place_boxes",
]
