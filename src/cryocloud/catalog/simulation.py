"""Parameters that all simulated images share."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from cryocloud.catalog.base import Input, Parameters, parameter
from cryocloud.catalog.symmetry import PointGroup

PROCEDURAL = "procedural"
"""The word that stands for a made-up protein in place of a file."""

MAP_INPUT = Input("map", "map", "Density map (MRC cube), or the made-up protein", literals=(PROCEDURAL,))


class ImagingParameters(Parameters):
    symmetry: PointGroup = parameter(
        "C1", help="Point group of the made-up protein; of a map it is only noted"
    )
    mass_kda: float | None = parameter(
        None,
        unit="kDa",
        help="Mass of the made-up protein; chosen to suit the symmetry if not given",
        gt=5,
        le=6000,
    )
    pixel_size_angstrom: float | None = parameter(
        None,
        unit="Å",
        help="Pixel size; that of the map if not given, 1.5 for the made-up protein",
        gt=0.1,
        le=30,
    )
    snr: float = parameter(
        0.1, help="Variance of the particle images without noise over that of the noise", gt=0, le=1000
    )
    voltage_kv: float = parameter(300.0, unit="kV", help="Acceleration voltage", ge=20, le=3000)
    spherical_aberration_mm: float = parameter(2.7, unit="mm", help="Spherical aberration", ge=0, le=20)
    amplitude_contrast: float = parameter(0.1, help="Fraction of amplitude contrast", ge=0, le=1)
    b_factor_angstrom2: float = parameter(
        50.0, unit="Å²", help="Envelope of the CTF, exp(-B s²/4)", ge=0, le=2000
    )
    defocus_min_angstrom: float = parameter(8000.0, unit="Å", help="Smallest mean defocus", ge=0, le=200000)
    defocus_max_angstrom: float = parameter(20000.0, unit="Å", help="Largest mean defocus", ge=0, le=200000)
    astigmatism_max_angstrom: float = parameter(
        400.0, unit="Å", help="Largest difference of the two defoci", ge=0, le=20000
    )
    preferred_share: float = parameter(
        0.0, help="Share of particles that are seen along their z axis; the others uniformly", ge=0, le=1
    )
    preferred_spread_deg: float = parameter(
        15.0, unit="°", help="How far around their z axis those are seen", ge=0, le=90
    )

    @model_validator(mode="after")
    def _defocus_is_ordered(self) -> Self:
        if self.defocus_min_angstrom > self.defocus_max_angstrom:
            raise ValueError(
                f"defocus_min_angstrom {self.defocus_min_angstrom:g} must not exceed defocus_max_angstrom "
                f"{self.defocus_max_angstrom:g}"
            )
        return self
