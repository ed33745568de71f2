"""Particle images against direct sums over atoms, and the statistics that the recipe promises."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from cryocloud.engine.errors import InputError
from cryocloud.engine.fourier import coefficients_to_images, make_pixel_list, phase_ramps
from cryocloud.engine.optics import ctf
from cryocloud.engine.records.atomic_model import AtomicModel
from cryocloud.engine.simulate.density import VOLT_ANGSTROM2, density_map, scattering_factor
from cryocloud.engine.simulate.microscope import DefocusRange, Microscope, Views, draw_rotations
from cryocloud.engine.simulate.particles import (
    CONTAMINATION,
    EMPTY,
    PARTICLE,
    NoiseColor,
    ParticleImager,
    ParticleRecipe,
    draw_particles,
)

PIXEL_SIZE_ANGSTROM = 3.0
RECIPE = ParticleRecipe(
    count=60,
    snr=0.2,
    microscope=Microscope(300.0, 2.7, 0.1, 30.0),
    defocus=DefocusRange(8000.0, 20000.0, 600.0),
    views=Views(0.0, 15.0),
    per_micrograph=20,
    shift_sd_px=2.0,
    noise=NoiseColor.WHITE,
    junk_share=0.0,
    seed=3,
)
ROWS = np.arange(60)


def _imager(volume: Tensor, recipe: ParticleRecipe) -> ParticleImager:
    return ParticleImager(volume, recipe, draw_particles(recipe), PIXEL_SIZE_ANGSTROM)


def _direct_images(model: AtomicModel, recipe: ParticleRecipe, rows: np.ndarray, box: int) -> Tensor:
    """Images by summing every atom's scattering at every frequency of every view."""
    truth = draw_particles(recipe)
    pixels = make_pixel_list(box, box // 2 - 1)
    plane = torch.stack([pixels.kx, pixels.ky]).double() / (box * PIXEL_SIZE_ANGSTROM)
    s2 = (plane**2).sum(0)
    position = torch.from_numpy(model.positions_angstrom)
    b_factor = torch.from_numpy(model.b_factor_angstrom2)[:, None]
    coefficients = torch.zeros(len(rows), len(pixels), dtype=torch.complex128)
    for element in np.unique(model.element):
        rows_of = torch.from_numpy(np.flatnonzero(model.element == element))
        factor = torch.from_numpy(scattering_factor(str(element), s2.numpy().astype(np.float32)))
        fall = torch.exp(-0.25 * b_factor[rows_of] * s2) * factor
        for place, row in enumerate(rows):
            frequency = (truth.rotation[row][:, :2] @ plane).mT
            for part in rows_of.split(400):
                wave = torch.polar(
                    fall[torch.isin(rows_of, part)], -2 * torch.pi * position[part] @ frequency.mT
                )
                coefficients[place] += wave.sum(0)
    coefficients *= VOLT_ANGSTROM2 / PIXEL_SIZE_ANGSTROM**3 / box
    index = torch.from_numpy(rows)
    seen = coefficients.to(torch.complex64) * ctf(truth.ctf.select(index), pixels, PIXEL_SIZE_ANGSTROM)
    return coefficients_to_images(seen * phase_ramps(-truth.shift_px[index], pixels), pixels)


def test_images_are_exact_projections_of_the_atoms(dimer: AtomicModel) -> None:
    box = 48
    volume = density_map(dimer, box_size_px=box, pixel_size_angstrom=PIXEL_SIZE_ANGSTROM)
    rows = np.array([2, 17, 40])
    ours, exact = _imager(volume, RECIPE).signal(rows), _direct_images(dimer, RECIPE, rows, box)
    scale = float((ours * exact).sum() / (exact * exact).sum())
    # The sampler errs by 0.2 %; the map ends at its Nyquist sphere, where the direct sum goes on a bit.
    assert float((ours - scale * exact).norm() / ours.norm()) < 0.01


def test_signal_to_noise_is_as_asked(dimer_map: Tensor) -> None:
    imager = _imager(dimer_map, RECIPE)
    signal, images = imager.signal(ROWS), imager.images(ROWS)
    assert float(signal.var(dim=(1, 2)).mean()) == pytest.approx(RECIPE.snr, rel=0.01)
    noise = images - signal
    # 60 images of 48^2 px: the variance of white noise is known to 0.4 %.
    assert float(noise.var()) == pytest.approx(1.0, abs=0.02)
    assert float(noise.mean()) == pytest.approx(0.0, abs=0.01)


def test_colored_noise_rises_towards_low_frequencies(dimer_map: Tensor) -> None:
    colored = replace(RECIPE, noise=NoiseColor.COLORED)
    noise = _imager(dimer_map, colored).images(ROWS) - _imager(dimer_map, colored).signal(ROWS)
    power = (torch.fft.rfft2(noise).abs() ** 2).mean(0)
    # The recipe's rise is 5.1 from 102 A to 6.4 A; four coefficients of 60 images are known to 6 %.
    low, high = power[[1, 1, -1, -1], [1, 1, 1, 1]].mean(), power[16, 14:19].mean()
    assert float(low / high) == pytest.approx(5.1, rel=0.25)
    assert float(noise.var()) == pytest.approx(1.0, abs=0.03)


def test_protein_is_white(dimer_map: Tensor) -> None:
    close_to_focus = replace(RECIPE, defocus=DefocusRange(3000.0, 3000.0, 0.0), shift_sd_px=0.0)
    images = _imager(dimer_map, close_to_focus).signal(ROWS).mean(0)
    center, border = images[20:29, 20:29].mean(), images[:4].mean()
    assert center > border + 3 * images[:4].std()


def test_any_part_comes_out_the_same(dimer_map: Tensor) -> None:
    recipe = replace(RECIPE, junk_share=0.3)
    whole = _imager(dimer_map, recipe).images(ROWS)
    part = _imager(dimer_map, recipe).images(np.array([44, 7, 13]))
    assert torch.equal(whole[[44, 7, 13]], part)


def test_seeds_differ(dimer_map: Tensor) -> None:
    images = [_imager(dimer_map, replace(RECIPE, seed=seed)).images(ROWS[:2]) for seed in (3, 4)]
    assert not torch.equal(images[0], images[1])


def test_junk_shows_no_particle(dimer_map: Tensor) -> None:
    recipe = replace(RECIPE, junk_share=0.5)
    content = draw_particles(recipe).content
    shares = [float((content == kind).mean()) for kind in (PARTICLE, EMPTY, CONTAMINATION)]
    # Binomial: 60 draws scatter by 0.065.
    assert shares == pytest.approx([0.5, 0.25, 0.25], abs=0.2)
    signal = _imager(dimer_map, recipe).signal(ROWS)
    assert float(signal[torch.from_numpy(content == EMPTY)].abs().max()) == 0
    lumps = signal[torch.from_numpy(content == CONTAMINATION)]
    assert float(lumps.std()) > 2 * RECIPE.snr**0.5


def test_particles_of_a_micrograph_share_their_optics() -> None:
    truth = draw_particles(RECIPE)
    defocus = truth.ctf.defocus_u_angstrom.numpy()
    assert len(np.unique(defocus)) == 3
    assert all(len(np.unique(defocus[truth.micrograph == m])) == 1 for m in range(3))
    spread = truth.ctf.defocus_u_angstrom - truth.ctf.defocus_v_angstrom
    assert float(spread.min()) >= 0
    assert float(spread.max()) <= 600


def test_preferred_views_look_along_z() -> None:
    rng = np.random.default_rng(0)
    along = draw_rotations(2000, Views(0.7, 10.0), rng)[:, 2, 2].abs()
    # Within 20 degrees of the axis: 95 % of the preferred share and 6 % of the others.
    assert float((along > np.cos(np.radians(20))).double().mean()) == pytest.approx(0.69, abs=0.04)
    uniform = draw_rotations(2000, Views(0.0, 10.0), rng)[:, 2, 2].abs()
    assert float(uniform.mean()) == pytest.approx(0.5, abs=0.03)


def test_an_empty_map_is_refused() -> None:
    with pytest.raises(InputError, match="empty"):
        _imager(torch.zeros(32, 32, 32), RECIPE)
