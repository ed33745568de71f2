"""One small made-up protein and its map for all tests of the simulator."""

from __future__ import annotations

import numpy as np
import pytest
from torch import Tensor

from cryocloud.engine.records.atomic_model import AtomicModel
from cryocloud.engine.simulate.density import density_map
from cryocloud.engine.simulate.protein import procedural_model

BOX_PX, PIXEL_SIZE_ANGSTROM = 48, 3.0


@pytest.fixture(scope="session")
def dimer() -> AtomicModel:
    """Two subunits of about 20 kDa about z."""
    return procedural_model("C2", np.random.default_rng(4), mass_kda=40.0)


@pytest.fixture(scope="session")
def dimer_map(dimer: AtomicModel) -> Tensor:
    return density_map(dimer, box_size_px=BOX_PX, pixel_size_angstrom=PIXEL_SIZE_ANGSTROM, in_ice=True)
