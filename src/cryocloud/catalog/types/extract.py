"""Cut particles out of micrographs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import model_validator

from cryocloud.catalog.base import (
    REQUIRED,
    Facts,
    Forecast,
    Group,
    Input,
    JobType,
    Luck,
    Parameters,
    parameter,
)

# Measured: a box of 160 px takes 0.4 ms, mostly writing and the Fourier crop.
CPU_S_PER_PIXEL = 2e-8
BYTES = {"float32": 4, "float16": 2}


class ExtractParameters(Parameters):
    box_size_px: int = parameter(
        REQUIRED, unit="px", help="Edge of the box on the micrograph, even", ge=16, le=4096
    )
    output_box_size_px: int | None = parameter(
        None,
        unit="px",
        help="Edge of the stored image, even; smaller than the box: Fourier-cropped",
        ge=16,
        le=4096,
    )
    invert_contrast: bool = parameter(
        True, help="Particles are dark on the micrographs; they are stored white"
    )
    background_diameter_angstrom: float | None = parameter(
        None,
        unit="Å",
        help="Outside this circle lies the background that is set to mean 0, deviation 1; 75 % of the box",
        gt=0,
    )
    clamp_dust: bool = parameter(True, help="Set pixels beyond 5 standard deviations to 5")
    recenter: bool = parameter(True, help="Move boxes by the origins that an earlier job found")
    score_min: float | None = parameter(None, help="Leave out picks with a lower score")
    number_type: Literal["float32", "float16"] = parameter(
        "float32", help="Stored numbers; float16 halves the disk space but needs RELION 4 or later"
    )
    noise_boxes: int = parameter(
        0, help="Instead of particles, cut this many boxes between them (null control of a refinement)", ge=0
    )
    particle_diameter_angstrom: float | None = parameter(
        None, unit="Å", help="For noise boxes: distance to keep from particles; half of the box", gt=0
    )

    @model_validator(mode="after")
    def _boxes_are_even(self) -> Self:
        for name in ("box_size_px", "output_box_size_px"):
            edge = getattr(self, name)
            if edge is not None and edge % 2:
                raise ValueError(f"{name} {edge} must be even; take {edge + 1}")
        if self.output_box_size_px is not None and self.output_box_size_px > self.box_size_px:
            raise ValueError(
                f"output_box_size_px {self.output_box_size_px} must not exceed box_size_px {self.box_size_px}"
            )
        return self


def forecast(parameters: ExtractParameters, facts: Facts) -> Forecast:
    """``facts.items`` are particles, as far as they are not noise boxes."""
    boxes = parameters.noise_boxes or facts.items
    pixels = facts.image_height_px * facts.image_width_px
    stored_px = parameters.output_box_size_px or parameters.box_size_px
    stored_bytes = boxes * BYTES[parameters.number_type] * stored_px**2
    return Forecast(
        memory_bytes=5e8 + 16 * pixels + 4e3 * parameters.box_size_px**2 + 2000 * boxes,
        # Parts wait beside the stack until it is complete.
        disk_bytes=2.05 * stored_bytes + 500 * boxes,
        cpu_s=4 + CPU_S_PER_PIXEL * parameters.box_size_px**2 * boxes,
    )


def expects(parameters: ExtractParameters, facts: Facts, luck: Luck) -> Mapping[str, float]:
    stored_px = parameters.output_box_size_px or parameters.box_size_px
    return {
        "particles": parameters.noise_boxes or max(1, round(luck.of(0.85, 0.93, 1.0) * facts.items)),
        "box_size_px": stored_px,
        "pixel_size_angstrom": facts.pixel_size_angstrom * parameters.box_size_px / stored_px,
    }


JOB_TYPE = JobType(
    name="extract",
    version=1,
    title="Extract particles",
    summary="Cuts boxes around picks, normalises their background and writes one stack.",
    parameters=ExtractParameters,
    inputs=(Input("input", "picks", "picks.star, or particles.star of an earlier job to re-center"),),
    outputs=("particles.star", "particles.mrcs", "exceptions.csv"),
    groups=(Group("particles", "particles.star", "extracted particles"),),
    rebuildable=("particles.mrcs",),
    forecast=forecast,
    rests_on=("items",),
    expects=expects,
    keeps_checkpoints=True,
)
