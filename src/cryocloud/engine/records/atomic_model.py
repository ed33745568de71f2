"""Atoms of a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class AtomicModel:
    """n atoms: positions in Angstrom as xyz columns [n, 3], every other array [n]; names are NumPy text.

    Attributes
    ----------
    positions_angstrom
        In the frame of the file they came from.
    b_factor_angstrom2
        Isotropic; damps by exp(-B s^2 / 4), that is B = 8 pi^2 times the mean squared displacement along a line.
    occupancy
        0 to 1.
    residue_number
        As in the file; unique only with the chain.
    """

    positions_angstrom: NDArray[np.float64]
    element: NDArray[Any]
    b_factor_angstrom2: NDArray[np.float64]
    occupancy: NDArray[np.float64]
    chain: NDArray[Any]
    residue_number: NDArray[np.int64]
    residue_name: NDArray[Any]
    atom_name: NDArray[Any]

    def __len__(self) -> int:
        return len(self.positions_angstrom)
