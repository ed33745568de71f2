"""How evenly a map is known in all directions."""

from cryocloud.engine.diagnostics.conical import ConicalFsc, conical_fsc
from cryocloud.engine.diagnostics.orientation import OrientationCoverage, orientation_coverage

__all__ = ["ConicalFsc", "OrientationCoverage", "conical_fsc", "orientation_coverage"]
