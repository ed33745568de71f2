"""Maps of atomic models against gemmi's."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
import torch

from cryocloud.engine.fourier import fsc
from cryocloud.engine.io.atomic_model import AtomicModel
from cryocloud.engine.simulate.density import VOLT_ANGSTROM2, density_map

BOX, PIXEL_SIZE = 40, 1.0


@pytest.fixture
def model():
    rng = np.random.default_rng(1)
    n = 30
    return AtomicModel(
        positions_angstrom=rng.uniform(-8, 8, (n, 3)),
        element=rng.choice(["C", "N", "O", "S"], n),
        b_factor_angstrom2=rng.uniform(20, 60, n),
        occupancy=rng.uniform(0.5, 1, n),
        chain=np.full(n, "A"),
        residue_number=np.arange(1, n + 1),
        residue_name=np.full(n, "ALA"),
        atom_name=np.full(n, "CA"),
    )


def gemmi_density(model):
    """gemmi sums the same five-Gaussian factors in real space, in electron scattering lengths an A^3."""
    chain = gemmi.Chain("A")
    for row in range(len(model)):
        residue = gemmi.Residue()
        residue.name, residue.seqid = "ALA", gemmi.SeqId(row + 1, " ")
        atom = gemmi.Atom()
        atom.element = gemmi.Element(str(model.element[row]))
        atom.pos = gemmi.Position(*(model.positions_angstrom[row] + BOX // 2 * PIXEL_SIZE))
        atom.b_iso, atom.occ = float(model.b_factor_angstrom2[row]), float(model.occupancy[row])
        residue.add_atom(atom)
        chain.add_residue(residue)
    gemmi_model = gemmi.Model(1)
    gemmi_model.add_chain(chain)
    calculator = gemmi.DensityCalculatorE()
    edge = BOX * PIXEL_SIZE
    calculator.grid.unit_cell = gemmi.UnitCell(edge, edge, edge, 90, 90, 90)
    calculator.grid.set_size(BOX, BOX, BOX)
    calculator.cutoff = 1e-7
    calculator.put_model_density_on_grid(gemmi_model)
    xyz = np.array(calculator.grid.array, copy=True)
    return torch.from_numpy(np.ascontiguousarray(xyz.transpose(2, 1, 0)))


def test_density_agrees_with_gemmi(model):
    """gemmi samples the Gaussians, ours is cut at Nyquist: at B of 20 and more that is below 1e-3 up to 2/3 of it."""
    ours = density_map(model, box_size_px=BOX, pixel_size_angstrom=PIXEL_SIZE)
    theirs = gemmi_density(model) * VOLT_ANGSTROM2
    assert fsc(ours, theirs)[: BOX // 3].min() > 0.9999
    assert float((ours * theirs).sum() / (theirs**2).sum()) == pytest.approx(1, abs=0.01)
