"""The frame in which a deposited model is symmetric: from its own copies of a chain, or by search.

Simulations and symmetry operators need the axes through the origin, as ``geometry.symmetry_operators`` has
them. Files seldom have that: they keep the frame of a map's corner, or of a crystal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cryocloud.engine.errors import InputError
from cryocloud.engine.geometry import symmetry_operators
from cryocloud.engine.records.atomic_model import AtomicModel
from cryocloud.engine.simulate.assembly import apply_operators
from cryocloud.engine.simulate.symmetry_search import search_center

Float = NDArray[np.float64]

_SAME_SEQUENCE, _SAME_LENGTH = 0.9, 0.5
_LARGEST_DEVIATION_ANGSTROM = 4.0
_OPERATOR_TOLERANCE = 0.15


@dataclass(frozen=True)
class SymmetricAssembly:
    """A whole assembly about the origin, with its axes as ``geometry.symmetry_operators`` has them.

    ``how`` says in words where center and axes come from; ``center_angstrom`` is that of the input frame.
    """

    model: AtomicModel
    center_angstrom: Float
    how: str


@dataclass(frozen=True)
class _Motions:
    """x -> rotation x + shift carries the first chain onto each of its copies, the identity first."""

    rotation: Float
    shift_angstrom: Float

    def __len__(self) -> int:
        return len(self.rotation)


def symmetric_assembly(model: AtomicModel, symmetry: str) -> SymmetricAssembly:
    """Complete and orient a model so that it has a point group about the origin.

    A model that already holds all copies of its largest chain is turned onto the group's axes. A model with a
    single copy is multiplied: its axes are taken to lie along x, y, z of the file as in an electron microscopy
    map, and the point where they meet is searched such that the copies touch without clashes and hold together.

    Parameters
    ----------
    model
        Asymmetric unit or whole assembly.
    symmetry
        Point group.

    Raises
    ------
    InputError
        The copies in the file do not form the group, or no place of the center makes one chain hold together.
    """
    operators = symmetry_operators(symmetry).numpy()
    if len(operators) == 1:
        center = model.positions_angstrom.mean(0)
        return SymmetricAssembly(
            _moved(model, np.eye(3), center), center, "no symmetry: centered on its mean"
        )
    motions = _copies_of_largest_chain(model)
    if len(motions) == 1:
        found = search_center(model, operators)
        assembled = apply_operators(model, operators, found.center_angstrom)
        return SymmetricAssembly(assembled, found.center_angstrom, found.how)
    turn, members = _onto_standard_axes(motions, operators, symmetry)
    center = _fixed_point(
        _Motions(motions.rotation[members], motions.shift_angstrom[members]), model.positions_angstrom.mean(0)
    )
    how = f"axes and center from the {len(motions)} equal chains of the model"
    return SymmetricAssembly(_moved(model, turn, center), center, how)


def at_origin(model: AtomicModel, symmetry: str) -> SymmetricAssembly:
    """The copies of a model under a point group whose axes meet at the origin of the file."""
    operators = symmetry_operators(symmetry).numpy()
    return SymmetricAssembly(
        apply_operators(model, operators, np.zeros(3)),
        np.zeros(3),
        "axes through the origin of the file, as asked",
    )


def _moved(model: AtomicModel, turn: Float, center: Float) -> AtomicModel:
    return replace(model, positions_angstrom=(model.positions_angstrom - center) @ turn.T)


def _copies_of_largest_chain(model: AtomicModel) -> _Motions:
    """Motions between chains of one sequence and (nearly) one conformation."""
    chains = {str(name): _trace(model, str(name)) for name in dict.fromkeys(model.chain.tolist())}
    first = max(chains.values(), key=len)
    rotations, shifts = [np.eye(3)], [np.zeros(3)]
    for trace in chains.values():
        motion = None if trace is first else _superposition(first, trace)
        if motion is not None:
            rotations.append(motion[0])
            shifts.append(motion[1])
    return _Motions(np.array(rotations), np.array(shifts))


_Trace = dict[int, tuple[str, Float]]


def _trace(model: AtomicModel, chain: str) -> _Trace:
    """Residue number -> residue name and place of its CA (or P)."""
    main = np.where(model.element == "C", model.atom_name == "CA", model.atom_name == "P")
    rows = np.flatnonzero((model.chain == chain) & main)
    return {
        int(model.residue_number[row]): (str(model.residue_name[row]), model.positions_angstrom[row])
        for row in rows
    }


def _superposition(first: _Trace, other: _Trace) -> tuple[Float, Float] | None:
    """Rotation and shift of ``first`` onto ``other``; None where they are not the same chain.

    Least squares over CA (or P) of equal residue numbers and names (Kabsch 1976, Acta Cryst. A32:922). The
    same means 90 % equal names among common numbers, at least half of the first chain, and 4 Angstrom rms
    at most.
    """
    common = [number for number in first if number in other]
    same = [number for number in common if first[number][0] == other[number][0]]
    if len(same) < max(_SAME_SEQUENCE * len(common), _SAME_LENGTH * len(first), 3):
        return None
    a = np.array([first[number][1] for number in same])
    b = np.array([other[number][1] for number in same])
    u, _, vt = np.linalg.svd((b - b.mean(0)).T @ (a - a.mean(0)))
    rotation = u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))]) @ vt
    shift = b.mean(0) - rotation @ a.mean(0)
    deviation = np.sqrt(((a @ rotation.T + shift - b) ** 2).sum(1).mean())
    return (rotation, shift) if deviation < _LARGEST_DEVIATION_ANGSTROM else None


def _onto_standard_axes(
    motions: _Motions, operators: Float, symmetry: str
) -> tuple[Float, NDArray[np.int64]]:
    """The turn Q that makes Q R Q^T the group's operators, and which motion stands for each operator."""
    found, best_error = None, np.inf
    for turn in _candidate_turns(motions.rotation, operators):
        turned = turn @ motions.rotation @ turn.T
        distance = np.linalg.norm(operators[:, None] - turned[None], axis=(2, 3))
        # Of equally good turns the smallest, which keeps the file's own frame where that is right already.
        error = float(distance.min(1).max()) + 1e-3 * float(np.linalg.norm(turn - np.eye(3)))
        if error < best_error:
            found, best_error = (turn, distance.argmin(1)), error
    if found is None or best_error > _OPERATOR_TOLERANCE:
        raise InputError(
            f"the model holds {len(motions)} equal chains, which do not form symmetry {symmetry} "
            f"({len(operators)} operators); give the symmetry that they have, or a model with one chain"
        )
    turn, members = found
    return _averaged_turn(turn, motions.rotation[members], operators), members


