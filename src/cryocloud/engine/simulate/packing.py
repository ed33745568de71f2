"""Rigid-body packing of folded domains against each other and about symmetry axes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from cryocloud.engine.native import peptide
from cryocloud.engine.simulate.folding import Chain

Float = NDArray[np.float64]

CLASH_ANGSTROM, CONTACT_ANGSTROM = 4.4, 8.0
_RESIDUES_PER_BEAD, _BEAD_CLASH_ANGSTROM = 4, 8.5
_COARSE_TRIALS, _FINE_TRIALS = 1500, 24
_LINKING_CONTACTS = 25


@dataclass(frozen=True)
class Placement:
    """Rigid motion x -> rotation x + shift."""

    rotation: Float
    shift_angstrom: Float

    def apply(self, points: Float) -> Float:
        """Moved points [..., 3]."""
        return np.asarray(points @ self.rotation.T + self.shift_angstrom)


def surface_points(chain: Chain) -> Float:
    """Two points a residue, CA and the side chain's middle: enough to judge clashes and contacts."""
    count = len(chain.backbone_angstrom)
    side = ~np.isin(chain.atom_name, ["N", "C", "O"])
    index = chain.residue_number[side] - 1
    totals = np.zeros((count, 3))
    np.add.at(totals, index, chain.positions_angstrom[side])
    middle = totals / np.bincount(index, minlength=count)[:, None]
    return np.concatenate([chain.backbone_angstrom[:, 1], middle])


def dock(fixed: Float, moving: Float, rng: np.random.Generator, *, trials: int, toward: Float | None = None) -> Placement:
    """Lay ``moving`` against ``fixed`` (surface points [n, 3]) where it makes most contacts for its spread.

    Parameters
    ----------
    fixed, moving
        Surface points; ``moving`` is centered.
    toward
        Unit direction from the center of ``fixed`` in which to place it; random directions when None.
    """
    center = fixed.mean(0)
    best, best_score = None, -np.inf
    for rotation in Rotation.random(trials, random_state=rng).as_matrix():
        direction = _random_direction(rng) if toward is None else toward
        turned = moving @ rotation.T + center
        distance = peptide.touching_distance(turned, fixed, direction, CLASH_ANGSTROM)
        touching = turned + distance * direction
        spread = np.sqrt((np.concatenate([fixed, touching]).var(0)).sum())
        score = peptide.count_contacts(touching, fixed, CONTACT_ANGSTROM) * (1.0 if toward is not None else 1 / spread)
        if score > best_score:
            best, best_score = Placement(rotation, center + distance * direction), score
    assert best is not None
    return best


def pack_symmetric(subunit: Float, operators: Float, rng: np.random.Generator) -> Placement:
    """Orientation and place of a centered subunit such that its symmetry copies touch, do not clash and hold together.

    Parameters
    ----------
    subunit
        Surface points [n, 3], centered.
    operators
        Point group [g, 3, 3], the identity first.
    """
    others = _one_of_each_inverse_pair(operators[1:])
    beads = subunit[: len(subunit) // 2]
    usable = len(beads) // _RESIDUES_PER_BEAD * _RESIDUES_PER_BEAD
    beads = np.ascontiguousarray(beads[:usable].reshape(-1, _RESIDUES_PER_BEAD, 3).mean(1))
    trials = []
    for rotation in Rotation.random(_COARSE_TRIALS, random_state=rng).as_matrix():
        direction = _off_axis_direction(operators, rng)
        turned = beads @ rotation.T
        radius = peptide.symmetric_touching_radius(turned, direction, others, _BEAD_CLASH_ANGSTROM)
        if radius < 1e8:
            contacts = _copy_contacts(turned + radius * direction, others, 1.4 * _BEAD_CLASH_ANGSTROM)
            trials.append((-float(np.minimum(contacts, 40).sum()), len(trials), rotation, direction))
    trials.sort(key=lambda trial: trial[:2])
    best, best_score = None, -np.inf
    for _, _, rotation, direction in trials[:_FINE_TRIALS]:
        turned = subunit @ rotation.T
        radius = peptide.symmetric_touching_radius(turned, direction, others, CLASH_ANGSTROM)
        contacts = _copy_contacts(turned + radius * direction, others, CONTACT_ANGSTROM)
        score = float(contacts.sum()) if _holds_together(others[contacts > _LINKING_CONTACTS], operators) else 0.0
        if score > best_score:
            best, best_score = Placement(rotation, radius * direction), score
    assert best is not None
    return best


def _copy_contacts(points: Float, others: Float, distance: float) -> NDArray[np.int64]:
    counts = [peptide.count_contacts(points, np.ascontiguousarray(points @ g.T), distance) for g in others]
    return np.array(counts, dtype=np.int64)


def _holds_together(links: Float, operators: Float) -> bool:
    """True when the linking operators generate the whole group, so that no copy hangs in the air."""
    steps = np.concatenate([links, links.transpose(0, 2, 1)])
    reached = np.zeros(len(operators), dtype=bool)
    reached[0] = True
    frontier = [0]
    while frontier:
        current = operators[frontier.pop()]
        for step in steps:
            index = int(np.abs(operators - step @ current).sum((1, 2)).argmin())
            if not reached[index]:
                reached[index] = True
                frontier.append(index)
    return bool(reached.all())


def _one_of_each_inverse_pair(operators: Float) -> Float:
    kept: list[Float] = []
    for operator in operators:
        if not any(np.abs(operator.T - other).max() < 1e-6 for other in kept):
            kept.append(operator)
    return np.array(kept).reshape(-1, 3, 3)


def _off_axis_direction(operators: Float, rng: np.random.Generator) -> Float:
    """A random direction; in the xy plane for cyclic groups, whose copies do not move apart along z."""
    direction = _random_direction(rng)
    if np.allclose(operators[:, 2, 2], 1.0):
        direction[2] = 0.0
        direction /= np.linalg.norm(direction)
    return direction


def _random_direction(rng: np.random.Generator) -> Float:
    direction = rng.normal(size=3)
    return np.asarray(direction / np.linalg.norm(direction))
