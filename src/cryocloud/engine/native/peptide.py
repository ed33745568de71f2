"""Compiled loops of the procedural protein: atoms from internal coordinates, loop closure, packing.

Lengths are in Angstrom, angles in radians. A residue's backbone is [3, 3]: N, CA, C as rows of xyz. Bond lengths
are those of Engh & Huber 1991, Acta Cryst. A47:392; peptide bonds are trans (omega 180 degrees).
"""

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
    """Point d with |cd| = bond, angle bcd and dihedral abcd (radians).

    d = c - bond cos(angle) u + bond sin(angle) (cos(dihedral) s + sin(dihedral) n), with u along bc, n normal to the
    plane abc and s = n x u, which points to the side of a: dihedral 0 is cis, and positive turns are clockwise seen
    along bc, as IUPAC counts them. a, b, c must not lie on one line.

    References
    ----------
    Parsons et al. 2005, J. Comput. Chem. 26:1063.
    """
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
    not needed, so m new residues take 2 m torsions. Returns [m, 3, 3]: each atom by :func:`place_atom` from the
    three before it, N by psi, CA by omega = 180 degrees, C by phi.
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
def _turn_about(points: Float, first: int, bond: int, axis: Float, angle: float) -> None:
    """Rotate the points from ``first`` on about the unit axis through ``points[bond]``, in place (Rodrigues)."""
    cosine, sine = math.cos(angle), math.sin(angle)
    ax, ay, az = axis[0], axis[1], axis[2]
    ox, oy, oz = points[bond, 0], points[bond, 1], points[bond, 2]
    for i in range(first, len(points)):
        x, y, z = points[i, 0] - ox, points[i, 1] - oy, points[i, 2] - oz
        along = (x * ax + y * ay + z * az) * (1 - cosine)
        points[i, 0] = ox + x * cosine + (ay * z - az * y) * sine + ax * along
        points[i, 1] = oy + y * cosine + (az * x - ax * z) * sine + ay * along
        points[i, 2] = oz + z * cosine + (ax * y - ay * x) * sine + az * along


@njit(cache=True)
def _best_turn(points: Float, bond: int, axis: Float, target: Float) -> float:
    """Angle about the axis through ``points[bond]`` that brings the last three points closest to the target.

    With r_j the part of a point's arm that is normal to the unit axis a, and t_j the arm of its target, the sum of
    squared distances is constant - 2 (cos(x) sum t_j.r_j + sin(x) sum t_j.(a x r_j)), least at
    x = atan2(sum t_j.(a x r_j), sum t_j.r_j).
    """
    numerator, denominator = 0.0, 0.0
    last = len(points) - 3
    for j in range(3):
        along = 0.0
        for k in range(3):
            along += (points[last + j, k] - points[bond, k]) * axis[k]
        rx = points[last + j, 0] - points[bond, 0] - along * axis[0]
        ry = points[last + j, 1] - points[bond, 1] - along * axis[1]
        rz = points[last + j, 2] - points[bond, 2] - along * axis[2]
        tx, ty, tz = (
            target[j, 0] - points[bond, 0],
            target[j, 1] - points[bond, 1],
            target[j, 2] - points[bond, 2],
        )
        numerator += tx * (axis[1] * rz - axis[2] * ry)
        numerator += ty * (axis[2] * rx - axis[0] * rz)
        numerator += tz * (axis[0] * ry - axis[1] * rx)
        denominator += tx * rx + ty * ry + tz * rz
    return math.atan2(numerator, denominator)


