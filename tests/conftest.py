"""Fixtures for all tests. Shapes in annotations of the engine are checked while the tests run."""

from __future__ import annotations

import math
import os
import pkgutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest
import torch
from jaxtyping import install_import_hook
from torch import Tensor

import cryocloud.engine

pytest_plugins = ["simulated_objects"]

ROOT = Path(__file__).parents[1]
DEFAULT_DATA = ROOT.parent / "shared" / "data"

# How long an example takes says nothing on a shared machine.
hypothesis.settings.register_profile("cryocloud", deadline=None)
hypothesis.settings.load_profile("cryocloud")

# Not the compiled kernels: numba cannot compile a function that is wrapped.
_CHECKED = [
    f"cryocloud.engine.{module.name}"
    for module in pkgutil.iter_modules(cryocloud.engine.__path__)
    if module.name != "native"
]
install_import_hook(_CHECKED, "beartype.beartype")


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> str:
    """Each test that asks for a device runs on the CPU and, where there is one, on the GPU."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    return str(request.param)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the public test data, which is not part of the repository."""
    folder = Path(os.environ.get("CRYO_TEST_DATA", DEFAULT_DATA))
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder}; set CRYO_TEST_DATA")
    return folder


def _installed(program: str) -> bool:
    return subprocess.run(["which", program], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="session")
def relion() -> None:
    """For tests that compare with RELION's own programs."""
    if not _installed("relion_refine"):
        pytest.skip("RELION is not installed (apt-get install relion)")


@dataclass(frozen=True)
class BlobObject:
    """Gaussian blobs whose volume and Fourier transform are known exactly, at any frequency.

    ``center_px`` float64 [a, 3] xyz from the volume's center; all blobs have the same width.
    """

    center_px: Tensor
    height: Tensor
    width_px: float

    def volume(self, box_size_px: int) -> Tensor:
        """float32 [D, D, D]."""
        line = torch.arange(box_size_px, dtype=torch.float64) - box_size_px // 2
        falls = [torch.exp(-((line - c[:, None]) ** 2) / (2 * self.width_px**2)) for c in self.center_px.T]
        return torch.einsum("a,az,ay,ax->zyx", self.height, falls[2], falls[1], falls[0]).float()

    def transform(self, frequency_per_px: Tensor) -> Tensor:
        """Exact transform of the volume at frequencies xyz [..., 3] in cycles per px."""
        squared = (frequency_per_px**2).sum(-1)
        scale = (self.width_px * math.sqrt(2 * math.pi)) ** 3
        envelope = scale * torch.exp(-2 * (math.pi * self.width_px) ** 2 * squared)
        waves = torch.polar(self.height, -2 * math.pi * (frequency_per_px.double() @ self.center_px.T))
        return envelope * waves.sum(-1)

    def slices(self, rotation: Tensor, kx: Tensor, ky: Tensor, box_size_px: int) -> Tensor:
        """Unitary coefficients complex64 [s, n] of the exact projections at rotations [s, 3, 3]."""
        plane = torch.stack([kx, ky]).double() / box_size_px
        return (self.transform((rotation[:, :, :2] @ plane).mT) / box_size_px).to(torch.complex64)

    def rotated(self, rotation: Tensor) -> "BlobObject":
        """The object turned by a rotation [3, 3]: a blob at c goes to rotation @ c."""
        return BlobObject(self.center_px @ rotation.T, self.height, self.width_px)


@pytest.fixture(scope="session")
def blobs() -> BlobObject:
    """An object without symmetry that fits a box of 32 px."""
    generator = torch.Generator().manual_seed(7)
    center = torch.randn(60, 3, generator=generator, dtype=torch.float64)
    radius_px = 9 * torch.rand(60, 1, generator=generator, dtype=torch.float64).sqrt()
    center = center / center.norm(dim=1, keepdim=True) * radius_px
    return BlobObject(center, 0.5 + torch.rand(60, generator=generator, dtype=torch.float64), width_px=1.2)
