"""Optics that a person gives when importing, against those that the files hold."""

from __future__ import annotations

import pandas as pd

from cryocloud.catalog.messages import option_name
from cryocloud.catalog.optics import OpticsParameters
from cryocloud.engine.errors import InputError

_LABELS = {
    "voltage_kv": "rlnVoltage",
    "spherical_aberration_mm": "rlnSphericalAberration",
    "amplitude_contrast": "rlnAmplitudeContrast",
}


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
