"""Gold-standard 3D refinement: two halves of the particles that never meet above the start resolution.

:func:`start_refinement` makes the first state, :func:`refine` iterates. An iteration poses every particle against the
map of its own half (``search``, ``expectation``), measures how strong each micrograph is (``envelope``), and makes two
new half maps and their common FSC (``maximization``). Because no image of one half ever shapes the reference of the
other, the FSC of the half maps measures signal and not shared noise.

References
----------
Scheres & Chen 2012, Nat. Methods 9:853; Scheres 2012, J. Struct. Biol. 180:519.
"""

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
