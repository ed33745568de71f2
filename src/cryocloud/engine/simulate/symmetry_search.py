"""Where the axes of a point group meet, found from the contacts that the copies of one chain make.

A file with a single chain does not say where the axes of its assembly are. Their directions are taken as
the standard ones; the unknown is a point, three numbers (two for cyclic groups). The score is a contact
energy of Lennard-Jones form on residues and then on atoms: it has its minimum where copies touch as
proteins do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.spatial import cKDTree

from cryocloud.engine.errors import InputError
from cryocloud.engine.geometry import healpix_directions
from cryocloud.engine.native.interfaces import interface_energy
from cryocloud.engine.native.peptide import symmetric_touching_radius
from cryocloud.engine.records.atomic_model import AtomicModel
from cryocloud.engine.simulate.packing import (
    BEAD_CLASH_ANGSTROM,
    beads_of_trace,
    copy_contacts,
    holds_together,
    one_of_each_inverse_pair,
)
from cryocloud.engine.simulate.residues import THREE_LETTERS

Float = NDArray[np.float64]

_DIRECTION_ORDER = 4
_COARSE_CONTACT_ANGSTROM, _COARSE_LINK = 13.0, 3
_RESIDUE_CANDIDATES, _ATOM_CANDIDATES = 25, 3
_SAME_PLACE_ANGSTROM, _DEEP_SHARE = 2.0, 0.5
_RESIDUE_DISTANCE, _RESIDUE_REACH = 6.0, 10.0
_ATOM_DISTANCE, _ATOM_REACH = 3.8, 7.0
_INTERFACE_REACH_ANGSTROM = 11.0
_LINK_ENERGY = -40.0
# A center (c, c, c), as every cubic map box has it, is preferred while it keeps this share of the energy.
_CUBIC_SHARE = 0.85
_NUCLEOTIDES = ("A", "C", "G", "U", "DA", "DC", "DG", "DT")


@dataclass(frozen=True)
class CenterSearch:
    """Where the axes meet, and how sure that is.

    ``center_angstrom`` [3] in the file's frame; ``energy`` in units of one ideal pair of atoms (negative
    is bound); ``how`` says it in words, for a report.
    """

    center_angstrom: Float
    energy: float
    how: str


def search_center(model: AtomicModel, operators: Float) -> CenterSearch:
    """Find the point about which the operators make an assembly of a chain: wide contacts, no clashes, all linked.

    Each direction from the center to the chain is tried with the chain as close to the axes as its copies
    allow; what holds together is settled on residues, the best on atoms.

    Parameters
    ----------
    model
        The chain in a frame whose axes are parallel to the operators'.
    operators
        Point group [g, 3, 3], the identity first.

    Raises
    ------
    InputError
        No arrangement holds together.
    """
    polymer = np.isin(model.residue_name, [*THREE_LETTERS.values(), *_NUCLEOTIDES])
    atoms = model.positions_angstrom[polymer]
    if len(atoms) == 0:
        raise InputError(
            "the model holds no protein or nucleic acid residue; its symmetry cannot be searched"
        )
    middle = atoms.mean(0)
    residues = _residue_points(model, polymer) - middle
    others = one_of_each_inverse_pair(operators[1:])
    starts = _starts(residues, others, operators)
    settled = [_settle(residues, start, others, _RESIDUE_DISTANCE, _RESIDUE_REACH, 2.0) for start in starts]
    best_energy, best = 0.0, None
    for offset in _distinct(settled):
        near = (atoms - middle)[_near_copies(atoms - middle + offset, others)]
        energy, offset = _settle(near, offset, others, _ATOM_DISTANCE, _ATOM_REACH, 1.0)
        links = interface_energy(near + offset, others, _ATOM_DISTANCE, _ATOM_REACH) < _LINK_ENERGY
        if energy < best_energy and holds_together(others[links], operators):
            best_energy, best = energy, (near, offset)
    if best is None:
        raise InputError(
            "no place of the symmetry axes makes the chain's copies touch without clashes; the axes must lie "
            "along x, y, z of the file: give the whole assembly, or a file with assembly records"
        )
    return _cubic_or_free(best[0], best[1], middle, others, best_energy)


def _residue_points(model: AtomicModel, polymer: NDArray[np.bool_]) -> Float:
    """Main-chain atom and middle of the side chain of each residue, [2 n, 3]: the former first."""
    rows = np.flatnonzero(polymer)
    keys = np.char.add(model.chain[rows].astype(str), model.residue_number[rows].astype(str))
    _, index = np.unique(keys, return_inverse=True)
    counts = np.bincount(index)
    middles = np.stack([np.bincount(index, model.positions_angstrom[rows, k]) for k in range(3)], 1)
    main = rows[np.isin(model.atom_name[rows], ["CA", "P"]) & np.isin(model.element[rows], ["C", "P"])]
    return np.concatenate([model.positions_angstrom[main], middles / counts[:, None]])


def _starts(residues: Float, others: Float, operators: Float) -> list[Float]:
    """Offsets from the center to the chain's middle that hold together on coarse beads, most contacts first."""
    trace = residues[: len(residues) // 2]
    beads = beads_of_trace(trace)
    rot, tilt = (np.radians(angle.numpy()) for angle in healpix_directions(_DIRECTION_ORDER))
    directions = np.stack([np.sin(tilt) * np.cos(rot), np.sin(tilt) * np.sin(rot), np.cos(tilt)], 1)
    if np.allclose(operators[:, 2, 2], 1.0):
        around = np.linspace(0, 2 * np.pi, 360, endpoint=False)
        directions = np.stack([np.cos(around), np.sin(around), np.zeros(360)], 1)
    found = []
    for direction in directions:
        radius = symmetric_touching_radius(beads, direction, others, BEAD_CLASH_ANGSTROM)
        if np.isfinite(radius):
            contacts = copy_contacts(beads + (radius - 1) * direction, others, _COARSE_CONTACT_ANGSTROM)
            if holds_together(others[contacts >= _COARSE_LINK], operators):
                found.append((int(contacts.sum()), radius * direction))
    found.sort(key=lambda start: -start[0])
    return [offset for _, offset in found[:_RESIDUE_CANDIDATES]]


def _settle(
    points: Float, offset: Float, others: Float, distance: float, reach: float, step: float
) -> tuple[float, Float]:
    """Energy and offset at the nearest minimum, by 80 steps of Nelder-Mead from a simplex of edge ``step``."""

    def energy(place: Float) -> float:
        return float(interface_energy(points + place, others, distance, reach).sum())

    simplex = offset + step * np.concatenate([np.zeros((1, 3)), np.eye(3)])
    found = minimize(
        energy,
        offset,
        method="Nelder-Mead",
        options={"maxfev": 80, "initial_simplex": simplex, "xatol": 0.01, "fatol": 0.1},
    )
    return float(found.fun), np.asarray(found.x)


def _distinct(settled: list[tuple[float, Float]]) -> list[Float]:
    """The deepest minima, those that are one and the same only once."""
    kept: list[Float] = []
    deepest = min((energy for energy, _ in settled), default=0.0)
    for energy, offset in sorted(settled, key=lambda found: found[0]):
        fresh = all(np.linalg.norm(offset - other) > _SAME_PLACE_ANGSTROM for other in kept)
        if fresh and energy < _DEEP_SHARE * deepest:
            kept.append(offset)
    return kept[:_ATOM_CANDIDATES]


def _near_copies(points: Float, others: Float) -> NDArray[np.bool_]:
    """Atoms that a copy comes near to: the others cannot change the energy."""
    near = np.zeros(len(points), dtype=bool)
    for operator in np.concatenate([others, others.transpose(0, 2, 1)]):
        distance, _ = cKDTree(points @ operator.T).query(
            points, distance_upper_bound=_INTERFACE_REACH_ANGSTROM
        )
        near |= np.isfinite(distance)
    return near


def _cubic_or_free(near: Float, offset: Float, middle: Float, others: Float, energy: float) -> CenterSearch:
    """Prefer a center on the diagonal, where a cubic map has it, if the contacts allow it.

    Models built into a map share its frame, whose center is half an edge along x, y and z. Such a center
    is searched in steps of 0.05 Angstrom within 2 Angstrom of the mean of the free one, and taken where it
    keeps 85 % of the energy.
    """
    free = middle - offset

    def energy_at(c: float) -> float:
        return float(interface_energy(near + middle - c, others, _ATOM_DISTANCE, _ATOM_REACH).sum())

    places = float(free.mean()) + np.arange(-2.0, 2.01, 0.05)
    energies = [energy_at(c) for c in places]
    lowest = int(np.argmin(energies))
    if energies[lowest] <= _CUBIC_SHARE * energy:
        center = np.full(3, places[lowest])
        how = f"center ({center[0]:.2f}, {center[1]:.2f}, {center[2]:.2f}) Å, as a cubic map box has it"
        return CenterSearch(center, energies[lowest], f"{how}, from the contacts between the copies")
    how = f"center ({free[0]:.2f}, {free[1]:.2f}, {free[2]:.2f}) Å from the contacts between the copies"
    return CenterSearch(free, energy, how)
