"""Optics that a person gives when importing, against those that the files hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from cryocloud.catalog.fields import bounds, title, unit
from cryocloud.catalog.messages import option_name
from cryocloud.catalog.optics import OpticsParameters
from cryocloud.compute.context import JobContext
from cryocloud.engine.errors import InputError
from cryocloud.engine.io.mrc import MrcHeader
from cryocloud.engine.io.tables import optics_of_rows
from cryocloud.jobs.kit.preflight import pixel_sizes_differ

_LABELS = {
    "voltage_kv": "rlnVoltage",
    "spherical_aberration_mm": "rlnSphericalAberration",
    "amplitude_contrast": "rlnAmplitudeContrast",
}
# Volt, micrometer and Angstrom, in which other programs may have written the column.
_OTHER_UNITS = {"voltage_kv": (1e-3,), "spherical_aberration_mm": (1e-3, 1e-7), "amplitude_contrast": (1e-2,)}


def given_optics(parameters: OpticsParameters, pixel_label: str) -> dict[str, float]:
    """Optics columns and the values that were given for them."""
    labels = _LABELS | {"pixel_size_angstrom": pixel_label}
    values = {label: getattr(parameters, name) for name, label in labels.items()}
    return {label: value for label, value in values.items() if value is not None}


def require_optics(optics: pd.DataFrame) -> None:
    """Voltage, aberration and amplitude contrast are known, from the file or by option."""
    missing = [name for name, label in _LABELS.items() if label not in optics]
    if missing:
        columns = ", ".join(f"_{_LABELS[name]}" for name in missing)
        options = " ".join(option_name(name) for name in missing)
        raise InputError(f"{columns}: not in the input; give {options}")


def require_possible_optics(optics: pd.DataFrame, source: str) -> None:
    """What is known of voltage, aberration and amplitude contrast is within the bounds of their options."""
    for name, label in _LABELS.items():
        field = OpticsParameters.model_fields[name]
        low, high = (bounds(field)[side] for side in ("ge", "le"))
        values = optics_of_rows(optics, optics, label) if label in optics else np.zeros(0)
        for value in values[~((values >= low) & (values <= high))].tolist():
            meant = [factor * value for factor in _OTHER_UNITS[name] if low <= factor * value <= high]
            question, right = (f"; did you mean {meant[0]:g}?", f"{meant[0]:g}") if meant else (".", "")
            of_unit = f" {unit(field)}".rstrip()
            raise InputError(
                f"{source}: {title(name).lower()} {value:g}{of_unit} (_{label}) is not between {low:g} and "
                f"{high:g}{of_unit}{question} Mend the table, or import it with {option_name(name)} {right}".rstrip()
            )


def warn_of_optics(job: JobContext, optics: pd.DataFrame) -> None:
    """Values that are possible, but that no specimen has."""
    for value in np.unique(optics_of_rows(optics, optics, "rlnAmplitudeContrast")).tolist():
        if value in (0, 1):
            job.warning(
                f"the amplitude contrast is {value:g}, which no specimen has: 0.07 to 0.1 is usual, and the CTF is "
                "fitted with it; give --amplitude-contrast if it is wrong"
            )


def compare_with_headers(
    job: JobContext, pixel_size_angstrom: float, headers: Mapping[Path, MrcHeader]
) -> None:
    """Warn where files say another pixel size than the one that is used."""
    unknown = sum(not header.has_pixel_size for header in headers.values())
    if unknown:
        job.log(f"{unknown} headers have no pixel size (0 or 1); {pixel_size_angstrom:g} Å is used")
    differing = {
        path: header.pixel_size_angstrom
        for path, header in headers.items()
        if header.has_pixel_size and pixel_sizes_differ(header.pixel_size_angstrom, pixel_size_angstrom)
    }
    if differing:
        path, size = next(iter(differing.items()))
        job.warning(
            f"{len(differing)} headers have another pixel size ({path.name}: {size:g} Å); {pixel_size_angstrom:g} Å "
            "is used. A wrong one spoils defocus and resolution: give --pixel-size-angstrom if it is"
        )
    job.metrics(pixel_size_mismatches=len(differing), pixel_size_unknown=unknown)
