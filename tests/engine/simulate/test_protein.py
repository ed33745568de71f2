"""The made-up protein has the geometry, the density and the symmetry of a real one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from cryocloud.engine.errors import InputError
from cryocloud.engine.geometry import symmetry_operators
from cryocloud.engine.records.atomic_model import AtomicModel
from cryocloud.engine.simulate.density import mass_kda
from cryocloud.engine.simulate.folding import Chain, fold_chain
from cryocloud.engine.simulate.protein import procedural_model
from cryocloud.engine.simulate.residues import THREE_LETTERS, residue_templates
from cryocloud.engine.simulate.segments import ARCHITECTURES

HEAVY_ATOMS_BEYOND_CB = {
    "GLY": 0,
    "ALA": 0,
    "LYS": 4,
    "ARG": 6,
    "TRP": 9,
    "PHE": 6,
    "ASP": 3,
    "MET": 3,
    "VAL": 2,
}


@pytest.fixture(scope="module", params=sorted(ARCHITECTURES))
def chain(request: pytest.FixtureRequest) -> Chain:
    _, fewest, most = ARCHITECTURES[request.param]
    return fold_chain((fewest + most) // 2, np.random.default_rng(3), request.param)


def test_backbone_has_ideal_bonds(chain: Chain) -> None:
    n, ca, c = chain.backbone_angstrom.transpose(1, 0, 2)
    assert np.allclose(np.linalg.norm(ca - n, axis=1), 1.458, atol=1e-6)
    assert np.allclose(np.linalg.norm(c - ca, axis=1), 1.525, atol=1e-6)
    peptide = np.linalg.norm(n[1:] - c[:-1], axis=1)
    # Loops are closed to 0.2 A; everything else is exact.
    assert np.abs(peptide - 1.329).max() < 0.3
    assert np.median(np.abs(peptide - 1.329)) < 1e-3
    assert np.abs(np.linalg.norm(np.diff(ca, axis=0), axis=1) - 3.80).max() < 0.35


def test_residues_are_left_handed(chain: Chain) -> None:
    beta = {
        int(number): position
        for number, name, position in zip(
            chain.residue_number, chain.atom_name, chain.positions_angstrom, strict=True
        )
        if name == "CB"
    }
    n, ca, c = chain.backbone_angstrom.transpose(1, 0, 2)
    rows = np.array(sorted(beta)) - 1
    outward = np.array([beta[row + 1] for row in rows]) - ca[rows]
    chirality = (np.cross(n[rows] - ca[rows], c[rows] - ca[rows]) * outward).sum(1)
    # 2.6 A^3 in real L amino acids.
    assert np.all((chirality > 2.2) & (chirality < 2.9))


def test_chains_are_as_compact_as_folded_proteins(chain: Chain) -> None:
    alpha = chain.backbone_angstrom[:, 1]
    gyration = np.sqrt(((alpha - alpha.mean(0)) ** 2).sum(1).mean())
    # Folded proteins scatter by about 15 % around 2.2 N^0.38 A (Skolnick & Kolinski 1997).
    assert 0.85 < gyration / (2.2 * len(alpha) ** 0.38) < 1.25


def test_few_atoms_overlap(chain: Chain) -> None:
    pairs = cKDTree(chain.positions_angstrom).query_pairs(2.2, output_type="ndarray")
    apart = np.abs(np.diff(chain.residue_number[pairs], axis=1)[:, 0]) > 1
    # Nothing is refined: in the tightest sheets one residue in three touches another one.
    assert apart.sum() < 0.35 * len(chain.backbone_angstrom)


def test_side_chains_have_their_heavy_atoms() -> None:
    templates = residue_templates()
    assert set(templates) == set(THREE_LETTERS.values())
    for name, beyond in HEAVY_ATOMS_BEYOND_CB.items():
        assert len(templates[name].atom_names) == (0 if name == "GLY" else beyond + 1)


def test_a_helix_rises_by_1_5_angstrom_a_residue() -> None:
    chain = fold_chain(120, np.random.default_rng(0), "helix_bundle")
    helix = chain.backbone_angstrom[:10, 1]
    assert "".join(chain.structure[:10]) == "H" * 10
    axis = helix[6:].mean(0) - helix[:4].mean(0)
    assert np.linalg.norm(axis) / 6.5 == pytest.approx(1.5, abs=0.15)


@pytest.mark.parametrize("symmetry", ["C3", "D2", "O"])
def test_copies_are_exact_and_do_not_clash(symmetry: str) -> None:
    operators = symmetry_operators(symmetry).numpy()
    model = procedural_model(symmetry, np.random.default_rng(0), mass_kda=12.0 * len(operators))
    first = model.positions_angstrom[: len(model) // len(operators)]
    for operator in operators:
        distance, _ = cKDTree(model.positions_angstrom).query(first @ operator.T)
        assert distance.max() < 1e-6
    assert len(np.unique(model.chain)) == len(operators)
    alpha = model.positions_angstrom[model.atom_name == "CA"]
    # CA atoms of touching chains are never nearer than in a real interface.
    assert cKDTree(alpha).query(alpha, k=2)[0][:, 1].min() > 3.3


def test_the_asymmetric_object_looks_different_from_all_sides() -> None:
    model = procedural_model("C1", np.random.default_rng(1), mass_kda=80.0)
    spread = np.linalg.eigvalsh(np.cov(model.positions_angstrom.T))
    assert spread[1] > 1.1 * spread[0]
    assert spread[2] > 1.1 * spread[1]
    assert np.abs(model.positions_angstrom[model.atom_name == "CA"].mean(0)).max() < 1.0


def test_the_mass_is_what_was_asked_for(dimer: AtomicModel) -> None:
    # Heavy atoms alone are 7 % lighter than the protein, and segments have whole numbers of residues.
    assert mass_kda(dimer) == pytest.approx(40 * 0.93, rel=0.2)


def test_the_same_seed_gives_the_same_atoms() -> None:
    twice = [procedural_model("C2", np.random.default_rng(9), mass_kda=25.0) for _ in range(2)]
    assert np.array_equal(twice[0].positions_angstrom, twice[1].positions_angstrom)
    other = procedural_model("C2", np.random.default_rng(10), mass_kda=25.0)
    assert not np.array_equal(twice[0].positions_angstrom, other.positions_angstrom)


@pytest.mark.parametrize("mass_kda", [20.0, 9000.0])
def test_impossible_masses_are_refused(mass_kda: float) -> None:
    with pytest.raises(InputError, match="kDa"):
        procedural_model("D7", np.random.default_rng(0), mass_kda=mass_kda)
