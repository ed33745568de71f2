"""Gold-standard 3D refinement: two halves of the particles that never meet above the start resolution."""

from cryocloud.engine.refinement.maximization import combined_map
from cryocloud.engine.refinement.records import RefinementParameters, RefinementState
from cryocloud.engine.refinement.refine import PER_PARTICLE, refine, start_refinement

__all__ = [
    "PER_PARTICLE",
    "RefinementParameters",
    "RefinementState",
    "combined_map",
    "refine",
    "start_refinement",
]
