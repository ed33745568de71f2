"""A folded chain: segments joined by closed loops, then a sequence and side chains."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryocloud.engine.native import peptide
from cryocloud.engine.simulate.residues import carbonyl_oxygen, local_frames, residue_templates
from cryocloud.engine.simulate.segments import ARCHITECTURES, LOOP, Segment

Float = NDArray[np.float64]
Int = NDArray[np.int64]

_BASINS_DEG = np.array([[-65.0, -40.0], [-110.0, 130.0], [-70.0, 145.0], [57.0, 45.0]])
_BASIN_WEIGHTS = np.array([0.35, 0.25, 0.3, 0.1])
_LOOP_REACH_ANGSTROM = 3.1
_TRIALS = 100
_BACKBONE_DISTANCE = 3.5
_TOLERATED_OVERLAP = 4.0
_BURIED_NEIGHBOURS, _EXPOSED_NEIGHBOURS = 20, 13
_COMPOSITION: dict[str, dict[str, float]] = {
    "buried H": {"LEU": 5, "ALA": 3, "ILE": 2, "VAL": 2, "PHE": 1.5, "MET": 1.2, "CYS": 0.5, "TRP": 0.3, "GLY": 0.4},
    "buried E": {"VAL": 4, "ILE": 4, "LEU": 2, "PHE": 1.5, "ALA": 1, "TYR": 1, "CYS": 0.6, "THR": 0.8, "TRP": 0.3},
    "buried L": {"GLY": 2, "PRO": 1.5, "LEU": 1.5, "VAL": 1, "ALA": 1.5, "PHE": 1, "ASN": 0.7, "TYR": 0.7},
    "middle H": {"ALA": 3, "LEU": 2, "GLU": 1.5, "LYS": 1.5, "GLN": 1.2, "ARG": 1.3, "SER": 1, "THR": 1, "HIS": 0.6, "TYR": 0.8, "ASN": 0.6, "TRP": 0.3},
    "middle E": {"THR": 2.5, "VAL": 2, "TYR": 1.5, "SER": 1.5, "ARG": 1.2, "GLN": 1, "LYS": 1, "ILE": 1, "HIS": 0.6},
    "middle L": {"GLY": 2, "ASP": 1.5, "ASN": 1.5, "PRO": 1.5, "SER": 1.5, "THR": 1, "LYS": 1, "HIS": 0.5, "TYR": 0.5},
    "exposed H": {"GLU": 3.5, "LYS": 3.2, "ARG": 2, "GLN": 1.8, "ASP": 1.2, "SER": 1, "ALA": 1.5, "ASN": 0.8, "THR": 0.6},
    "exposed E": {"THR": 2.5, "LYS": 2.2, "GLU": 1.8, "ARG": 1.5, "SER": 1.5, "GLN": 1.2, "ASN": 0.8, "TYR": 0.7},
    "exposed L": {"GLY": 2.2, "ASP": 2, "ASN": 1.6, "PRO": 1.8, "SER": 1.8, "LYS": 1.5, "GLU": 1.3, "THR": 1.1, "ARG": 0.7},
}  # fmt: skip


@dataclass(frozen=True)
class Chain:
    """One folded chain with all heavy atoms.

    ``backbone_angstrom`` [n, 3, 3] are N, CA, C; ``structure`` [n] is "H", "E" or "L"; ``neighbours`` [n]
    counts the CB atoms within 10 Angstrom of each residue's own.
    """

    positions_angstrom: Float
    element: NDArray[np.str_]
    atom_name: NDArray[np.str_]
    residue_number: Int
    residue_name: NDArray[np.str_]
    backbone_angstrom: Float
    structure: NDArray[np.str_]
    neighbours: Int


class LoopNotClosed(Exception):
    """No trial loop joined two segments; another arrangement must be tried."""


def fold_chain(n_residues: int, rng: np.random.Generator, architecture: str | None = None) -> Chain:
    """Fold a compact chain of about ``n_residues`` residues.

    Parameters
    ----------
    n_residues
        60 to 260; the segments make it up to 15 % shorter or longer.
    rng
        Source of all choices.
    architecture
        One of ``ARCHITECTURES``; drawn among those that suit the length when None.
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
    raise RuntimeError(f"no {architecture or suitable} fold of {n_residues} residues closed its loops in 20 tries")


def _join(segments: list[Segment], rng: np.random.Generator) -> tuple[Float, NDArray[np.str_]]:
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
    """Residues that lead from the last residue of ``before`` to the first of ``after``."""
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
        if score < 1.0:
            break
    if best is None or best_score > 25:
        raise LoopNotClosed
    return np.asarray(best)


def _draw_torsions(count: int, rng: np.random.Generator) -> Float:
    """Trial torsions [trials, 2 * count]: psi, phi, psi ... from the allowed basins."""
    basin = rng.choice(len(_BASINS_DEG), size=(_TRIALS, count + 1), p=_BASIN_WEIGHTS)
    phi_psi = _BASINS_DEG[basin] + rng.normal(0, 15, (_TRIALS, count + 1, 2))
    return np.asarray(phi_psi.reshape(_TRIALS, -1)[:, 1:-1])


def _decorate(backbone: Float, structure: NDArray[np.str_], rng: np.random.Generator) -> Chain:
    """Choose residue types by burial and place carbonyl oxygens and side chains."""
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


def _sequence(structure: NDArray[np.str_], neighbours: Int, rng: np.random.Generator) -> NDArray[np.str_]:
    names = []
    for letter, count in zip(structure, neighbours, strict=True):
        exposed = count <= _EXPOSED_NEIGHBOURS
        layer = "buried" if count >= _BURIED_NEIGHBOURS else "exposed" if exposed else "middle"
        weights = _COMPOSITION[f"{layer} {letter}"]
        shares = np.array(list(weights.values()))
        names.append(str(rng.choice(list(weights), p=shares / shares.sum())))
    return np.array(names)


def _rotamers(backbone: Float, oxygen: Float, names: NDArray[np.str_], neighbours: Int) -> tuple[Int, Float]:
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
    return peptide.choose_rotamers(frames, origins, library, choice, placed, owner, order)
