"""Optics of imported data: what the microscope was, where the files do not say or say wrong."""

from __future__ import annotations

from cryocloud.catalog.base import Parameters, parameter


class OpticsParameters(Parameters):
    """A value given here wins over the one in the files; "none" takes theirs."""

    pixel_size_angstrom: float | None = parameter(
        None, unit="Å", help="Pixel size; none: as the files say", ge=0.1, le=30
    )
    voltage_kv: float | None = parameter(
        None, unit="kV", help="Acceleration voltage; none: as the STAR or .cs file says", ge=20, le=3000
    )
    spherical_aberration_mm: float | None = parameter(
        None, unit="mm", help="Spherical aberration; none: as the STAR or .cs file says", ge=0, le=20
    )
    amplitude_contrast: float | None = parameter(
        None, help="Fraction of amplitude contrast; none: as the STAR or .cs file says", ge=0, le=1
    )
