"""Atomic models from PDB and mmCIF files.

Positions are in Angstrom in the file's own frame. Nothing is moved: whether that frame is the one of a map
depends on the map's header (`mrc_header`, origin and start).
"""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np

from cryocloud.engine.errors import InputError
from cryocloud.engine.io.atomic_write import replaced_when_complete
from cryocloud.engine.io.name_gate import require_readable
from cryocloud.engine.records.atomic_model import AtomicModel

__all__ = ["AtomicModel", "read_atomic_model", "read_biological_assembly", "write_atomic_model"]

PDB_CHAINS = 62


def read_atomic_model(path: Path | str) -> AtomicModel:
    """Read the first model of a PDB or mmCIF file (also gzipped) with all its atoms except water.

    Alternate conformations are all kept with their occupancy.

    Returns
    -------
    AtomicModel
        Atoms in file order. Chains and residues have the authors' names and numbers; insertion codes are
        dropped. B-factors are isotropic (``8 pi^2 <u^2>``, Angstrom^2).

    Raises
    ------
    InputError
        Missing file, unreadable content, or no atoms.
    """
    # The rows point into the structure, which therefore must outlive them.
    structure = _structure(Path(path))
    return _record([*structure[0].all()])


def _structure(path: Path) -> gemmi.Structure:
    require_readable(path)
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


def write_atomic_model(path: Path | str, model: AtomicModel) -> None:
    """Write a model as PDB or, by the suffix ``.cif``, as mmCIF; the file appears when complete.

    Atoms are numbered from 1 in the order of the record. A PDB file holds positions to 0.001 Angstrom,
    B-factors and occupancies to 0.01.

    Raises
    ------
    InputError
        More than 62 chains for a PDB file, which names a chain by one character.
    """
    path = Path(path)
    structure = gemmi.Structure()
    structure.name = path.stem
    structure.add_model(_gemmi_model(model))
    structure.setup_entities()
    structure.assign_serial_numbers()
    if path.suffix != ".cif" and len(structure[0]) > PDB_CHAINS:
        raise InputError(
            f"{path}: {len(structure[0])} chains do not fit a PDB file; write mmCIF (.cif) instead"
        )
    with replaced_when_complete(path) as temporary:
        if path.suffix == ".cif":
            structure.make_mmcif_document().write_file(str(temporary))
        else:
            structure.write_pdb(str(temporary))


def read_biological_assembly(path: Path | str) -> AtomicModel | None:
    """The first biological assembly that the file describes by operators; None where it describes none.

    Crystal structures list the asymmetric unit; the particle of a grid is the assembly. Copies of a chain
    get new, short names.
    """
    structure = _structure(Path(path))
    if not structure.assemblies:
        return None
    how = gemmi.HowToNameCopiedChain.Short
    assembled = gemmi.make_assembly(structure.assemblies[0], structure[0], how)
    return _record([*assembled.all()])


def _record(rows: list[gemmi.CRA]) -> AtomicModel:
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


def _gemmi_model(model: AtomicModel) -> gemmi.Model:
    """Atoms grouped into chains and residues, in their order; a new residue starts where chain or number changes."""
    built = gemmi.Model(1)
    key: tuple[str, int] | None = None
    for row in range(len(model)):
        chain, number = str(model.chain[row]), int(model.residue_number[row])
        if key is None or key[0] != chain:
            built.add_chain(gemmi.Chain(chain))
        if key != (chain, number):
            residue = gemmi.Residue()
            residue.name, residue.seqid = str(model.residue_name[row]), gemmi.SeqId(number, " ")
            built[-1].add_residue(residue)
        key = (chain, number)
        atom = gemmi.Atom()
        atom.name, atom.element = str(model.atom_name[row]), gemmi.Element(str(model.element[row]))
        atom.pos = gemmi.Position(*model.positions_angstrom[row])
        atom.occ, atom.b_iso = float(model.occupancy[row]), float(model.b_factor_angstrom2[row])
        built[-1][-1].add_atom(atom)
    return built