@njit(cache=True)
def close_by_descent(chain: Float, target: Float, sweeps: int, tolerance: float) -> float:
    """Cyclic coordinate descent: turn phi and psi of ``chain`` until its last residue lies on ``target``.

    One torsion after the other is set to the angle that is best while all others stay, from the anchor to the end,
    again and again. No step makes the distance worse, and bond lengths and angles stay as they are. Nothing keeps the
    torsions in the basins they started in.

    Parameters
    ----------
    chain
        [m, 3, 3] (N, CA, C), changed in place; residue 0 is the fixed anchor of which only psi turns.
    target
        [3, 3], where N, CA, C of the last residue belong.
    sweeps
        At most so many rounds; a chain that is still more than 1 Angstrom off after 27 of them is given up.
    tolerance
        Distance, in Angstrom, that ends it.

    Returns
    -------
    float
        The rms distance of the three end atoms.

    References
    ----------
    Canutescu & Dunbrack 2003, Protein Sci. 12:963.
    """
    points = chain.reshape(-1, 3)
    last = len(points)
    axis = np.empty(3)
    error = 1e9
    for sweep in range(sweeps):
        for bond in range(1, last - 2):
            if bond % 3 == 2:
                continue
            length = 0.0
            for k in range(3):
                axis[k] = points[bond + 1, k] - points[bond, k]
                length += axis[k] * axis[k]
            for k in range(3):
                axis[k] /= math.sqrt(length)
            _turn_about(points, bond + 2, bond, axis, _best_turn(points, bond, axis, target))
        error = 0.0
        for j in range(3):
            for k in range(3):
                error += (points[last - 3 + j, k] - target[j, k]) ** 2
        error = math.sqrt(error / 3)
        if error < tolerance or (sweep > 25 and error > 1.0):
            break
    return error


