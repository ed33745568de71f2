from __future__ import annotations

import re
import subprocess

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cryocloud.engine.errors import InputError
from cryocloud.engine.geometry import symmetry_operators

ORDERS = {
    "C1": 1, "C4": 4, "C17": 17, "D1": 2, "D2": 4, "D7": 14, "T": 12, "O": 24, "I": 60, "I1": 60, "I2": 60,
    "I3": 60, "I4": 60,
}  # fmt: skip


def _contains(group: torch.Tensor, matrices: torch.Tensor) -> bool:
    """Whether each matrix is one of the group, to 1e-9."""
    distance = (group[None] - matrices[:, None]).abs().amax((2, 3))
    return bool((distance.amin(1) < 1e-9).all())


@pytest.mark.parametrize("name", ORDERS)
def test_operators_form_a_group_of_rotations(name: str) -> None:
    group = symmetry_operators(name)
    assert len(group) == ORDERS[name]
    assert torch.equal(group[0], torch.eye(3, dtype=torch.float64))
    torch.testing.assert_close(torch.linalg.det(group), torch.ones(len(group), dtype=torch.float64))
    products = torch.einsum("gij,hjk->ghik", group, group).reshape(-1, 3, 3)
    assert _contains(group, products)
    assert _contains(group, group.mT)


@pytest.mark.parametrize("name", ["C1", "C3", "C5", "D2", "D5", "D7", "T", "O", "I1", "I2", "I3", "I4"])
def test_operators_are_relions(name: str, relion: None) -> None:
    command = ["relion_refine", "--sym", name, "--print_symmetry_ops"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    theirs = torch.from_numpy(_printed_matrices(output))
    group = symmetry_operators(name)
    assert len(theirs) == len(group)
    distance = (group[None] - theirs[:, None]).abs().amax((2, 3)).amin(1)
    # RELION prints eight digits of matrices that are exact to about 5e-6.
    assert distance.max() < 1e-5


def _printed_matrices(output: str) -> NDArray[np.float64]:
    blocks = re.split(r"R\(\d+\)=", output)[1:]
    rows = [[line.split() for line in block.splitlines()[1:4]] for block in blocks]
    return np.array(rows, dtype=np.float64)


@pytest.mark.parametrize("name", ["d2", " O ", "i1"])
def test_case_and_blanks_do_not_matter(name: str) -> None:
    assert torch.equal(symmetry_operators(name), symmetry_operators(name.strip().upper()))


@pytest.mark.parametrize("name", ["", "C", "C0", "C100", "Q7", "I5", "O2", "D2h", "C-3"])
def test_unknown_names_are_refused_with_the_list(name: str) -> None:
    with pytest.raises(InputError, match=f"symmetry '{re.escape(name)}' is unknown; use C1"):
        symmetry_operators(name)
