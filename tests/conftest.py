"""Fixtures for all tests. Shapes in annotations of the engine are checked while the tests run."""

from __future__ import annotations

import os
import pkgutil
import subprocess
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

import cryocloud.engine

ROOT = Path(__file__).parents[1]
DEFAULT_DATA = ROOT.parent / "shared" / "data"

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
    if request.param == "cuda":
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device here")
    return str(request.param)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the public test data, which is not part of the repository."""
    folder = Path(os.environ.get("CRYOCLOUD_TEST_DATA", DEFAULT_DATA))
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder}; set CRYOCLOUD_TEST_DATA")
    return folder


def _installed(program: str) -> bool:
    return subprocess.run(["which", program], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="session")
def relion() -> None:
    """For tests that compare with RELION's own programs."""
    if not _installed("relion_refine"):
        pytest.skip("RELION is not installed (apt-get install relion)")
