"""What a resolution is worth."""

from __future__ import annotations

from cryocloud.compute.context import JobContext


def report_pixel_limit(
    job: JobContext, resolution_angstrom: float, *, box_size_px: int, pixel_size_angstrom: float
) -> str:
    """Warn where a resolution is that of the pixel, within a shell, and not of the data; words to put behind it."""
    is_limited = box_size_px * pixel_size_angstrom / resolution_angstrom >= box_size_px // 2 - 1
    job.metrics(limited_by_pixel=is_limited)
    if not is_limited:
        return ""
    job.warning(
        f"the resolution of {resolution_angstrom:.2f} Å is limited by the pixel: the half maps agree up to two pixels "
        f"of {pixel_size_angstrom:.4g} Å, beyond which these images hold nothing. Extract the particles with smaller "
        "pixels to see how far the data go; if they have no smaller ones, look for copies of particles and a mask that "
        "is too tight"
    )
    return ", limited by the pixel"
