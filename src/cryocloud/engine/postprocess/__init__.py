"""From two half maps to a resolution and a sharpened map."""

from cryocloud.engine.postprocess.correlation import FscCurves, correlate_half_maps
from cryocloud.engine.postprocess.sharpening import GuinierPlot, guinier_plot, sharpen

__all__ = ["FscCurves", "GuinierPlot", "correlate_half_maps", "guinier_plot", "sharpen"]
