"""Point groups in RELION's settings."""

from __future__ import annotations

import math
import re

import torch
from jaxtyping import Float64
from torch import Tensor

from cryocloud.engine.errors import InputError
from cryocloud.engine.geometry.rotations import rotation_from_vector

_GOLDEN = (1 + math.sqrt(5)) / 2
_Z, _X = (0.0, 0.0, 1.0), (1.0, 0.0, 0.0)
_THREEFOLD_DIAGONAL = (1.0, 1.0, 1.0)


def symmetry_operators(name: str) -> Float64[Tensor, "g 3 3"]:
    """Rotations of a point group, the identity first.

    Parameters
    ----------
    name
        ``C1``..``C99``, ``D1``..``D99``, ``T``, ``O``, ``I`` (= ``I2``), ``I1``..``I4``; case does not matter.

    Returns
    -------
    Tensor
        float64 [g, 3, 3]. Axes as in RELION: Cn about z; Dn with a twofold on x; T with a threefold on z;
        O with fourfolds on x, y, z; I1 and I2 with twofolds on x, y, z; I3 and I4 with a fivefold on z.

    Raises
    ------
    InputError
        The name is not a point group of rotations.
    """
    text = name.strip().upper()
    cyclic = re.fullmatch(r"([CD])([1-9]\d?)", text)
    if cyclic:
        order = int(cyclic[2])
        generators = [(_Z, order)] + ([(_X, 2)] if cyclic[1] == "D" else [])
    elif text in _POLYHEDRAL:
        generators = _POLYHEDRAL[text]
    else:
        raise InputError(f"symmetry '{name}' is unknown; use C1..C99, D1..D99, T, O, I or I1..I4")
    return _close_group(generators)


_Generator = tuple[tuple[float, float, float], int]
_POLYHEDRAL: dict[str, list[_Generator]] = {
    "T": [(_Z, 3), ((0.0, math.sqrt(2), 1.0), 2)],
    "O": [(_THREEFOLD_DIAGONAL, 3), (_Z, 4)],
    "I1": [(_Z, 2), ((0.0, 1.0, _GOLDEN), 5), (_THREEFOLD_DIAGONAL, 3)],
    "I2": [(_Z, 2), ((1.0, 0.0, _GOLDEN), 5), (_THREEFOLD_DIAGONAL, 3)],
    "I3": [(_Z, 5), ((-1.0, 0.0, _GOLDEN), 2)],
    "I4": [(_Z, 5), ((1.0, 0.0, _GOLDEN), 2)],
}
_POLYHEDRAL["I"] = _POLYHEDRAL["I2"]


def _close_group(generators: list[_Generator]) -> Tensor:
    """All products of the generators, each an axis and its order, the identity first.

    New elements are multiplied by every generator until nothing new appears; equal means within 1e-6 in each
    entry.
    """
    axes = torch.tensor([axis for axis, _ in generators], dtype=torch.float64)
    angles = torch.tensor([2 * math.pi / order for _, order in generators], dtype=torch.float64)
    steps = rotation_from_vector(axes / axes.norm(dim=1, keepdim=True) * angles[:, None])
    group = torch.eye(3, dtype=torch.float64)[None]
    frontier = group
    while len(frontier):
        products = torch.einsum("gij,fjk->fgik", steps, frontier).reshape(-1, 3, 3)
        fresh: list[Tensor] = []
        for candidate in products:
            known = torch.cat([group, torch.stack(fresh)]) if fresh else group
            if (known - candidate).abs().amax((1, 2)).min() > 1e-6:
                fresh.append(candidate)
        frontier = torch.stack(fresh) if fresh else group[:0]
        group = torch.cat([group, frontier])
    return group
