"""Rigid-body packing of folded domains against each other and about symmetry axes.

Two points to a residue, its CA and the middle of its side chain, stand for the chain; beads of four
residues do in the coarse search. A good place is compact (small radius of gyration), has many contacts
(pairs within 8 Angstrom) and no clashes (none within 3.9). An arrangement is a rotation and a direction of
approach: how far along it bodies touch is computed, not searched, so clashes never need a penalty.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from cryocloud.engine.native import peptide
from cryocloud.engine.simulate.folding import Chain

Float = NDArray[np.float64]

CLASH_ANGSTROM, CONTACT_ANGSTROM = 3.9, 8.0
_RESIDUES_PER_BEAD, BEAD_CLASH_ANGSTROM, _BEAD_CONTACT_ANGSTROM = 4, 7.5, 11.0
_TRIALS, _KEPT, _IMPROVEMENTS = 300, 6, 120
# Angstrom of spread that a contact is worth.
_BEAD_CONTACT_GAIN, _CONTACT_GAIN = 0.3, 0.03
_LOOSE_PENALTY = 1e3
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
    """CA and the side chain's middle of each residue, [n, 2, 3]: enough to judge clashes and contacts."""
    count = len(chain.backbone_angstrom)
    side = ~np.isin(chain.atom_name, ["N", "C", "O"])
    index = chain.residue_number[side] - 1
    totals = np.zeros((count, 3))
    np.add.at(totals, index, chain.positions_angstrom[side])
    middle = totals / np.bincount(index, minlength=count)[:, None]
    return np.stack([chain.backbone_angstrom[:, 1], middle], axis=1)


def dock(fixed: Float, moving: Float, rng: np.random.Generator, *, toward: Float | None = None) -> Placement:
    """Lay ``moving`` against ``fixed`` where the whole stays compact and the contact is wide.

    Parameters
    ----------
    fixed, moving
        Surface points [n, 2, 3]; ``moving`` is centered.
    toward
        Unit direction from the center of ``fixed`` in which to place it; random directions when None.

    Returns
    -------
    Placement
        Motion of ``moving`` into the frame of ``fixed``.
    """
    few_fixed, few_moving = _beads(fixed), _beads(moving)
    fixed, moving = fixed.reshape(-1, 3), moving.reshape(-1, 3)
    center = fixed.mean(0)

    def coarse(rotation: Float, direction: Float) -> float:
        touching, _ = _slide(few_moving @ rotation.T + center, few_fixed, direction, BEAD_CLASH_ANGSTROM)
        contacts = peptide.count_contacts(touching, few_fixed, _BEAD_CONTACT_ANGSTROM)
        return _spread(few_fixed, touching) - _BEAD_CONTACT_GAIN * int(contacts)

    free = np.ones(3) if toward is None else np.zeros(3)
    best, best_score = None, np.inf
    for rotation, direction in _arrangements(coarse, free, toward, rng):
        touching, distance = _slide(moving @ rotation.T + center, fixed, direction, CLASH_ANGSTROM)
        contacts = peptide.count_contacts(touching, fixed, CONTACT_ANGSTROM)
        score = _spread(fixed, touching) - _CONTACT_GAIN * contacts
        if score < best_score:
            best, best_score = Placement(rotation, center + distance * direction), score
    assert best is not None
    return best


def pack_symmetric(subunit: Float, operators: Float, rng: np.random.Generator) -> Placement:
    """Orientation and place of a centered subunit such that its symmetry copies touch, do not clash and hold
    together.

    Random arrangements of coarse beads are improved by small random changes; the best few are settled with
    all points. The score is the radius of gyration about the center in Angstrom less 0.03 a contact (0.3 a
    contact of beads); copies that do not all hang together pay 1000.

    Parameters
    ----------
    subunit
        Surface points [n, 2, 3], centered.
    operators
        Point group [g, 3, 3], the identity first.

    Returns
    -------
    Placement
        Motion of the subunit into the frame of the operators, axes through the origin.
    """
    others = one_of_each_inverse_pair(operators[1:])
    beads = _beads(subunit)

    def coarse(rotation: Float, direction: Float) -> float:
        turned = beads @ rotation.T
        radius = peptide.symmetric_touching_radius(turned, direction, others, BEAD_CLASH_ANGSTROM)
        if not np.isfinite(radius):
            return np.inf
        placed = turned + radius * direction
        contacts = int(copy_contacts(placed, others, _BEAD_CONTACT_ANGSTROM).sum())
        return float(np.sqrt((placed**2).sum(1).mean())) - _BEAD_CONTACT_GAIN * contacts

    # The copies of a cyclic group do not move apart along z.
    free = np.array([1.0, 1.0, 0.0]) if np.allclose(operators[:, 2, 2], 1.0) else np.ones(3)
    best, best_score = None, np.inf
    for rotation, direction in _arrangements(coarse, free, None, rng):
        turned = subunit.reshape(-1, 3) @ rotation.T
        radius = peptide.symmetric_touching_radius(turned, direction, others, CLASH_ANGSTROM)
        placed = turned + radius * direction
        contacts = copy_contacts(placed, others, CONTACT_ANGSTROM)
        linked = holds_together(others[contacts > _LINKING_CONTACTS], operators)
        score = float(np.sqrt((placed**2).sum(1).mean())) - _CONTACT_GAIN * contacts.sum()
        score += 0.0 if linked else _LOOSE_PENALTY
        if score < best_score:
            best, best_score = Placement(rotation, radius * direction), score
    assert best is not None
    return best


