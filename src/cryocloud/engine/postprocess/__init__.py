"""From two half maps to a resolution and a sharpened map, and how that agrees with a model."""

from cryocloud.engine.postprocess.model_agreement import (
    MagnificationFit,
    PlacedModel,
    fit_magnification,
    model_fsc,
    place_model,
)
from cryocloud.engine.postprocess.sharpening import GuinierPlot, guinier_plot, sharpen

__all__ = [
    "GuinierPlot",
    "MagnificationFit",
    "PlacedModel",
    "fit_magnification",
    "guinier_plot",
    "model_fsc",
    "place_model",
    "sharpen",
]