@njit(cache=True)
def overlap(points: Float, obstacles: Float, distance: float) -> float:
    """Sum of (distance - d)^2 over the pairs closer than ``distance``, in Angstrom^2.

    ``points`` [n, 3] and ``obstacles`` [m, 3]; cost n m, of which most pairs end at the test of x. Smooth at the
    limit, so that a slight touch costs little.
    """
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

    Parameters
    ----------
    start
        Backbone [3, 3] of the residue before the loop.
    target
        Backbone [3, 3] that the last residue of the loop must fall on: the first one after it.
    torsion_rad
        [trials, 2 m] drives m residues beyond ``start``, the last of them that on ``target``.
    obstacles
        Atoms [n, 3] to keep clear of.
    distance
        Angstrom; closer pairs overlap.

    Returns
    -------
    chain, score, error
        [m + 1, 3, 3] with ``start`` first; overlap with obstacles + 2 * overlap with itself + closure error, without
        the two fixed ends; closure error in Angstrom. Trials that end more than 0.2 Angstrom off do not count; if
        none is left the chain is zero and the score 1e9. A score below 2 ends the search.
    """
    count = torsion_rad.shape[1] // 2
    best = np.zeros((count + 1, 3, 3))
    best_score, best_error = 1e9, 1e9
    for trial in range(len(torsion_rad)):
        chain = np.empty((count + 1, 3, 3))
        chain[0] = start
        chain[1:] = extend_backbone(start, torsion_rad[trial])
        error = close_by_descent(chain, target, 80, 0.1)
        if error > 0.2:
            continue
        inner = chain[1:-1].copy().reshape(-1, 3)
        score = overlap(inner, obstacles, distance) + 2.0 * self_overlap(inner, distance) + error
        if score < best_score:
            best, best_score, best_error = chain, score, error
        if best_score < 2.0:
            break
    return best, best_score, best_error


@njit(cache=True)
def self_overlap(points: Float, distance: float) -> float:
    """As :func:`overlap` within one backbone, leaving out atoms fewer than 7 places apart.

    With three atoms a residue those are bonded or nearly so, and cannot get out of each other's way.
    """
    total = 0.0
    for i in range(len(points)):
        for j in range(i + 7, len(points)):
            dx = points[i, 0] - points[j, 0]
            dy = points[i, 1] - points[j, 1]
            dz = points[i, 2] - points[j, 2]
            square = dx * dx + dy * dy + dz * dz
            if square < distance * distance:
                total += (distance - math.sqrt(square)) ** 2
    return total


@njit(cache=True)
def choose_rotamers(
    frames: Float, origins: Float, library: Float, choice: Int, placed: Float, owner: Int, order: Int
) -> tuple[Int, Float]:
    """Choose the rotamer with the least overlap for each residue, in the given order, three times over.

    Each residue takes what is best while all others stay (iterated conditional modes): total overlap never rises
    after the first round, and ends in a local minimum. Residues not yet placed do not count in the first round, so
    the order should put those in crowded places first.

    Parameters
    ----------
    frames, origins
        [n, 3, 3] and [n, 3]: local atom positions p stand at frame @ p + origin.
    library
        Local positions [., 3] of all rotamers, the atoms of one rotamer in consecutive rows.
    choice
        [n, 4]: a residue's first row in ``library``, its number of rotamers, their number of atoms, and the row of
        ``placed`` where they go.
    placed, owner
        Atoms [m, 3] and the residue of each, -1 while the row is empty; both are filled in. Backbone atoms stand
        there from the start.
    order
        Residues in the order of placement.

    Returns
    -------
    chosen, score
        Number of the rotamer [n], and its overlap in Angstrom^2 with the atoms of other residues [n], as they
        stood when it was placed last.
    """
    chosen, score = np.zeros(len(frames), np.int64), np.zeros(len(frames))
    for _ in range(3):
        for residue in order:
            begin, rotamers, count, slot = choice[residue]
            score[residue] = 1e18
            for rotamer in range(rotamers):
                local = library[begin + rotamer * count : begin + (rotamer + 1) * count]
                points = local @ frames[residue].T + origins[residue]
                overlapping = _rotamer_overlap(points, placed, owner, residue)
                if overlapping < score[residue]:
                    score[residue], chosen[residue] = overlapping, rotamer
                    best = points
            for k in range(count):
                placed[slot + k] = best[k]
                owner[slot + k] = residue
    return chosen, score


@njit(cache=True)
def _rotamer_overlap(points: Float, placed: Float, owner: Int, residue: int) -> float:
    """As :func:`overlap` at 3.4 Angstrom with all placed atoms of other residues; empty rows do not count."""
    total = 0.0
    for k in range(len(points)):
        x, y, z = points[k, 0], points[k, 1], points[k, 2]
        for j in range(len(placed)):
            dx = placed[j, 0] - x
            if dx > 3.4 or dx < -3.4 or owner[j] == residue or owner[j] < 0:
                continue
            dy, dz = placed[j, 1] - y, placed[j, 2] - z
            square = dx * dx + dy * dy + dz * dz
            if square < 11.56:
                total += (3.4 - math.sqrt(square)) ** 2
    return total


@njit(cache=True)
def touching_distance(moving: Float, fixed: Float, step: Float, distance: float) -> float:
    """Smallest t >= 0 beyond which moving + t * step is nowhere closer than ``distance`` to ``fixed``.

    For a pair x apart, |x + t step| = distance is a quadratic equation in t; its larger root counts where it is
    positive, that is where the pair approaches or is already too close. ``step`` [3] need not have length 1: t counts
    steps. Cost n m for ``moving`` [n, 3] and ``fixed`` [m, 3].
    """
    furthest = 0.0
    a = step[0] * step[0] + step[1] * step[1] + step[2] * step[2]
    for i in range(len(moving)):
        for j in range(len(fixed)):
            x, y, z = moving[i, 0] - fixed[j, 0], moving[i, 1] - fixed[j, 1], moving[i, 2] - fixed[j, 2]
            b = x * step[0] + y * step[1] + z * step[2]
            discriminant = b * b - a * (x * x + y * y + z * z - distance * distance)
            if (discriminant > 0 and b < 0) or discriminant > b * b:
                furthest = max(furthest, (-b + math.sqrt(discriminant)) / a)
    return furthest


@njit(cache=True)
def symmetric_touching_radius(subunit: Float, direction: Float, operators: Float, distance: float) -> float:
    """Smallest r beyond which subunit + r * direction clashes with none of its copies under the operators.

    Moving out by r moves a subunit relative to its copy g by r (direction - g direction): each operator is one
    :func:`touching_distance`, and the largest decides.

    Parameters
    ----------
    subunit
        Points [n, 3] in Angstrom about the subunit's own middle.
    direction
        From the center of the axes to the subunit, [3], length 1.
    operators
        [g, 3, 3] without the identity; one of each inverse pair is enough.
    distance
        Angstrom; closer pairs clash.

    Returns
    -------
    float
        Angstrom. Infinite where the direction lies on a symmetry axis, along which copies do not move apart.
    """
    furthest = 0.0
    for g in range(len(operators)):
        step = direction - operators[g] @ direction
        if (step * step).sum() < 1e-6:
            return math.inf
        furthest = max(furthest, touching_distance(subunit, subunit @ operators[g].T, step, distance))
    return furthest


@njit(cache=True)
def count_contacts(points: Float, others: Float, distance: float) -> int:
    """Number of pairs, one of ``points`` [n, 3] and one of ``others`` [m, 3], closer than ``distance``."""
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
