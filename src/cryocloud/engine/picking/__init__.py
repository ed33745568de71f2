"""Particle picking on micrographs."""

from cryocloud.engine.picking.blob import pick_blobs
from cryocloud.engine.picking.picks import Picks, PickSettings
from cryocloud.engine.picking.template import References, pick_templates, project_references

__all__ = ["PickSettings", "Picks", "References", "pick_blobs", "pick_templates", "project_references"]
