"""Helices and strands of ideal geometry, placed as rigid bodies by the architectures of known folds.

Distances are those of proteins, in Angstrom: a residue rises by 1.5 in a helix and 3.3 in a strand,
neighboring helices are 10.4 apart, strands of a sheet 4.9, a sheet and what packs on it 10.5. Segments
come in the order of the chain, and consecutive ones end near each other, so that short loops can join
them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from cryocloud.engine.native import peptide
from cryocloud.engine.simulate.residues import IDEAL_BACKBONE

Float = NDArray[np.float64]

HELIX, STRAND, LOOP = "H", "E", "L"
HELIX_RISE, STRAND_RISE = 1.5, 3.3
HELIX_SPACING, STRAND_SPACING, SHEET_SPACING = 10.4, 4.9, 10.5
_TORSIONS_DEG = {HELIX: (-57.0, -47.0), STRAND: (-120.0, 130.0)}
_LONGEST = 60


@dataclass(frozen=True)
class Segment:
    """One helix or strand: its axis runs from the N to the C end along the third column of ``rotation``.

    The side chains of a strand point along plus and minus the second column. ``center_angstrom`` is the
    mean of the CA.
    """

    kind: str
    residues: int
    rotation: Float
    center_angstrom: Float

    def backbone(self) -> Float:
        """N, CA, C of each residue, [residues, 3, 3]."""
        local = _ideal_segment(self.kind, self.residues)
        return np.asarray(local @ self.rotation.T + self.center_angstrom)


@lru_cache(maxsize=128)
def _ideal_segment(kind: str, residues: int) -> Float:
    """Backbone with its middle at the origin, its axis on z and (strands) its side chains along y."""
    phi, psi = (math.radians(t) for t in _TORSIONS_DEG[kind])
    chain = np.empty((residues, 3, 3))
    chain[0] = IDEAL_BACKBONE
    chain[1:] = peptide.extend_backbone(IDEAL_BACKBONE, np.tile([psi, phi], residues - 1))
    axis = _axis(chain, 4 if kind == HELIX else 2)
    bisector = chain[:, 1] - 0.5 * (chain[:, 0] + chain[:, 2])
    alternating = bisector * np.where(np.arange(residues) % 2 == 0, 1.0, -1.0)[:, None]
    normal = alternating.sum(0)
    normal -= normal @ axis * axis
    normal /= np.linalg.norm(normal)
    frame = np.stack([np.cross(normal, axis), normal, axis], axis=1)
    turned = chain @ frame
    return np.asarray(turned - turned[:, 1].mean(0))


def _axis(chain: Float, period: int) -> Float:
    """Direction from the first to the last mean of ``period`` consecutive CA, from which the winding has
    dropped out.
    """
    smooth = np.stack([chain[i : len(chain) - period + 1 + i, 1] for i in range(period)]).mean(0)
    direction = smooth[-1] - smooth[0]
    return np.asarray(direction / np.linalg.norm(direction))


def helix_bundle(n_residues: int, rng: np.random.Generator) -> list[Segment]:
    """Antiparallel helices on a hexagonal lattice with a left-handed supercoil.

    Each helix tilts by 11 degrees for every 10.4 Angstrom that it lies off the middle; outer ones are
    shorter.
    """
    n_helices = max(3, round((n_residues + 5) / 26) if n_residues < 150 else round((n_residues + 5) / 25))
    length = int(np.clip((n_residues - 5 * (n_helices - 1)) / n_helices, 10, 30))
    places = _serpentine(_hexagonal_sites(n_helices, rng))
    segments = []
    for number, (x, y) in enumerate(places):
        upward = 1.0 if number % 2 == 0 else -1.0
        radius = math.hypot(x, y)
        shorter = round(0.15 * max(radius - 8, 0) + rng.uniform(0, 3))
        tilt = Rotation.from_rotvec(math.radians(11) * np.array([x, y, 0.0]) / HELIX_SPACING)
        spin = Rotation.from_rotvec([0, 0, rng.uniform(0, 2 * math.pi)])
        flip = Rotation.from_rotvec([0 if upward > 0 else math.pi, 0, 0])
        center = np.array([x, y, rng.normal(0, 1.0)])
        segments.append(Segment(HELIX, max(10, length - shorter), (tilt * flip * spin).as_matrix(), center))
    return segments


def open_sandwich(n_residues: int, rng: np.random.Generator) -> list[Segment]:
    """A twisted parallel sheet between two layers of helices, joined by right-handed crossovers.

    As in the Rossmann fold, strands go from the middle to one side, then from the middle to the other.
    """
    n_strands = int(np.clip(round((n_residues + 15) / 28), 4, 7))
    strand, helix = 6, int(np.clip((n_residues - 14 * n_strands) / (n_strands - 1), 10, 18))
    middle = (n_strands - 1) // 2
    order = [*range(middle, -1, -1), *range(middle + 1, n_strands)]
    front = [HELIX_SPACING * (0.5 * (middle - 1) - k) for k in range(middle)]
    n_back = n_strands - 1 - middle
    back = [HELIX_SPACING * (k - 0.5 * (n_back - 1)) for k in range(n_back)]
    helices = [(x, SHEET_SPACING) for x in front] + [(x, -SHEET_SPACING) for x in back]
    segments = []
    for step, place in enumerate(order):
        x = STRAND_SPACING * (place - 0.5 * (n_strands - 1))
        segments.append(Segment(STRAND, strand, _twist(x), np.array([x, 0.0, 0.0])))
        if step < len(helices):
            hx, hy = helices[step]
            frame = _twist(hx)
            spin = Rotation.from_rotvec([0, 0, rng.uniform(0, 2 * math.pi)]).as_matrix()
            down = Rotation.from_rotvec([math.pi, 0, 0]).as_matrix()
            offset = frame @ np.array([0.0, hy + np.sign(hy) * rng.uniform(0, 0.5), rng.normal(0, 0.8)])
            segments.append(
                Segment(
                    HELIX, helix - int(rng.integers(0, 3)), frame @ down @ spin, np.array([hx, 0, 0]) + offset
                )
            )
    return segments


def barrel(n_residues: int, rng: np.random.Generator) -> list[Segment]:
    """Eight parallel strands around an axis, wrapped in eight helices, as in a TIM barrel.

    Strands stand 7.6 Angstrom off the axis, tilted by 36 degrees, helices 18 Angstrom, tilted by 30 and
    antiparallel.
    """
    helix = int(np.clip((n_residues - 8 * 6 - 15 * 4) / 8, 10, 16))
    segments = []
    for k in range(8):
        segments.append(_around(STRAND, 6, 45.0 * k, 7.6, 36.0, upward=True, spin_rad=0.0))
        height = rng.normal(0, 0.8)
        outer = _around(
            HELIX,
            helix - int(rng.integers(0, 3)),
            45.0 * k + 24.0,
            18.0,
            30.0,
            upward=False,
            spin_rad=rng.uniform(0, 2 * math.pi),
        )
        segments.append(
            Segment(
                outer.kind, outer.residues, outer.rotation, outer.center_angstrom + np.array([0, 0, height])
            )
        )
    return segments


def strand_sandwich(n_residues: int, rng: np.random.Generator) -> list[Segment]:
    """Two antiparallel sheets face to face.

    Three to six strands each; the sheets are turned by 30 degrees against each other.
    """
    per_sheet = int(np.clip(round(n_residues / 22), 3, 6))
    length = int(np.clip(round(n_residues / (2 * per_sheet)) - 4, 6, 10))
    segments: list[Segment] = []
    for sheet, y in enumerate((-0.5 * SHEET_SPACING, 0.5 * SHEET_SPACING)):
        order = range(per_sheet) if sheet == 0 else range(per_sheet - 1, -1, -1)
        for place in order:
            x = STRAND_SPACING * (place - 0.5 * (per_sheet - 1))
            frame = _twist(x) @ Rotation.from_rotvec([0, math.radians(-30.0 * sheet), 0]).as_matrix()
            upward = len(segments) % 2 == 0
            flip = np.eye(3) if upward else Rotation.from_rotvec([0, math.pi, 0]).as_matrix()
            center = np.array([x, y, rng.normal(0, 0.3)])
            segments.append(Segment(STRAND, length, frame @ flip, center))
    return segments


Architecture = Callable[[int, np.random.Generator], list[Segment]]
ARCHITECTURES: dict[str, tuple[Architecture, int, int]] = {
    "helix_bundle": (helix_bundle, 70, 260),
    "open_sandwich": (open_sandwich, 110, 190),
    "barrel": (barrel, 190, 240),
    "strand_sandwich": (strand_sandwich, 70, 130),
}
"""Name -> (builder, fewest and most residues that it makes well)."""


def _twist(x_angstrom: float) -> Float:
    """Left-handed twist of a sheet, -20 degrees a strand, seen across the strands."""
    angle = math.radians(-20.0) * x_angstrom / STRAND_SPACING
    return np.asarray(Rotation.from_rotvec([angle, 0, 0]).as_matrix())


def _around(
    kind: str,
    residues: int,
    angle_deg: float,
    radius: float,
    tilt_deg: float,
    *,
    upward: bool,
    spin_rad: float,
) -> Segment:
    """A segment on a cylinder about z, tilted as a right-handed coil; its normal points outward."""
    angle = math.radians(angle_deg)
    radial = np.array([math.cos(angle), math.sin(angle), 0.0])
    tangent = np.array([-math.sin(angle), math.cos(angle), 0.0])
    tilt = math.radians(tilt_deg)
    axis = math.cos(tilt) * np.array([0, 0, 1.0]) + math.sin(tilt) * tangent
    axis = axis if upward else -axis
    frame = np.stack([np.cross(radial, axis), radial, axis], axis=1)
    spin = Rotation.from_rotvec([0, 0, spin_rad]).as_matrix()
    return Segment(kind, residues, frame @ spin, radius * radial)


def _hexagonal_sites(count: int, rng: np.random.Generator) -> Float:
    """The ``count`` lattice points nearest to a random origin, about their mean."""
    line = np.arange(-4, 5)
    a, b = np.meshgrid(line, line)
    lattice = HELIX_SPACING * np.stack([(a + 0.5 * b).ravel(), (math.sqrt(0.75) * b).ravel()], axis=1)
    origin = rng.uniform(-0.5, 0.5, 2) * HELIX_SPACING
    nearest = lattice[np.argsort(((lattice - origin) ** 2).sum(1))[:count]]
    return np.asarray(nearest - nearest.mean(0))


def _serpentine(sites: Float) -> Float:
    """Row by row, every second row backwards, so that consecutive sites are neighbours."""
    rows = np.round(sites[:, 1] / (math.sqrt(0.75) * HELIX_SPACING), 1)
    ordered = []
    for number, row in enumerate(np.unique(rows)):
        members = sites[rows == row]
        members = members[np.argsort(members[:, 0])]
        ordered.append(members if number % 2 == 0 else members[::-1])
    return np.concatenate(ordered)
