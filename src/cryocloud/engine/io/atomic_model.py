"""Atomic models from PDB and mmCIF files."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np

from cryocloud.engine.errors import InputError
from cryocloud.engine.records.atomic_model import AtomicModel

__all__ = ["AtomicModel", "read_atomic_model"]


def read_atomic_model(path: Path | str) -> AtomicModel:
    """Read the first model of a PDB or mmCIF file (also gzipped) with all its atoms except water.

    Alternate conformations are all kept with their occupancy.

    Raises
    ------
    InputError
        Missing file, unreadable content, or no atoms.
    """
    # The rows point into the structure, which therefore must outlive them.
    structure = _structure(Path(path))
    rows = [*structure[0].all()]
    return AtomicModel(
        positions_angstrom=np.array([row.atom.pos.tolist() for row in rows], dtype=np.float64),
        element=np.array([row.atom.element.name for row in rows]),
        b_factor_angstrom2=np.array([row.atom.b_iso for row in rows], dtype=np.float64),
        occupancy=np.array([row.atom.occ for row in rows], dtype=np.float64),
        chain=np.array([row.chain.name for row in rows]),
        residue_number=np.array([row.residue.seqid.num for row in rows], dtype=np.int64),
        residue_name=np.array([row.residue.name for row in rows]),
        atom_name=np.array([row.atom.name for row in rows]),
    )


def _structure(path: Path) -> gemmi.Structure:
    if not path.is_file():
        raise InputError(f"{path}: no such file; give a PDB or mmCIF model")
    try:
        structure = gemmi.read_structure(str(path))
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(f"{path}: not a readable PDB or mmCIF model ({error})") from error
    structure.remove_waters()
    if len(structure) == 0 or structure[0].count_atom_sites() == 0:
        raise InputError(f"{path}: holds no atoms (water left out); give a model with coordinates")
    return structure
