"""Atomic models from PDB and mmCIF."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
import pytest

from cryocloud.engine.errors import InputError
from cryocloud.engine.io.atomic_model import read_atomic_model

ATOMS = [  # name, element, residue, number, x, y, z, occupancy, B
    ("N", "N", "ALA", 1, 0.5, -1.25, 3.0, 1.0, 20.0),
    ("CA", "C", "ALA", 1, 1.5, 0.0, 3.125, 0.6, 21.5),
    ("ZN", "Zn", "ZN", 2, -7.75, 2.0, 1.0, 1.0, 55.0),
    ("O", "O", "HOH", 3, 9.0, 9.0, 9.0, 1.0, 60.0),
]


@pytest.fixture
def structure() -> gemmi.Structure:
    chain = gemmi.Chain("B")
    for name, element, residue_name, number, x, y, z, occupancy, b_factor in ATOMS:
        if not len(chain) or chain[-1].seqid.num != number:
            residue = gemmi.Residue()
            residue.name = residue_name
            residue.seqid = gemmi.SeqId(number, " ")
            chain.add_residue(residue)
        atom = gemmi.Atom()
        atom.name, atom.element, atom.pos = name, gemmi.Element(element), gemmi.Position(x, y, z)
        atom.occ, atom.b_iso = occupancy, b_factor
        chain[-1].add_atom(atom)
    structure = gemmi.Structure()
    structure.add_model(gemmi.Model(1))
    structure[0].add_chain(chain)
    structure.setup_entities()
    return structure


@pytest.mark.parametrize("suffix", [".pdb", ".cif"])
def test_all_atoms_but_water(structure, tmp_path: Path, suffix):
    path = tmp_path / f"model{suffix}"
    if suffix == ".pdb":
        structure.write_pdb(str(path))
    else:
        structure.make_mmcif_document().write_file(str(path))
    model = read_atomic_model(path)
    kept = ATOMS[:3]
    assert len(model) == 3
    np.testing.assert_allclose(model.positions_angstrom, [atom[4:7] for atom in kept], atol=1e-9)
    assert model.element.tolist() == ["N", "C", "Zn"]
    assert model.atom_name.tolist() == ["N", "CA", "ZN"]
    assert model.residue_name.tolist() == ["ALA", "ALA", "ZN"]
    assert model.residue_number.tolist() == [1, 1, 2]
    assert set(model.chain.tolist()) == {"B"}
    # gemmi keeps occupancy and B in float32
    np.testing.assert_allclose(model.occupancy, [1.0, 0.6, 1.0], rtol=1e-6)
    np.testing.assert_allclose(model.b_factor_angstrom2, [20.0, 21.5, 55.0], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [("model.pdb", "REMARK nothing\nEND\n", "no atoms"), ("model.cif", "no cif at all", "not a readable")],
)
def test_files_without_a_model(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        read_atomic_model(tmp_path / name)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_atomic_model(tmp_path / "absent.pdb")


def test_public_models(data_dir):
    """Each ATOM and HETATM line of the first model that is no water becomes an atom."""
    for name in ("maps/1oel.pdb", "maps/3ajo_fitted_refined.pdb", "models/1bxn.pdb"):
        lines = (data_dir / name).read_text().partition("ENDMDL")[0].splitlines()
        atoms = [line for line in lines if line[:6] in ("ATOM  ", "HETATM") and line[17:20] != "HOH"]
        model = read_atomic_model(data_dir / name)
        assert len(model) == len(atoms)
        positions = [[float(line[30:38]), float(line[38:46]), float(line[46:54])] for line in atoms]
        np.testing.assert_allclose(
            np.sort(model.positions_angstrom, axis=0), np.sort(positions, axis=0), atol=1e-9
        )
