"""A folded chain: segments joined by closed loops, then a sequence and side chains.

Order of work: an architecture places ideal helices and strands; loops of random torsions are closed
between them; residue types follow from burial and structure; side chains take the rotamers that clash
least.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryocloud.engine.native import peptide
from cryocloud.engine.simulate.residues import THREE_LETTERS, carbonyl_oxygen, local_frames, residue_templates
from cryocloud.engine.simulate.segments import ARCHITECTURES, LOOP, Segment

Float = NDArray[np.float64]
Int = NDArray[np.int64]

_BASINS_DEG = np.array([[-65.0, -40.0], [-110.0, 130.0], [-70.0, 145.0], [57.0, 45.0]])
_BASIN_WEIGHTS = np.array([0.35, 0.25, 0.3, 0.1])
_LOOP_REACH_ANGSTROM = 3.1
_TRIALS = 60
_BACKBONE_DISTANCE = 3.5
_TOLERATED_OVERLAP = 4.0
_BURIED_NEIGHBOURS, _EXPOSED_NEIGHBOURS = 20, 13
_COMPOSITION = {
    "buried H": "L5 A3 I2 V2 F1.5 M1.2 C0.5 W0.3 G0.4",
    "buried E": "V4 I4 L2 F1.5 A1 Y1 C0.6 T0.8 W0.3",
    "buried L": "G2 P1.5 L1.5 V1 A1.5 F1 N0.7 Y0.7",
    "middle H": "A3 L2 E1.5 K1.5 Q1.2 R1.3 S1 T1 H0.6 Y0.8 N0.6 W0.3",
    "middle E": "T2.5 V2 Y1.5 S1.5 R1.2 Q1 K1 I1 H0.6",
    "middle L": "G2 D1.5 N1.5 P1.5 S1.5 T1 K1 H0.5 Y0.5",
    "exposed H": "E3.5 K3.2 R2 Q1.8 D1.2 S1 A1.5 N0.8 T0.6",
    "exposed E": "T2.5 K2.2 E1.8 R1.5 S1.5 Q1.2 N0.8 Y0.7",
    "exposed L": "G2.2 D2 N1.6 P1.8 S1.8 K1.5 E1.3 T1.1 R0.7",
}
"""Residue types and their weights by burial and structure."""


@dataclass(frozen=True)
class Chain:
    """One folded chain with all heavy atoms.

    ``backbone_angstrom`` [n, 3, 3] are N, CA, C; ``structure`` [n] is "H", "E" or "L"; ``neighbours`` [n]
    counts the CB atoms within 10 Angstrom of each residue's own.
    """

    positions_angstrom: Float
    element: NDArray[Any]
    atom_name: NDArray[Any]
    residue_number: Int
    residue_name: NDArray[Any]
    backbone_angstrom: Float
    structure: NDArray[Any]
    neighbours: Int


class LoopNotClosed(Exception):
    """No trial loop joined two segments; another arrangement must be tried."""


def fold_chain(n_residues: int, rng: np.random.Generator, architecture: str | None = None) -> Chain:
    """Fold a compact chain of about ``n_residues`` residues.

    Parameters
    ----------
    n_residues
        70 to 260, for which there are architectures; the segments make it up to 15 % shorter or longer.
    rng
        Source of all choices.
    architecture
        One of ``ARCHITECTURES``; drawn among those that suit the length when None.

    Returns
    -------
    Chain
        Centered on the mean of its CA, residues numbered from 1.

    Raises
    ------
    RuntimeError
        Twenty arrangements of segments had a gap that no loop closed.
    """
    suitable = [name for name, (_, low, high) in ARCHITECTURES.items() if low <= n_residues <= high]
    for _ in range(20):
        name = architecture or str(rng.choice(suitable))
        try:
            backbone, structure = _join(ARCHITECTURES[name][0](n_residues, rng), rng)
        except LoopNotClosed:
            continue
        backbone -= backbone[:, 1].mean(0)
        return _decorate(backbone, structure, rng)
    raise RuntimeError(
        f"no {architecture or suitable} fold of {n_residues} residues closed its loops in 20 tries"
    )


def _join(segments: list[Segment], rng: np.random.Generator) -> tuple[Float, NDArray[Any]]:
    """Backbone of the whole chain and the structure letter of each residue."""
    placed = [segment.backbone() for segment in segments]
    obstacles = np.concatenate([_with_oxygen(part) for part in placed])
    pieces, letters = [placed[0]], [segments[0].kind * segments[0].residues]
    for before, after, segment in zip(placed, placed[1:], segments[1:], strict=False):
        loop = _loop(before, after, obstacles, rng)
        obstacles = np.concatenate([obstacles, _with_oxygen(loop)])
        pieces += [loop, after]
        letters += [LOOP * len(loop), segment.kind * segment.residues]
    return np.concatenate(pieces), np.array(list("".join(letters)))


def _with_oxygen(backbone: Float) -> Float:
    return np.concatenate([backbone.reshape(-1, 3), carbonyl_oxygen(backbone)])


def _loop(before: Float, after: Float, obstacles: Float, rng: np.random.Generator) -> Float:
    """Residues that lead from the last residue of ``before`` to the first of ``after``.

    Trial torsions of the allowed regions are closed by cyclic coordinate descent (`native.peptide`); of
    the lengths from the shortest that can span the gap on, the loop with the least overlap wins. A residue
    more costs one unit.
    """
    gap = float(np.linalg.norm(after[0, 0] - before[-1, 2]))
    shortest = max(2, math.ceil(gap / _LOOP_REACH_ANGSTROM))
    ends = np.concatenate([before[-2:].reshape(-1, 3), after[:2].reshape(-1, 3)])
    distance = np.linalg.norm(obstacles[:, None] - ends[None], axis=2).min(1)
    others = obstacles[distance > 0.01]
    best, best_score = None, math.inf
    for length in range(shortest, shortest + 5):
        torsion = np.radians(_draw_torsions(length + 1, rng))
        chain, score, _ = peptide.best_closed_loop(before[-1], after[0], torsion, others, _BACKBONE_DISTANCE)
        if score + length < best_score:
            best, best_score = chain[1:-1], score + length
        if score < 3.0:
            break
    if best is None or best_score > 25:
        raise LoopNotClosed
    return np.asarray(best)


def _draw_torsions(count: int, rng: np.random.Generator) -> Float:
    """Trial torsions [trials, 2 * count] in radians: psi, phi, psi ... from the allowed basins.

    The basins of the Ramachandran plot: right-handed helix, strand, polyproline, left-handed helix.
    """
    basin = rng.choice(len(_BASINS_DEG), size=(_TRIALS, count + 1), p=_BASIN_WEIGHTS)
    phi_psi = _BASINS_DEG[basin] + rng.normal(0, 15, (_TRIALS, count + 1, 2))
    return np.asarray(phi_psi.reshape(_TRIALS, -1)[:, 1:-1])


def _decorate(backbone: Float, structure: NDArray[Any], rng: np.random.Generator) -> Chain:
    """Choose residue types by burial and place carbonyl oxygens and side chains.

    Where no rotamer of a type fits, the residue becomes alanine and all rotamers are chosen again.
    """
    templates = residue_templates()
    frames, origins = local_frames(backbone), np.ascontiguousarray(backbone[:, 1])
    beta = origins + frames @ templates["ALA"].rotamers_angstrom[0, 0]
    distance = np.linalg.norm(beta[:, None] - beta[None], axis=2)
    neighbours = (distance < 10).sum(1) - 1
    names = _sequence(structure, neighbours, rng)
    oxygen = carbonyl_oxygen(backbone)
    chosen, score = _rotamers(backbone, oxygen, names, neighbours)
    too_large = (score > _TOLERATED_OVERLAP) & ~np.isin(names, ["GLY", "ALA", "PRO"])
    if too_large.any():
        names = np.where(too_large, "ALA", names)
        chosen, _ = _rotamers(backbone, oxygen, names, neighbours)
    positions, elements, atoms, numbers = [], [], [], []
    for i, name in enumerate(names):
        template = templates[name]
        side = template.rotamers_angstrom[chosen[i]] @ frames[i].T + origins[i]
        positions += [backbone[i], oxygen[i : i + 1], side]
        elements += ["N", "C", "C", "O", *template.elements]
        atoms += ["N", "CA", "C", "O", *template.atom_names]
        numbers += [i + 1] * (4 + len(side))
    number = np.array(numbers, dtype=np.int64)
    return Chain(
        positions_angstrom=np.concatenate(positions),
        element=np.array(elements),
        atom_name=np.array(atoms),
        residue_number=number,
        residue_name=names[number - 1],
        backbone_angstrom=backbone,
        structure=structure,
        neighbours=neighbours,
    )


def _sequence(structure: NDArray[Any], neighbours: Int, rng: np.random.Generator) -> NDArray[Any]:
    """Residue names drawn by structure and layer: buried from 20 CB neighbours on, exposed up to 13."""
    names = []
    for letter, count in zip(structure, neighbours, strict=True):
        exposed = count <= _EXPOSED_NEIGHBOURS
        layer = "buried" if count >= _BURIED_NEIGHBOURS else "exposed" if exposed else "middle"
        entries = _COMPOSITION[f"{layer} {letter}"].split()
        weights = np.array([float(entry[1:]) for entry in entries])
        names.append(
            THREE_LETTERS[str(rng.choice([entry[0] for entry in entries], p=weights / weights.sum()))]
        )
    return np.array(names)


def _rotamers(backbone: Float, oxygen: Float, names: NDArray[Any], neighbours: Int) -> tuple[Int, Float]:
    """Rotamer of each residue, the most buried chosen first, and what overlap is left."""
    templates = residue_templates()
    starts, library = {}, np.zeros((0, 3))
    for name, template in templates.items():
        starts[name] = len(library)
        library = np.concatenate([library, template.rotamers_angstrom.reshape(-1, 3)])
    fixed = np.concatenate([backbone, oxygen[:, None]], axis=1).reshape(-1, 3)
    shape = np.array([templates[name].rotamers_angstrom.shape[:2] for name in names])
    slot = len(fixed) + np.cumsum(shape[:, 1]) - shape[:, 1]
    placed = np.concatenate([fixed, np.zeros((shape[:, 1].sum(), 3))])
    owner = np.concatenate([np.repeat(np.arange(len(names)), 4), np.full(shape[:, 1].sum(), -1)])
    choice = np.column_stack([[starts[name] for name in names], shape, slot])
    frames, origins = local_frames(backbone), np.ascontiguousarray(backbone[:, 1])
    order = np.argsort(-neighbours, kind="stable")
    chosen, score = peptide.choose_rotamers(frames, origins, library, choice, placed, owner, order)
    return chosen, score