def _averaged_turn(turn: Float, rotations: Float, operators: Float) -> Float:
    """The turn Q that on average makes Q R = G Q best, for copies that are not quite symmetric.

    Fixed point: each pass takes the rotation nearest to the sum of G Q R^T over the copies.
    """
    for _ in range(10):
        u, _, vt = np.linalg.svd((operators @ turn @ rotations.transpose(0, 2, 1)).sum(0))
        turn = u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))]) @ vt
    return turn


def _candidate_turns(rotations: Float, operators: Float) -> list[Float]:
    """Turns that bring two of the motions' axes onto two of the group's axes of the same angle.

    Two axes fix a rotation. Their directions have no sign, so both are tried; one axis alone (cyclic
    groups) leaves a turn about itself open, and the smallest is taken.
    """
    axes, angles = _axes(rotations)
    group_axes, group_angles = _axes(operators)
    used = np.flatnonzero(angles > 1e-2)
    if len(used) == 0:
        return []
    # The sharpest axis, and with it the one that is most nearly at right angles.
    first = used[np.argmin(angles[used])]
    sines = np.linalg.norm(np.cross(axes[used], axes[first]), axis=1)
    second = used[np.argmax(sines)]
    spread = bool(sines.max() > 0.1)
    turns = []
    for i in np.flatnonzero(np.abs(group_angles - angles[first]) < 0.1):
        for sign in (1.0, -1.0):
            if not spread:
                turns.append(_turn_between(axes[first], sign * group_axes[i]))
                continue
            for j in np.flatnonzero(np.abs(group_angles - angles[second]) < 0.1):
                for other in (1.0, -1.0):
                    a, b = sign * group_axes[i], other * group_axes[j]
                    if abs(a @ b - axes[first] @ axes[second]) < 0.1 and abs(a @ b) < 0.995:
                        turns.append(_frame(a, b) @ _frame(axes[first], axes[second]).T)
    return turns


def _axes(rotations: Float) -> tuple[Float, Float]:
    """Unit axes [n, 3] and angles [n] in radians, 0 to pi.

    The axis is the eigenvector of ``R + R^T`` with the largest eigenvalue, which also holds at 180
    degrees, where the skew part vanishes; the skew part gives its sign.
    """
    skew = np.stack([rotations[:, 2, 1], rotations[:, 0, 2], rotations[:, 1, 0]], 1)
    skew = skew - np.stack([rotations[:, 1, 2], rotations[:, 2, 0], rotations[:, 0, 1]], 1)
    angles = np.arctan2(np.linalg.norm(skew, axis=1), np.trace(rotations, axis1=1, axis2=2) - 1)
    axes = []
    for rotation in rotations:
        values, vectors = np.linalg.eigh(0.5 * (rotation + rotation.T))
        axes.append(vectors[:, np.argmax(values)])
    oriented = np.array(axes)
    flip = np.where((oriented * skew).sum(1) < 0, -1.0, 1.0)
    return oriented * flip[:, None], angles


def _frame(a: Float, b: Float) -> Float:
    """Orthonormal columns: a, b without its part along a, and their cross product."""
    y = b - (b @ a) * a
    y = y / np.linalg.norm(y)
    return np.stack([a, y, np.cross(a, y)], 1)


def _turn_between(a: Float, b: Float) -> Float:
    """The smallest rotation from direction a to direction b."""
    aside = np.eye(3)[int(np.argmin(np.abs(a)))] if abs(a @ b) > 0.9999 else b
    if a @ b > 0.9999:
        return np.eye(3)
    if a @ b < -0.9999:
        normal = np.cross(a, aside)
        normal /= np.linalg.norm(normal)
        return 2 * np.outer(normal, normal) - np.eye(3)
    normal = np.cross(a, b)
    normal /= np.linalg.norm(normal)
    before, after = (
        np.stack([a, normal, np.cross(a, normal)], 1),
        np.stack([b, normal, np.cross(b, normal)], 1),
    )
    return np.asarray(after @ before.T)


def _fixed_point(motions: _Motions, near: Float) -> Float:
    """The point that all motions leave in place, the one nearest to ``near`` where they leave a line.

    Least squares of ``(I - R) c = t`` over the motions x -> R x + t; a cyclic group leaves a place along
    its axis open.
    """
    moved = (np.eye(3) - motions.rotation).reshape(-1, 3)
    offset = motions.shift_angstrom.reshape(-1) - moved @ near
    solution, *_ = np.linalg.lstsq(moved, offset, rcond=1e-3)
    return np.asarray(near + solution)
