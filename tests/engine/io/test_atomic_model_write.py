"""Models written as PDB and mmCIF come back atom by atom."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cryocloud.engine.errors import InputError
from cryocloud.engine.io.atomic_model import read_atomic_model, read_biological_assembly, write_atomic_model
from cryocloud.engine.records.atomic_model import AtomicModel


def _model(chains: int) -> AtomicModel:
    """Three residues of two atoms a chain; the numbers of neighboring chains' residues are alike."""
    n = 6 * chains
    rng = np.random.default_rng(0)
    names = [f"{chr(65 + c % 26)}{c // 26 or ''}" for c in range(chains)]
    return AtomicModel(
        positions_angstrom=np.round(rng.uniform(-99, 99, (n, 3)), 3),
        element=np.tile(["N", "C"], n // 2),
        b_factor_angstrom2=np.round(rng.uniform(5, 99, n), 2),
        occupancy=np.ones(n),
        chain=np.repeat(names, 6),
        residue_number=np.tile(np.repeat([7, 8, 9], 2), chains).astype(np.int64),
        residue_name=np.tile(np.repeat(["ALA", "GLY", "TRP"], 2), chains),
        atom_name=np.tile(["N", "CA"], n // 2),
    )


@pytest.mark.parametrize("suffix", [".pdb", ".cif"])
def test_every_atom_comes_back(tmp_path: Path, suffix: str) -> None:
    model = _model(5)
    write_atomic_model(tmp_path / f"model{suffix}", model)
    back = read_atomic_model(tmp_path / f"model{suffix}")
    # PDB holds three decimals of a position, and so does the model.
    assert back.positions_angstrom == pytest.approx(model.positions_angstrom, abs=1e-6)
    assert back.b_factor_angstrom2 == pytest.approx(model.b_factor_angstrom2, abs=1e-3)
    for name in ("element", "chain", "residue_number", "residue_name", "atom_name"):
        assert np.array_equal(getattr(back, name), getattr(model, name)), name


def test_more_chains_than_a_pdb_file_names_need_mmcif(tmp_path: Path) -> None:
    model = _model(70)
    with pytest.raises(InputError, match=r"70 chains.*mmCIF"):
        write_atomic_model(tmp_path / "model.pdb", model)
    assert not (tmp_path / "model.pdb").exists()
    write_atomic_model(tmp_path / "model.cif", model)
    assert len(np.unique(read_atomic_model(tmp_path / "model.cif").chain)) == 70


def test_biological_assemblies_are_completed(data_dir: Path) -> None:
    # GroEL: 7 chains in the file, an operator makes the other ring.
    assembly = read_biological_assembly(data_dir / "maps" / "1oel.pdb")
    assert assembly is not None
    assert len(np.unique(assembly.chain)) == 14
    assert len(assembly) == 2 * len(read_atomic_model(data_dir / "maps" / "1oel.pdb"))


def test_files_without_assembly_records_describe_none(tmp_path: Path) -> None:
    write_atomic_model(tmp_path / "model.pdb", _model(1))
    assert read_biological_assembly(tmp_path / "model.pdb") is None
