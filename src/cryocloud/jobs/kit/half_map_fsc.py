"""The FSC of two half maps as a table and as a plot, for every job that compares halves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cryocloud.engine.fourier import resolution_angstrom
from cryocloud.engine.masking import FscCurves
from cryocloud.jobs.kit.plots import Curve, Mark, plot_curves

FSC_THRESHOLD = 0.143
_PREFIX = "rlnFourierShellCorrelation"


def fsc_table(curves: FscCurves, box_angstrom: float) -> pd.DataFrame:
    """All four curves under RELION's labels, one row a shell of a box with the edge ``box_angstrom``."""
    frequency = _frequency(curves, box_angstrom)
    return pd.DataFrame(
        {
            "rlnSpectralIndex": np.arange(len(frequency)),
            "rlnResolution": frequency,
            # RELION writes 999 Å for the zero frequency.
            "rlnAngstromResolution": np.append(999.0, 1 / frequency[1:]),
            f"{_PREFIX}Corrected": curves.corrected.cpu().numpy(),
            f"{_PREFIX}UnmaskedMaps": curves.unmasked.cpu().numpy(),
            f"{_PREFIX}MaskedMaps": curves.masked.cpu().numpy(),
            f"rlnCorrected{_PREFIX[3:]}PhaseRandomizedMaskedMaps": curves.phase_randomized.cpu().numpy(),
        }
    )


def plot_fsc(
    path: Path, curves: FscCurves, box_angstrom: float, *, title: str, marks: Sequence[Mark] = ()
) -> None:
    """The four curves over resolution, with the corrected one's crossing of 0.143 marked."""
    frequency = _frequency(curves, box_angstrom)
    # The box as one pixel: only the product of number and size counts.
    resolution = resolution_angstrom(curves.corrected, FSC_THRESHOLD, 1, box_angstrom)
    family = {
        "corrected": curves.corrected,
        "masked": curves.masked,
        "not masked": curves.unmasked,
        "masked, phases randomized": curves.phase_randomized,
    }
    plot_curves(
        path,
        [Curve(frequency[1:], curve.cpu().numpy()[1:], name) for name, curve in family.items()],
        x_label="resolution",
        y_label="Fourier shell correlation",
        title=title,
        marks=[Mark(FSC_THRESHOLD, "0.143", axis="y"), Mark(1 / resolution, f"{resolution:.2f} Å"), *marks],
        x_is_frequency=True,
    )


def _frequency(curves: FscCurves, box_angstrom: float) -> NDArray[np.float64]:
    return np.arange(len(curves.unmasked)) / box_angstrom
