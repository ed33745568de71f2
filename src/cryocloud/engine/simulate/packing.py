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
_RESIDUES_PER_BEAD, BEAD_CLASH_ANGSTROM, _BEAD_CONTACT_ANGSTROM = 4, 8.5, 12.0
_DOCKING_TRIALS, _COARSE_TRIALS, _FINE_TRIALS, _IMPROVEMENTS = 250, 400, 8, 120
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
    """
    few_fixed, few_moving = _beads(fixed), _beads(moving)
    fixed, moving = fixed.reshape(-1, 3), moving.reshape(-1, 3)
    center = fixed.mean(0)
    trials: list[tuple[float, int, Float, Float]] = []
    for rotation in Rotation.random(_DOCKING_TRIALS, random_state=rng).as_matrix():
        direction = _random_direction(rng) if toward is None else toward
        touching, _ = _slide(few_moving @ rotation.T + center, few_fixed, direction, BEAD_CLASH_ANGSTROM)
        contacts = peptide.count_contacts(touching, few_fixed, _BEAD_CONTACT_ANGSTROM)
        trials.append((_spread(few_fixed, touching) - 0.2 * contacts, len(trials), rotation, direction))
    trials.sort(key=lambda trial: trial[:2])
    best, best_score = None, np.inf
    for _, _, rotation, direction in trials[:_FINE_TRIALS]:
        touching, distance = _slide(moving @ rotation.T + center, fixed, direction, CLASH_ANGSTROM)
        score = _spread(fixed, touching) - 0.02 * peptide.count_contacts(touching, fixed, CONTACT_ANGSTROM)
        if score < best_score:
            best, best_score = Placement(rotation, center + distance * direction), score
    assert best is not None
    return best


def pack_symmetric(subunit: Float, operators: Float, rng: np.random.Generator) -> Placement:
    """Orientation and place of a centered subunit such that its symmetry copies touch, do not clash and hold together.

    Random arrangements of coarse beads are improved by small random changes; the best few are settled with all
    points.

    Parameters
    ----------
    subunit
        Surface points [n, 2, 3], centered.
    operators
        Point group [g, 3, 3], the identity first.
    """
    others = one_of_each_inverse_pair(operators[1:])
    beads = _beads(subunit)
    starts = [
        _coarse_score(beads, rotation, _off_axis_direction(operators, rng), others)
        for rotation in Rotation.random(_COARSE_TRIALS, random_state=rng).as_matrix()
    ]
    starts.sort(key=lambda trial: trial[0])
    improved = [_improve(trial, beads, others, operators, rng) for trial in starts[:_FINE_TRIALS]]
    best, best_score = None, -np.inf
    for _, rotation, direction in improved:
        turned = subunit.reshape(-1, 3) @ rotation.T
        radius = peptide.symmetric_touching_radius(turned, direction, others, CLASH_ANGSTROM)
        contacts = copy_contacts(turned + radius * direction, others, CONTACT_ANGSTROM)
        linked = holds_together(others[contacts > _LINKING_CONTACTS], operators)
        score = float(contacts.sum()) if linked else 0.0
        if score > best_score:
            best, best_score = Placement(rotation, radius * direction), score
    assert best is not None
    return best


_Trial = tuple[float, Float, Float]


def _coarse_score(beads: Float, rotation: Float, direction: Float, others: Float) -> _Trial:
    """(score, rotation, direction): small for an assembly that is compact with wide contacts."""
    turned = beads @ rotation.T
    radius = peptide.symmetric_touching_radius(turned, direction, others, BEAD_CLASH_ANGSTROM)
    if not np.isfinite(radius):
        return np.inf, rotation, direction
    placed = turned + radius * direction
    contacts = copy_contacts(placed, others, _BEAD_CONTACT_ANGSTROM)
    spread = np.sqrt((placed**2).sum(1).mean())
    return float(spread - 0.2 * contacts.sum()), rotation, direction


def _improve(
    trial: _Trial, beads: Float, others: Float, operators: Float, rng: np.random.Generator
) -> _Trial:
    for step in range(_IMPROVEMENTS):
        size = 0.35 * 0.98**step + 0.02
        turn = Rotation.from_rotvec(rng.normal(0, size, 3)).as_matrix()
        direction = trial[2] + rng.normal(0, 0.5 * size, 3)
        if np.allclose(operators[:, 2, 2], 1.0):
            direction[2] = 0.0
        changed = _coarse_score(beads, turn @ trial[1], direction / np.linalg.norm(direction), others)
        if changed[0] < trial[0]:
            trial = changed
    return trial


def _beads(points: Float) -> Float:
    return beads_of_trace(points[:, 0])


def beads_of_trace(trace: Float) -> Float:
    """Every four consecutive CA of a trace [n, 3] drawn together."""
    usable = len(trace) // _RESIDUES_PER_BEAD * _RESIDUES_PER_BEAD
    return np.asarray(trace[:usable].reshape(-1, _RESIDUES_PER_BEAD, 3).mean(1))


def _slide(moving: Float, fixed: Float, direction: Float, distance: float) -> tuple[Float, float]:
    reach = peptide.touching_distance(moving, fixed, direction, distance)
    return moving + reach * direction, reach


def _spread(fixed: Float, moving: Float) -> float:
    return float(np.sqrt(np.concatenate([fixed, moving]).var(0).sum()))


def copy_contacts(points: Float, others: Float, distance: float) -> NDArray[np.int64]:
    """Pairs closer than ``distance`` between points [n, 3] and their copy under each operator."""
    counts = [peptide.count_contacts(points, np.ascontiguousarray(points @ g.T), distance) for g in others]
    return np.array(counts, dtype=np.int64)


def holds_together(links: Float, operators: Float) -> bool:
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


def one_of_each_inverse_pair(operators: Float) -> Float:
    """Operators without those whose inverse is there already: both make the same contacts."""
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
