"""The mask follows the density once there is any of its own, and the offered map keeps all that is signal."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cryocloud.engine.fourier import fsc, low_pass, rfftn, shell_index
from cryocloud.engine.geometry import symmetry_operators
from cryocloud.engine.masking import correlate_half_maps
from cryocloud.engine.refinement import RefinementParameters, RefinementState, combined_map, start_refinement
from cryocloud.engine.refinement.maximization import resolution_shell, solvent_mask

BOX_PX, PIXEL_ANGSTROM, START_ANGSTROM = 48, 3.0, 30.0
START_SHELL = BOX_PX * PIXEL_ANGSTROM / START_ANGSTROM


@pytest.fixture(scope="module")
def volume(blob_volume) -> torch.Tensor:  # type: ignore[no-untyped-def]
    return blob_volume("C1", box_size_px=BOX_PX, n_blobs=60)


@pytest.fixture(scope="module")
def parameters() -> RefinementParameters:
    return RefinementParameters(
        mask_diameter_angstrom=0.9 * BOX_PX * PIXEL_ANGSTROM,
        operators=symmetry_operators("C1"),
        start_resolution_angstrom=START_ANGSTROM,
    )


@pytest.fixture(scope="module")
def state(volume, parameters, simulated_particles) -> RefinementState:  # type: ignore[no-untyped-def]
    particles = simulated_particles(volume, 40, snr=0.2, pixel_size_angstrom=PIXEL_ANGSTROM).particles
    return start_refinement(particles, volume, parameters)


def _halves(volume: torch.Tensor, noise: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return volume / volume.std() + noise * torch.randn(2, *volume.shape, generator=generator)


def test_the_mask_is_the_sphere_until_the_halves_agree_beyond_the_start(volume, parameters, state) -> None:  # type: ignore[no-untyped-def]
    maps = _halves(volume, 1.0)
    early = replace(state, history=(int(START_SHELL), int(1.2 * START_SHELL)))
    late = replace(state, history=(int(2.5 * START_SHELL),))
    sphere, around = (solvent_mask(maps, s, parameters, PIXEL_ANGSTROM) for s in (early, late))
    assert torch.equal(sphere, state.mask)
    assert around.mean() < 0.7 * sphere.mean()
    dense = low_pass(volume, 15.0, PIXEL_ANGSTROM) > 0.3 * float(low_pass(volume, 15.0, PIXEL_ANGSTROM).max())
    assert around[dense].min() > 0.99


def test_a_mask_around_noise_makes_no_signal(volume, parameters, state) -> None:  # type: ignore[no-untyped-def]
    late = replace(state, history=(int(2.5 * START_SHELL),))
    generator = torch.Generator().manual_seed(2)
    maps = torch.randn(2, BOX_PX, BOX_PX, BOX_PX, generator=generator)
    mask = solvent_mask(maps, late, parameters, PIXEL_ANGSTROM)
    curves = correlate_half_maps(maps[0], maps[1], mask, generator)
    # The mask was cut where both halves happen to be dense at 15 A, so only that coarse may they seem to agree.
    assert resolution_shell(curves.corrected) <= BOX_PX * PIXEL_ANGSTROM / 15.0


def test_the_offered_map_is_not_cut_where_signal_is_left(volume, state) -> None:  # type: ignore[no-untyped-def]
    maps = _halves(volume, 2.0)
    shells = torch.arange(BOX_PX // 2 + 1, dtype=torch.float64)
    # Falls below 0.143 beyond shell 15, to nothing at 18.
    falling = ((18 - shells) / 18).clamp(min=-0.02)
    offered = combined_map(replace(state, half_maps=maps, fsc_corrected=falling))
    curve = fsc(offered, maps.mean(0))
    assert resolution_shell(falling) == 15
    assert (curve[1:18] > 0.999).all()
    shell = shell_index(BOX_PX, 3)
    assert rfftn(offered)[shell >= 20].abs().max() < 1e-4 * rfftn(maps.mean(0))[shell >= 20].abs().max()
