"""Assemblies from subunits by symmetry operators."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryocloud.engine.records.atomic_model import AtomicModel

Float = NDArray[np.float64]

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def chain_names(count: int) -> NDArray[Any]:
    """A, B .. Z, a .. z, 0 .. 9, then AA, AB and so on."""
    return np.array([*_LETTERS, *(a + b for a in _LETTERS for b in _LETTERS)][:count])


def apply_operators(model: AtomicModel, operators: Float, center_angstrom: Float) -> AtomicModel:
    """All copies of a model under rotations about a center, which becomes the origin.

    ``x' = g (x - center)`` for each atom and each operator g.

    Parameters
    ----------
    model
        The asymmetric unit.
    operators
        Rotations [g, 3, 3] on xyz columns.
    center_angstrom
        Point [3] of the model's frame where the axes meet.

    Returns
    -------
    AtomicModel
        g times as many atoms, copy by copy, every chain of every copy with a name of its own.
    """
    copies = len(operators)
    local = model.positions_angstrom - center_angstrom
    chains, index = np.unique(model.chain, return_inverse=True)
    names = chain_names(copies * len(chains))
    copy = np.repeat(np.arange(copies), len(model))
    return AtomicModel(
        positions_angstrom=np.concatenate([local @ g.T for g in operators]),
        element=np.tile(model.element, copies),
        b_factor_angstrom2=np.tile(model.b_factor_angstrom2, copies),
        occupancy=np.tile(model.occupancy, copies),
        chain=names[copy * len(chains) + np.tile(index, copies)],
        residue_number=np.tile(model.residue_number, copies),
        residue_name=np.tile(model.residue_name, copies),
        atom_name=np.tile(model.atom_name, copies),
    )
