"""Ideal side chains of the twenty amino acids in the frame of their backbone.

Atoms are placed by internal coordinates: bond length, bond angle and dihedral to three atoms before.
Rotatable dihedrals (chi 1 to 4) take the staggered values; rings and planar groups have fixed ones.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cryocloud.engine.native import peptide

Float = NDArray[np.float64]

_STAGGERED = (-65.0, 180.0, 62.0)
_PLANAR = (90.0, -30.0, 30.0)
_AMIDE = (-20.0, 60.0, 120.0)
_EXTENDED = (180.0,)


@dataclass(frozen=True)
class SideAtom:
    """One atom by internal coordinates: bonded to ``parents[2]``; the dihedral is chi number ``chi`` +
    offset.

    ``angle_deg`` is that at ``parents[2]``, the dihedral that of the three parents and the atom; ``chi`` 0
    is a fixed dihedral of value ``offset_deg``.
    """

    name: str
    parents: tuple[str, str, str]
    bond_angstrom: float
    angle_deg: float
    chi: int
    offset_deg: float = 0.0


def _atom(name: str, parents: str, bond: float, angle: float, chi: int, offset: float = 0.0) -> SideAtom:
    a, b, c = parents.split()
    return SideAtom(name, (a, b, c), bond, angle, chi, offset)


_GAMMA = "N CA CB"
_DELTA = "CA CB CG"
_LONG = [_atom("CG", _GAMMA, 1.520, 114.1, 1)]
_RING = [
    _atom("CG", _GAMMA, 1.502, 113.8, 1),
    _atom("CD1", _DELTA, 1.387, 120.7, 2),
    _atom("CD2", _DELTA, 1.387, 120.7, 2, 180.0),
    _atom("CE1", "CB CG CD1", 1.387, 120.2, 0, 180.0),
    _atom("CE2", "CB CG CD2", 1.387, 120.2, 0, 180.0),
    _atom("CZ", "CG CD1 CE1", 1.387, 120.0, 0, 0.0),
]
_SIDE_CHAINS: dict[str, tuple[list[SideAtom], tuple[tuple[float, ...], ...]]] = {
    "GLY": ([], ()),
    "ALA": ([], ()),
    "SER": ([_atom("OG", _GAMMA, 1.417, 110.8, 1)], (_STAGGERED,)),
    "CYS": ([_atom("SG", _GAMMA, 1.808, 114.0, 1)], (_STAGGERED,)),
    "THR": (
        [_atom("OG1", _GAMMA, 1.433, 109.6, 1), _atom("CG2", _GAMMA, 1.521, 110.5, 1, -120.0)],
        (_STAGGERED,),
    ),
    "VAL": (
        [_atom("CG1", _GAMMA, 1.521, 110.5, 1), _atom("CG2", _GAMMA, 1.521, 110.5, 1, 122.5)],
        (_STAGGERED,),
    ),
    "PRO": (
        [_atom("CG", _GAMMA, 1.492, 104.5, 1), _atom("CD", _DELTA, 1.503, 106.1, 2)],
        ((28.0, -28.0), (-36.0,)),
    ),
    "LEU": (
        [
            _atom("CG", _GAMMA, 1.530, 116.3, 1),
            _atom("CD1", _DELTA, 1.521, 110.7, 2),
            _atom("CD2", _DELTA, 1.521, 110.7, 2, 122.5),
        ],
        (_STAGGERED, _STAGGERED),
    ),
    "ILE": (
        [
            _atom("CG1", _GAMMA, 1.530, 110.4, 1),
            _atom("CG2", _GAMMA, 1.521, 110.5, 1, -122.5),
            _atom("CD1", "CA CB CG1", 1.513, 113.8, 2),
        ],
        (_STAGGERED, _STAGGERED),
    ),
    "MET": (
        [*_LONG, _atom("SD", _DELTA, 1.803, 112.7, 2), _atom("CE", "CB CG SD", 1.791, 100.9, 3)],
        (_STAGGERED, _STAGGERED, _STAGGERED),
    ),
    "ASP": (
        [
            _atom("CG", _GAMMA, 1.516, 112.6, 1),
            _atom("OD1", _DELTA, 1.249, 118.4, 2),
            _atom("OD2", _DELTA, 1.249, 118.4, 2, 180.0),
        ],
        (_STAGGERED, _AMIDE),
    ),
    "ASN": (
        [
            _atom("CG", _GAMMA, 1.516, 112.6, 1),
            _atom("OD1", _DELTA, 1.231, 120.8, 2),
            _atom("ND2", _DELTA, 1.328, 116.4, 2, 180.0),
        ],
        (_STAGGERED, _AMIDE),
    ),
    "GLU": (
        [
            *_LONG,
            _atom("CD", _DELTA, 1.516, 112.6, 2),
            _atom("OE1", "CB CG CD", 1.249, 118.4, 3),
            _atom("OE2", "CB CG CD", 1.249, 118.4, 3, 180.0),
        ],
        (_STAGGERED, _STAGGERED, _AMIDE),
    ),
    "GLN": (
        [
            *_LONG,
            _atom("CD", _DELTA, 1.516, 112.6, 2),
            _atom("OE1", "CB CG CD", 1.231, 120.8, 3),
            _atom("NE2", "CB CG CD", 1.328, 116.4, 3, 180.0),
        ],
        (_STAGGERED, _STAGGERED, _AMIDE),
    ),
    "LYS": (
        [
            *_LONG,
            _atom("CD", _DELTA, 1.520, 111.3, 2),
            _atom("CE", "CB CG CD", 1.520, 111.3, 3),
            _atom("NZ", "CG CD CE", 1.489, 111.9, 4),
        ],
        (_STAGGERED, _STAGGERED, _STAGGERED, _EXTENDED),
    ),
    "ARG": (
        [
            *_LONG,
            _atom("CD", _DELTA, 1.520, 111.3, 2),
            _atom("NE", "CB CG CD", 1.461, 112.0, 3),
            _atom("CZ", "CG CD NE", 1.329, 124.2, 4),
            _atom("NH1", "CD NE CZ", 1.326, 120.0, 0, 0.0),
            _atom("NH2", "CD NE CZ", 1.326, 119.9, 0, 180.0),
        ],
        (_STAGGERED, _STAGGERED, _STAGGERED, _EXTENDED),
    ),
    "HIS": (
        [
            _atom("CG", _GAMMA, 1.497, 113.8, 1),
            _atom("ND1", _DELTA, 1.378, 122.7, 2),
            _atom("CD2", _DELTA, 1.354, 131.2, 2, 180.0),
            _atom("CE1", "CB CG ND1", 1.321, 109.3, 0, 180.0),
            _atom("NE2", "CB CG CD2", 1.374, 107.2, 0, 180.0),
        ],
        (_STAGGERED, _PLANAR),
    ),
    "PHE": (_RING, (_STAGGERED, _PLANAR)),
    "TYR": ([*_RING, _atom("OH", "CD1 CE1 CZ", 1.376, 119.9, 0, 180.0)], (_STAGGERED, _PLANAR)),
    "TRP": (
        [
            _atom("CG", _GAMMA, 1.498, 113.6, 1),
            _atom("CD1", _DELTA, 1.365, 126.9, 2),
            _atom("CD2", _DELTA, 1.433, 126.8, 2, 180.0),
            _atom("NE1", "CB CG CD1", 1.374, 110.2, 0, 180.0),
            _atom("CE2", "CB CG CD2", 1.409, 107.2, 0, 180.0),
            _atom("CE3", "CB CG CD2", 1.398, 133.9, 0, 0.0),
            _atom("CZ2", "CG CD2 CE2", 1.394, 122.4, 0, 180.0),
            _atom("CZ3", "CG CD2 CE3", 1.382, 118.6, 0, 180.0),
            _atom("CH2", "CD2 CE2 CZ2", 1.368, 117.5, 0, 0.0),
        ],
        (_STAGGERED, (90.0, -90.0)),
    ),
}


THREE_LETTERS = {
    "A": "ALA", "C": "CYS", "D": "ASP", "E": "GLU", "F": "PHE", "G": "GLY", "H": "HIS", "I": "ILE",
    "K": "LYS", "L": "LEU", "M": "MET", "N": "ASN", "P": "PRO", "Q": "GLN", "R": "ARG", "S": "SER",
    "T": "THR", "V": "VAL", "W": "TRP", "Y": "TYR",
}  # fmt: skip


@dataclass(frozen=True)
class ResidueTemplate:
    """Side chain of a residue type from CB on: atom names and, for each rotamer, positions in the local
    frame.

    ``rotamers_angstrom`` is [rotamers, atoms, 3]; the frame is that of ``IDEAL_BACKBONE``.
    """

    atom_names: tuple[str, ...]
    rotamers_angstrom: Float

    @property
    def elements(self) -> tuple[str, ...]:
        """Element of each atom, which is the first letter of its name."""
        return tuple(name[0] for name in self.atom_names)


IDEAL_BACKBONE = np.array(
    [
        [peptide.N_CA * math.cos(peptide.ANGLE_N_CA_C), peptide.N_CA * math.sin(peptide.ANGLE_N_CA_C), 0.0],
        [0.0, 0.0, 0.0],
        [peptide.CA_C, 0.0, 0.0],
    ]
)
"""N, CA, C in the local frame: CA at the origin, C on x, N in the xy plane at y > 0."""


@lru_cache(maxsize=1)
def residue_templates() -> dict[str, ResidueTemplate]:
    """Ideal side chains of the twenty amino acids with their staggered rotamers."""
    return {name: _build(name) for name in _SIDE_CHAINS}


def local_frames(backbone: Float) -> Float:
    """Rotations [n, 3, 3] that carry the local frame onto residues whose N, CA, C are ``backbone`` [n, 3, 3].

    Columns: x from CA to C, y the part of CA to N at right angles to it, z their cross product.
    """
    x = backbone[:, 2] - backbone[:, 1]
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    n = backbone[:, 0] - backbone[:, 1]
    y = n - (n * x).sum(1, keepdims=True) * x
    y = y / np.linalg.norm(y, axis=1, keepdims=True)
    return np.stack([x, y, np.cross(x, y)], axis=2)


def carbonyl_oxygen(backbone: Float) -> Float:
    """O of each residue [n, 3] in the peptide plane; the last one by its N as if it were extended."""
    ca, c = backbone[:, 1], backbone[:, 2]
    following = np.concatenate([backbone[1:, 0], 2 * c[-1:] - backbone[-1:, 0]])
    to_ca, to_n = _unit(ca - c), _unit(following - c)
    return c + 1.231 * _unit(-(to_ca + to_n))


def _build(name: str) -> ResidueTemplate:
    """Template of a residue type with every combination of its chi angles."""
    atoms, chi_values = _SIDE_CHAINS[name]
    if name == "GLY":
        return ResidueTemplate((), np.zeros((1, 0, 3)))
    rotamers = [_place(atoms, (0.0, *chi)) for chi in itertools.product(*chi_values)]
    return ResidueTemplate(("CB", *(atom.name for atom in atoms)), np.array(rotamers))


def _place(atoms: list[SideAtom], chi_deg: tuple[float, ...]) -> list[Float]:
    """CB and the side chain's atoms, for chi angles in degrees (index 0 is 0, for fixed dihedrals)."""
    n, ca, c = IDEAL_BACKBONE
    # The improper C-N-CA-CB of -122.6 degrees makes the L form.
    where = {
        "N": n,
        "CA": ca,
        "CB": peptide.place_atom(c, n, ca, 1.530, math.radians(110.5), math.radians(-122.6)),
    }
    for atom in atoms:
        a, b, d = (where[parent] for parent in atom.parents)
        dihedral = math.radians(chi_deg[atom.chi] + atom.offset_deg)
        angle = math.radians(atom.angle_deg)
        where[atom.name] = peptide.place_atom(a, b, d, atom.bond_angstrom, angle, dihedral)
    return [where["CB"], *(where[atom.name] for atom in atoms)]


def _unit(vectors: Float) -> Float:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))
