"""Estimate the contrast transfer function of each micrograph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import model_validator

from cryocloud.catalog.base import Facts, Forecast, Group, Input, JobType, Luck, Parameters, parameter

# Measured: a micrograph of 4096 x 4096 takes 0.9 s, one of 1200 x 1240 takes 0.3 s, a plot 0.5 s.
CPU_S_PER_PIXEL = 3.5e-8
CPU_S_PER_MICROGRAPH = 0.3
CPU_S_PER_PLOT = 0.5


class CtfJobParameters(Parameters):
    resolution_min_angstrom: float = parameter(
        30.0, unit="Å", help="Coarsest resolution of the fitted band", gt=5, le=200
    )
    resolution_max_angstrom: float = parameter(
        4.0, unit="Å", help="Finest resolution of the fitted band", gt=1, lt=30
    )
    defocus_min_angstrom: float = parameter(
        3000.0, unit="Å", help="Smallest defocus searched", ge=500, le=200000
    )
    defocus_max_angstrom: float = parameter(
        50000.0, unit="Å", help="Largest defocus searched", ge=500, le=200000
    )
    astigmatism_max_angstrom: float = parameter(
        4000.0, unit="Å", help="Largest difference of the two defoci that is searched", ge=0, le=20000
    )
    phase_shift_min_deg: float = parameter(
        0.0,
        unit="°",
        help="Smallest phase shift of a phase plate; equal to the largest: fixed",
        ge=0,
        le=180,
    )
    phase_shift_max_deg: float = parameter(
        0.0, unit="°", help="Largest phase shift of a phase plate", ge=0, le=180
    )
    spectrum_size_px: int = parameter(
        512, unit="px", help="Edge of the smoothed power spectrum", ge=128, le=4096
    )
    plot_count: int = parameter(40, help="Micrographs of which the fit is drawn", ge=0)

    @model_validator(mode="after")
    def _ranges_are_ordered(self) -> Self:
        for low, high in (
            ("resolution_max_angstrom", "resolution_min_angstrom"),
            ("defocus_min_angstrom", "defocus_max_angstrom"),
        ):
            if getattr(self, low) >= getattr(self, high):
                raise ValueError(f"{low} {getattr(self, low):g} must be below {high} {getattr(self, high):g}")
        if self.phase_shift_min_deg > self.phase_shift_max_deg:
            raise ValueError(
                f"phase_shift_min_deg {self.phase_shift_min_deg:g} must not exceed phase_shift_max_deg "
                f"{self.phase_shift_max_deg:g}"
            )
        return self


def forecast(parameters: CtfJobParameters, facts: Facts) -> Forecast:
    pixels = facts.image_height_px * facts.image_width_px
    spectrum = parameters.spectrum_size_px**2
    plots = min(parameters.plot_count, facts.items)
    return Forecast(
        memory_bytes=4.7e8 + 35 * pixels + 100 * spectrum,
        disk_bytes=facts.items * (4 * spectrum + 1000) + 2e5 * plots,
        cpu_s=4 + facts.items * (CPU_S_PER_MICROGRAPH + CPU_S_PER_PIXEL * pixels) + CPU_S_PER_PLOT * plots,
    )


def expects(parameters: CtfJobParameters, facts: Facts, luck: Luck) -> Mapping[str, float]:
    return {"micrographs": facts.items}


JOB_TYPE = JobType(
    name="ctf",
    version=1,
    title="CTF estimation",
    summary="Fits defocus, astigmatism and optionally phase shift to the Thon rings of each micrograph.",
    parameters=CtfJobParameters,
    inputs=(Input("input", "micrographs", "micrographs.star"),),
    outputs=("micrographs.star", "exceptions.csv"),
    groups=(Group("micrographs", "micrographs.star", "micrographs with CTF"),),
    forecast=forecast,
    rests_on=("items", "image_width_px"),
    expects=expects,
    keeps_checkpoints=True,
)
