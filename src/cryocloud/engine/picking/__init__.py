"""Particle picking on micrographs.

Every picker is a locally normalised correlation with templates, whose peaks are judged in the same way.
Modules in the order of the work: `field` (coarse image, gradients and crystals gone), `correlation` and
`peaks`, `significance` (which scores chance can reach), `populations` (particles against what resembles
them), `picks` (the choice), and on top `blob` (no reference but the diameter) and `template` (class
averages, or projections of a map).
"""

from cryocloud.engine.picking.blob import pick_blobs
from cryocloud.engine.picking.picks import Picks, PickSettings
from cryocloud.engine.picking.template import References, pick_templates, project_references

__all__ = ["PickSettings", "Picks", "References", "pick_blobs", "pick_templates", "project_references"]