def _arrangements(
    score: Callable[[Float, Float], float], free: Float, toward: Float | None, rng: np.random.Generator
) -> list[tuple[Float, Float]]:
    """Good (rotation, direction): the best of many random ones, improved by ever smaller random changes.

    300 trials, of which six are improved by 120 steps each; a step is kept where it lowers the score.
    ``free`` says along which axes the direction may vary; ``toward``, where given, is the direction of all
    (``free`` is 0 then).
    """
    trials: list[tuple[float, int, Float, Float]] = []
    for rotation in Rotation.random(_TRIALS, random_state=rng).as_matrix():
        direction = _unit(rng.normal(size=3) * free) if toward is None else toward
        trials.append((score(rotation, direction), len(trials), rotation, direction))
    trials.sort(key=lambda trial: trial[:2])
    improved = []
    for best, _, rotation, direction in trials[:_KEPT]:
        for step in range(_IMPROVEMENTS):
            size = 0.35 * 0.98**step + 0.02
            turned = Rotation.from_rotvec(rng.normal(0, size, 3)).as_matrix() @ rotation
            aside = _unit(direction + rng.normal(0, 0.5 * size, 3) * free)
            changed = score(turned, aside)
            if changed < best:
                best, rotation, direction = changed, turned, aside
        improved.append((rotation, direction))
    return improved


def _beads(points: Float) -> Float:
    return beads_of_trace(points[:, 0])


def beads_of_trace(trace: Float) -> Float:
    """Every four consecutive CA of a trace [n, 3] drawn together."""
    usable = len(trace) // _RESIDUES_PER_BEAD * _RESIDUES_PER_BEAD
    return np.asarray(trace[:usable].reshape(-1, _RESIDUES_PER_BEAD, 3).mean(1))


def _slide(moving: Float, fixed: Float, direction: Float, distance: float) -> tuple[Float, float]:
    """``moving``, moved along a direction to just ``distance`` from ``fixed``, and how far that is."""
    reach = peptide.touching_distance(moving, fixed, direction, distance)
    return moving + reach * direction, reach


def _spread(fixed: Float, moving: Float) -> float:
    """Radius of gyration of both together."""
    return float(np.sqrt(np.concatenate([fixed, moving]).var(0).sum()))


def copy_contacts(points: Float, others: Float, distance: float) -> NDArray[np.int64]:
    """Pairs closer than ``distance`` between points [n, 3] and their copy under each operator."""
    counts = [peptide.count_contacts(points, np.ascontiguousarray(points @ g.T), distance) for g in others]
    return np.array(counts, dtype=np.int64)


def holds_together(links: Float, operators: Float) -> bool:
    """True when the linking operators generate the whole group, so that no copy hangs in the air.

    A copy g touches the copies g l and g l^-1 for each link l. Copies that are reached from the identity
    by links form a connected assembly; all must be reached.
    """
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


def one_of_each_inverse_pair(operators: Float) -> Float:
    """Operators without those whose inverse is there already: both make the same contacts."""
    kept: list[Float] = []
    for operator in operators:
        if not any(np.abs(operator.T - other).max() < 1e-6 for other in kept):
            kept.append(operator)
    return np.array(kept).reshape(-1, 3, 3)


def _unit(direction: Float) -> Float:
    return np.asarray(direction / np.linalg.norm(direction))
