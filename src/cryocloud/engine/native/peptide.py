"""Compiled loops of the procedural protein: atoms from internal coordinates, loop closure, packing."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Float = NDArray[np.float64]
Int = NDArray[np.int64]

N_CA, CA_C, C_N = 1.458, 1.525, 1.329
ANGLE_N_CA_C, ANGLE_CA_C_N, ANGLE_C_N_CA = math.radians(111.0), math.radians(117.2), math.radians(121.7)


@njit(cache=True)
def place_atom(a: Float, b: Float, c: Float, bond: float, angle: float, dihedral: float) -> Float:
    """Point d with |cd| = bond, angle bcd and dihedral abcd (radians)."""
    bc = c - b
    bc /= math.sqrt((bc * bc).sum())
    normal = np.cross(b - a, bc)
    normal /= math.sqrt((normal * normal).sum())
    side = np.cross(normal, bc)
    sine = math.sin(angle)
    return (
        c
        - bond * math.cos(angle) * bc
        + bond * sine * math.cos(dihedral) * side
        + bond * sine * math.sin(dihedral) * normal
    )


@njit(cache=True)
def extend_backbone(start: Float, torsion_rad: Float) -> Float:
    """Backbone N, CA, C that follows the residue ``start`` [3, 3].

    ``torsion_rad`` is psi of the start residue, then phi, psi of each new residue; the last psi is
    not needed, so m new residues take 2 m torsions. Returns [m, 3, 3].
    """
    count = len(torsion_rad) // 2
    out = np.empty((count, 3, 3))
    n, ca, c = start[0].copy(), start[1].copy(), start[2].copy()
    for i in range(count):
        new_n = place_atom(n, ca, c, C_N, ANGLE_CA_C_N, torsion_rad[2 * i])
        new_ca = place_atom(ca, c, new_n, N_CA, ANGLE_C_N_CA, math.pi)
        new_c = place_atom(c, new_n, new_ca, CA_C, ANGLE_N_CA_C, torsion_rad[2 * i + 1])
        n, ca, c = new_n, new_ca, new_c
        out[i, 0], out[i, 1], out[i, 2] = n, ca, c
    return out


@njit(cache=True)
def _turn_about(points: Float, first: int, origin: Float, axis: Float, angle: float) -> None:
    cosine, sine = math.cos(angle), math.sin(angle)
    for i in range(first, len(points)):
        v = points[i] - origin
        along = (v * axis).sum()
        points[i] = origin + v * cosine + np.cross(axis, v) * sine + axis * (along * (1 - cosine))


@njit(cache=True)
def close_by_descent(chain: Float, target: Float, sweeps: int, tolerance: float) -> float:
    """Cyclic coordinate descent: turn phi and psi of ``chain`` until its last residue lies on ``target``.

    ``chain`` [m, 3, 3] (N, CA, C) is changed in place; residue 0 is the fixed anchor of which only psi
    turns. Returns the rms distance of the three end atoms (Canutescu & Dunbrack 2003, Protein Sci. 12:963).
    """
    points = chain.reshape(-1, 3)
    last = len(points)
    error = 1e9
    for _ in range(sweeps):
        for bond in range(1, last - 2):
            if bond % 3 == 2:
                continue
            origin = points[bond]
            axis = points[bond + 1] - origin
            axis = axis / math.sqrt((axis * axis).sum())
            numerator, denominator = 0.0, 0.0
            for j in range(3):
                f = points[last - 3 + j] - origin
                t = target[j] - origin
                radial = f - (f * axis).sum() * axis
                aside = np.cross(axis, radial)
                numerator += (t * aside).sum()
                denominator += (t * radial).sum()
            _turn_about(points, bond + 2, origin, axis, math.atan2(numerator, denominator))
        error = 0.0
        for j in range(3):
            error += ((points[last - 3 + j] - target[j]) ** 2).sum()
        error = math.sqrt(error / 3)
        if error < tolerance:
            break
    return error


@njit(cache=True)
def overlap(points: Float, obstacles: Float, distance: float) -> float:
    """Sum of (distance - d)^2 over the pairs closer than ``distance``."""
    total = 0.0
    limit = distance * distance
    for i in range(len(points)):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        for j in range(len(obstacles)):
            dx = obstacles[j, 0] - x
            if dx > distance or dx < -distance:
                continue
            dy, dz = obstacles[j, 1] - y, obstacles[j, 2] - z
            square = dx * dx + dy * dy + dz * dz
            if square < limit:
                total += (distance - math.sqrt(square)) ** 2
    return total


@njit(cache=True)
def best_closed_loop(
    start: Float, target: Float, torsion_rad: Float, obstacles: Float, distance: float
) -> tuple[Float, float, float]:
    """Close each trial loop and keep the one with the least overlap.

    ``torsion_rad`` [trials, 2 m] drives m residues beyond ``start``, of which the last must fall on
    ``target`` [3, 3]. Returns (chain [m + 1, 3, 3], overlap score, closure error in Angstrom).
    """
    count = torsion_rad.shape[1] // 2
    best = np.zeros((count + 1, 3, 3))
    best_score, best_error = 1e9, 1e9
    for trial in range(len(torsion_rad)):
        chain = np.empty((count + 1, 3, 3))
        chain[0] = start
        chain[1:] = extend_backbone(start, torsion_rad[trial])
        error = close_by_descent(chain, target, 150, 0.12)
        if error > 0.3:
            continue
        inner = chain[1:-1].copy().reshape(-1, 3)
        score = overlap(inner, obstacles, distance) + 2.0 * self_overlap(inner, distance) + error
        if score < best_score:
            best, best_score, best_error = chain, score, error
        if best_score < 0.5:
            break
    return best, best_score, best_error


@njit(cache=True)
def self_overlap(points: Float, distance: float) -> float:
    """As :func:`overlap` within one backbone, leaving out atoms fewer than 7 places apart."""
    total = 0.0
    for i in range(len(points)):
        for j in range(i + 7, len(points)):
            square = ((points[i] - points[j]) ** 2).sum()
            if square < distance * distance:
                total += (distance - math.sqrt(square)) ** 2
    return total


@njit(cache=True)
def choose_rotamers(
    frames: Float, origins: Float, library: Float, first: Int, rotamers: Int, atoms: Int, placed: Float,
    owner: Int, order: Int,
) -> Int:  # fmt: skip
    """Greedy choice of the rotamer with the least overlap for each residue, in the given order.

    ``frames`` [n, 3, 3] and ``origins`` [n, 3] carry local atom positions into space; residue i has
    ``rotamers[i]`` alternatives of ``atoms[i]`` atoms each, stored from row ``first[i]`` of ``library``.
    ``placed`` [m, 3] holds the backbone first and has room for all side chains; ``owner`` [m] is the
    residue of each row, or -1 while the row is empty. Both are filled in. Returns the chosen rotamers.
    """
    chosen = np.zeros(len(frames), np.int64)
    used = 0
    while used < len(owner) and owner[used] >= 0:
        used += 1
    for residue in order:
        best_score = 1e18
        count = atoms[residue]
        best = np.empty((count, 3))
        for rotamer in range(rotamers[residue]):
            begin = first[residue] + rotamer * count
            local = library[begin : begin + count]
            points = local @ frames[residue].T + origins[residue]
            score = _rotamer_overlap(points, placed, owner, used, residue) + 0.05 * rotamer
            if score < best_score:
                best_score, best = score, points
                chosen[residue] = rotamer
        for k in range(count):
            placed[used], owner[used] = best[k], residue
            used += 1
    return chosen


@njit(cache=True)
def _rotamer_overlap(points: Float, placed: Float, owner: Int, used: int, residue: int) -> float:
    total = 0.0
    for k in range(len(points)):
        x, y, z = points[k, 0], points[k, 1], points[k, 2]
        for j in range(used):
            dx = placed[j, 0] - x
            if dx > 3.4 or dx < -3.4 or owner[j] == residue:
                continue
            dy, dz = placed[j, 1] - y, placed[j, 2] - z
            square = dx * dx + dy * dy + dz * dz
            if square < 11.56:
                total += (3.4 - math.sqrt(square)) ** 2
    return total


@njit(cache=True)
def touching_distance(moving: Float, fixed: Float, direction: Float, distance: float) -> float:
    """Smallest t >= 0 such that moving + t * direction is nowhere closer than ``distance`` to ``fixed``."""
    furthest = 0.0
    for i in range(len(moving)):
        for j in range(len(fixed)):
            root = _largest_root(moving[i] - fixed[j], direction, distance)
            furthest = max(furthest, root)
    return furthest


@njit(cache=True)
def symmetric_touching_radius(
    subunit: Float, direction: Float, operators: Float, distance: float
) -> float:
    """Smallest r such that subunit + r * direction clashes with none of its copies under the operators."""
    furthest = 0.0
    for g in range(len(operators)):
        turned = subunit @ operators[g].T
        step = direction - operators[g] @ direction
        if (step * step).sum() < 1e-6:
            return 1e9
        for i in range(len(subunit)):
            for j in range(len(subunit)):
                root = _largest_root(subunit[i] - turned[j], step, distance)
                furthest = max(furthest, root)
    return furthest


@njit(cache=True)
def _largest_root(offset: Float, step: Float, distance: float) -> float:
    """Largest t with |offset + t * step| = distance; -1 where there is none."""
    a = step[0] * step[0] + step[1] * step[1] + step[2] * step[2]
    b = offset[0] * step[0] + offset[1] * step[1] + offset[2] * step[2]
    c = offset[0] * offset[0] + offset[1] * offset[1] + offset[2] * offset[2] - distance * distance
    discriminant = b * b - a * c
    if discriminant <= 0:
        return -1.0
    return (-b + math.sqrt(discriminant)) / a


@njit(cache=True)
def count_contacts(points: Float, others: Float, distance: float) -> int:
    """Number of pairs closer than ``distance``."""
    total = 0
    limit = distance * distance
    for i in range(len(points)):
        for j in range(len(others)):
            dx = points[i, 0] - others[j, 0]
            dy = points[i, 1] - others[j, 1]
            dz = points[i, 2] - others[j, 2]
            if dx * dx + dy * dy + dz * dz < limit:
                total += 1
    return total
