"""Maps of atoms against gemmi's own calculation and against physics."""

from __future__ import annotations

from dataclasses import replace

import gemmi
import numpy as np
import pytest
import torch
from torch import Tensor

from cryocloud.engine.errors import InputError
from cryocloud.engine.fourier import fsc, low_pass
from cryocloud.engine.records.atomic_model import AtomicModel
from cryocloud.engine.simulate.density import VOLT_ANGSTROM2, density_map

BOX_PX, PIXEL_SIZE_ANGSTROM = 56, 2.0


@pytest.fixture(scope="module")
def chain_model(dimer: AtomicModel) -> AtomicModel:
    """One chain, off center, with B-factors and one half-occupied atom."""
    rows = dimer.chain == dimer.chain[0]
    occupancy = dimer.occupancy[rows].copy()
    occupancy[3] = 0.5
    names = ("element", "b_factor_angstrom2", "chain", "residue_number", "residue_name", "atom_name")
    return AtomicModel(
        positions_angstrom=dimer.positions_angstrom[rows],
        occupancy=occupancy,
        **{name: getattr(dimer, name)[rows] for name in names},
    )


def _by_gemmi(model: AtomicModel) -> np.ndarray:
    """The same map by gemmi's real-space sums on a grid twice as fine, cut to the band in Fourier space."""
    edge = BOX_PX * PIXEL_SIZE_ANGSTROM
    structure = gemmi.Structure()
    structure.cell, structure.spacegroup_hm = gemmi.UnitCell(edge, edge, edge, 90, 90, 90), "P 1"
    residue = gemmi.Residue()
    residue.name = "UNK"
    for row in range(len(model)):
        atom = gemmi.Atom()
        atom.element = gemmi.Element(str(model.element[row]))
        atom.pos = gemmi.Position(*(model.positions_angstrom[row] + BOX_PX // 2 * PIXEL_SIZE_ANGSTROM))
        atom.occ, atom.b_iso = float(model.occupancy[row]), float(model.b_factor_angstrom2[row])
        residue.add_atom(atom)
    chain, part = gemmi.Chain("A"), gemmi.Model(1)
    chain.add_residue(residue)
    part.add_chain(chain)
    structure.add_model(part)
    calculator = gemmi.DensityCalculatorE()
    calculator.d_min, calculator.rate, calculator.cutoff = 2 * PIXEL_SIZE_ANGSTROM, 2.0, 1e-7
    calculator.set_refmac_compatible_blur(structure[0])
    calculator.set_grid_cell_and_spacegroup(structure)
    calculator.put_model_density_on_grid(structure[0])
    grid = np.array(calculator.grid, copy=False)
    kept = np.fft.fftfreq(BOX_PX, 1 / BOX_PX).astype(int)
    transform = np.fft.fftn(grid)[np.ix_(kept, kept, kept)]
    line = np.fft.fftfreq(BOX_PX, PIXEL_SIZE_ANGSTROM)
    s2 = line[:, None, None] ** 2 + line[:, None] ** 2 + line**2
    transform *= np.exp(0.25 * calculator.blur * s2)
    transform[BOX_PX // 2], transform[:, BOX_PX // 2], transform[:, :, BOX_PX // 2] = 0, 0, 0
    scale = VOLT_ANGSTROM2 * BOX_PX**3 / grid.size
    return np.fft.ifftn(transform).real.transpose(2, 1, 0) * scale


def test_gemmi_agrees(chain_model: AtomicModel) -> None:
    ours = density_map(chain_model, box_size_px=BOX_PX, pixel_size_angstrom=PIXEL_SIZE_ANGSTROM).numpy()
    theirs = _by_gemmi(chain_model)
    # Gaussians are cut at 3e-7 of their peak here and at 1e-7 there; float32 sums allow 1e-5.
    assert np.sqrt(((ours - theirs) ** 2).mean()) < 1e-4 * theirs.std()
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.999999


def test_the_origin_is_the_middle_voxel() -> None:
    one = AtomicModel(
        np.zeros((1, 3)), np.array(["C"]), np.array([40.0]), np.ones(1), np.array(["A"]), np.ones(1, np.int64),
        np.array(["ALA"]), np.array(["CA"]),
    )  # fmt: skip
    for box in (32, 33):
        volume = density_map(one, box_size_px=box, pixel_size_angstrom=1.5)
        assert np.unravel_index(int(volume.argmax()), volume.shape) == (box // 2,) * 3
        # The integral of an atom's potential is its forward scattering: 2.5088 A for carbon.
        assert float(volume.sum()) * 1.5**3 / VOLT_ANGSTROM2 == pytest.approx(2.5088, rel=1e-3)
    moved = density_map(
        replace(one, positions_angstrom=np.array([[3.0, -1.5, 6.0]])), box_size_px=32, pixel_size_angstrom=1.5
    )
    assert np.unravel_index(int(moved.argmax()), moved.shape) == (20, 15, 18)


def test_maps_have_the_symmetry_of_their_atoms(dimer_map: Tensor) -> None:
    turned = torch.roll(dimer_map.flip(1, 2), (1, 1), (1, 2))
    assert float((turned[:, 1:, 1:] - dimer_map[:, 1:, 1:]).abs().max()) < 1e-3 * float(dimer_map.abs().max())


def test_resolution_is_a_low_pass(dimer: AtomicModel) -> None:
    fine = density_map(dimer, box_size_px=48, pixel_size_angstrom=3.0)
    coarse = density_map(dimer, box_size_px=48, pixel_size_angstrom=3.0, resolution_angstrom=15.0)
    assert torch.equal(coarse, low_pass(fine, 15.0, 3.0))


def test_b_factors_blur(dimer: AtomicModel) -> None:
    sharp = density_map(dimer, box_size_px=48, pixel_size_angstrom=3.0)
    blurred = density_map(dimer, box_size_px=48, pixel_size_angstrom=3.0, b_factor_angstrom2=200.0)
    assert float(fsc(sharp, blurred)[1:20].min()) > 0.99
    ratio = torch.fft.rfftn(blurred)[0, 0, 12].abs() / torch.fft.rfftn(sharp)[0, 0, 12].abs()
    assert float(ratio) == pytest.approx(np.exp(-200 * (12 / 144) ** 2 / 4), rel=1e-3)


def test_protein_stands_3_5_volt_above_ice(dimer: AtomicModel) -> None:
    bare = low_pass(density_map(dimer, box_size_px=48, pixel_size_angstrom=3.0), 12.0, 3.0)
    in_ice = low_pass(density_map(dimer, box_size_px=48, pixel_size_angstrom=3.0, in_ice=True), 12.0, 3.0)
    inside = bare > 0.5 * bare.max()
    # 8 V of protein less 4.5 V of ice (Vulovic et al. 2013 give 3 to 3.6 V); the half-height region is a bit less.
    assert 2.5 < float(in_ice[inside].mean()) < 4.2
    assert float(in_ice[inside].mean()) < 0.7 * float(bare[inside].mean())


def test_atoms_outside_the_box_are_refused(dimer: AtomicModel) -> None:
    with pytest.raises(InputError, match=r"use at least \d+ px"):
        density_map(dimer, box_size_px=16, pixel_size_angstrom=2.0)


def test_resolution_beyond_the_sampling_is_refused(dimer: AtomicModel) -> None:
    with pytest.raises(InputError, match="two pixels"):
        density_map(dimer, box_size_px=64, pixel_size_angstrom=3.0, resolution_angstrom=5.0)


def test_unknown_elements_are_refused(dimer: AtomicModel) -> None:
    with pytest.raises(InputError, match="'Og'"):
        density_map(
            replace(dimer, element=np.full(len(dimer), "Og")), box_size_px=64, pixel_size_angstrom=3.0
        )
