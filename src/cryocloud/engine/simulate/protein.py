"""A protein-like object made from nothing: folded chains packed into domains, subunits and assemblies.

Tests and benchmarks need objects whose density has the statistics of protein (helices, sheets, side
chains, compact domains, a natural fall of the spectrum) and that nobody has to download. Sequence and fold
are invented: such a model is no protein, and its stereochemistry is ideal rather than real.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from cryocloud.engine.errors import InputError
from cryocloud.engine.geometry import symmetry_operators
from cryocloud.engine.records.atomic_model import AtomicModel
from cryocloud.engine.simulate.assembly import apply_operators, chain_names
from cryocloud.engine.simulate.folding import Chain, fold_chain
from cryocloud.engine.simulate.packing import Placement, dock, pack_symmetric, surface_points

Float = NDArray[np.float64]

DALTON_PER_RESIDUE = 110.0
LARGEST_MASS_KDA = 6000.0
_DOMAIN_RESIDUES = 170
_LOBE_SHARES = (0.45, 0.33, 0.22)
_SUBUNIT_KDA = {"C": 60.0, "D": 50.0, "T": 40.0, "O": 20.0, "I": 22.0}
_ASYMMETRIC_KDA, _DIHEDRAL_KDA = 250.0, 400.0


@dataclass(frozen=True)
class _Body:
    """Chains that move together, each with the motion that carries it into the body's frame."""

    chains: tuple[Chain, ...]
    placements: tuple[Placement, ...]

    def points(self) -> Float:
        parts = zip(self.chains, self.placements, strict=True)
        return np.concatenate([p.apply(surface_points(c)) for c, p in parts])

    def moved(self, motion: Placement) -> _Body:
        placements = tuple(
            Placement(motion.rotation @ p.rotation, motion.apply(p.shift_angstrom)) for p in self.placements
        )
        return _Body(self.chains, placements)

    def centered(self) -> _Body:
        return self.moved(Placement(np.eye(3), -self.points().mean((0, 1))))


def default_mass_kda(symmetry: str) -> float:
    """Mass of an assembly that looks natural for a point group: 250 kDa for C1, 400 for D2, 700 for D7, 480 for O."""
    order = len(symmetry_operators(symmetry))
    if order == 1:
        return _ASYMMETRIC_KDA
    family = symmetry.strip()[0].upper()
    smallest = _DIHEDRAL_KDA if family == "D" else 0.0
    return max(smallest, _SUBUNIT_KDA[family] * order)


def procedural_model(
    symmetry: str, rng: np.random.Generator, *, mass_kda: float | None = None
) -> AtomicModel:
    """A compact protein-like assembly with ideal helices, strands, loops and side chains, centered at the origin.

    C1 gives three unequal lobes, so that no direction looks like another; other point groups pack one
    subunit about the axes of ``symmetry_operators``.

    Parameters
    ----------
    symmetry
        Point group, as in ``geometry.symmetry_operators``.
    rng
        Source of all choices: the same state gives the same model.
    mass_kda
        Mass of the whole assembly (about 15 % tolerance); ``default_mass_kda`` when None.

    Raises
    ------
    InputError
        Unknown symmetry, or a mass that leaves less than 60 residues a subunit or is above 6000 kDa.
    """
    operators = symmetry_operators(symmetry).numpy()
    mass = default_mass_kda(symmetry) if mass_kda is None else mass_kda
    residues = round(mass * 1000 / DALTON_PER_RESIDUE / len(operators))
    if residues < 60 or mass > LARGEST_MASS_KDA:
        raise InputError(
            f"mass {mass:g} kDa with symmetry {symmetry} means {residues} residues a subunit; give at least "
            f"{60 * DALTON_PER_RESIDUE * len(operators) / 1000:.0f} kDa and at most {LARGEST_MASS_KDA:.0f} kDa"
        )
    if len(operators) == 1:
        return _atomic_model(_lobed_body(residues, rng).centered())
    body = _compact_body(residues, rng).centered()
    body = body.moved(pack_symmetric(body.points(), operators, rng))
    return apply_operators(_atomic_model(body), operators, np.zeros(3))


def _compact_body(residues: int, rng: np.random.Generator) -> _Body:
    """Domains of about 170 residues docked one after the other, each where it keeps the whole compact."""
    body: _Body | None = None
    for size in _domain_sizes(residues, rng):
        chain = fold_chain(size, rng)
        still = Placement(np.eye(3), np.zeros(3))
        if body is None:
            body = _Body((chain,), (still,))
            continue
        placement = dock(body.points(), surface_points(chain), rng)
        body = _Body((*body.chains, chain), (*body.placements, placement))
    assert body is not None
    return body


def _lobed_body(residues: int, rng: np.random.Generator) -> _Body:
    """Three compact lobes of different size at an obtuse angle.

    Shares 0.45, 0.33 and 0.22: a body without any axis, whose views all differ.
    """
    lobes = [_compact_body(max(60, round(share * residues)), rng).centered() for share in _LOBE_SHARES]
    body = lobes[0]
    elbow = Rotation.from_rotvec(np.radians([0.0, 35.0, 110.0])).as_matrix()
    for lobe, direction in zip(
        lobes[1:], (np.array([1.0, 0, 0]), elbow @ np.array([1.0, 0, 0])), strict=True
    ):
        moved = lobe.moved(dock(body.points(), lobe.points(), rng, toward=direction))
        body = _Body(body.chains + moved.chains, body.placements + moved.placements)
    return body


def _domain_sizes(residues: int, rng: np.random.Generator) -> list[int]:
    count = max(1, round(residues / _DOMAIN_RESIDUES))
    weights = rng.uniform(0.75, 1.25, count)
    sizes = np.clip(np.round(residues * weights / weights.sum()), 70, 255)
    return [int(size) for size in sizes]


def _atomic_model(body: _Body) -> AtomicModel:
    """Atoms of a body; B-factors go from 20 in the core to 60 Angstrom^2 at the surface, by the number of
    neighbours.
    """
    parts = list(zip(body.chains, body.placements, strict=True))
    names = chain_names(len(parts))
    exposure = [1.0 / (1.0 + np.exp((c.neighbours - 14) / 4.0))[c.residue_number - 1] for c in body.chains]
    b_factor = 20.0 + 40.0 * np.concatenate(exposure)
    return AtomicModel(
        positions_angstrom=np.concatenate([p.apply(c.positions_angstrom) for c, p in parts]),
        element=np.concatenate([c.element for c in body.chains]),
        b_factor_angstrom2=b_factor,
        occupancy=np.ones(len(b_factor)),
        chain=np.repeat(names, [len(c.element) for c in body.chains]),
        residue_number=np.concatenate([c.residue_number for c in body.chains]),
        residue_name=np.concatenate([c.residue_name for c in body.chains]),
        atom_name=np.concatenate([c.atom_name for c in body.chains]),
    )
