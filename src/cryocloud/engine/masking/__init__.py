"""Soft masks."""

from cryocloud.engine.masking.soft import soft_circle, soft_sphere

__all__ = ["soft_circle", "soft_sphere"]
