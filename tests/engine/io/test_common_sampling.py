"""Images of optics groups with other pixels become images of one sampling, wherever their frequencies fall."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from cryocloud.engine.errors import InputError
from cryocloud.engine.fourier import image_coefficients, make_pixel_list
from cryocloud.engine.io.common_sampling import Sampling, common_sampling, resampled_images
from cryocloud.engine.io.mrc import write_mrc
from cryocloud.engine.io.table_records import particle_set, with_poses
from cryocloud.engine.io.tables import ParticleTables

WIDE_PX, WIDE_ANGSTROM = 64, 2.13
WANTED = Sampling(40, 3.1)


def _blobs(box_size_px: int, pixel_size_angstrom: float) -> torch.Tensor:
    """Three Gaussian spots that lie at the same Angstrom on every sampling and leave the box's rim empty."""
    line = (torch.arange(box_size_px) - box_size_px // 2) * pixel_size_angstrom
    spots = [(9.0, -14.0, 7.0), (-17.0, 5.0, 9.0), (3.0, 12.0, 6.0)]
    image = sum(
        torch.exp(-0.5 * ((line[:, None] - y) ** 2 + (line - x) ** 2) / width**2) for x, y, width in spots
    )
    return torch.as_tensor(image, dtype=torch.float32)[None]


def test_an_image_on_another_sampling_is_the_same_image() -> None:
    found = resampled_images(_blobs(WIDE_PX, WIDE_ANGSTROM), WIDE_ANGSTROM, WANTED)
    direct = _blobs(WANTED.box_size_px, WANTED.pixel_size_angstrom)
    pixels = make_pixel_list(WANTED.box_size_px, WANTED.box_size_px // 2 - 1)
    a, b = image_coefficients(found, pixels), image_coefficients(direct, pixels)
    # Unitary coefficients of a density go with 1 / (pixel^2 box); the kernel between grid points is good to 1e-3.
    cut = 2 * round(WANTED.edge_angstrom / (2 * WIDE_ANGSTROM))
    expected = b * (WANTED.pixel_size_angstrom**2 * WANTED.box_size_px) / (WIDE_ANGSTROM**2 * cut)
    assert (a - expected).abs().max() < 3e-3 * expected.abs().max()


def test_white_noise_stays_white_and_as_strong() -> None:
    noise = torch.randn(200, WIDE_PX, WIDE_PX, generator=torch.Generator().manual_seed(0))
    found = resampled_images(noise, WIDE_ANGSTROM, WANTED)
    pixels = make_pixel_list(WANTED.box_size_px, WANTED.box_size_px // 2 - 1)
    power = image_coefficients(found, pixels).abs() ** 2
    for ring in (3, 10, 18):
        # 200 images x 3 to 18 pi coefficients, each exponential: 4 % at ring 3.
        assert power[:, pixels.ring == ring].mean() == pytest.approx(1.0, abs=0.12)


def test_the_coarsest_pixel_and_the_narrowest_box_are_common() -> None:
    assert common_sampling([Sampling(64, 2.0), Sampling(50, 3.0)]) == Sampling(42, 3.0)
    assert common_sampling([Sampling(65, 2.0)]) == Sampling(65, 2.0)
    with pytest.raises(InputError, match="12 px for all optics"):
        common_sampling([Sampling(64, 2.0), Sampling(100, 10.0)])


def _two_groups(folder: Path) -> ParticleTables:
    rng = np.random.default_rng(0)
    for name, box, pixel in (("fine", 64, 2.0), ("coarse", 48, 3.0)):
        write_mrc(
            folder / f"{name}.mrcs", rng.normal(size=(3, box, box)).astype(np.float32), pixel, stack=True
        )
    optics = {"rlnVoltage": 300.0, "rlnSphericalAberration": 2.7, "rlnAmplitudeContrast": 0.1}
    rows = [
        {"rlnOpticsGroup": group, "rlnImagePixelSize": pixel, **optics}
        for group, pixel in ((1, 2.0), (2, 3.0))
    ]
    particles = pd.DataFrame(
        {
            "rlnImageName": [f"{i % 3 + 1:06d}@{'fine' if i % 2 else 'coarse'}.mrcs" for i in range(6)],
            "rlnOpticsGroup": [1 if i % 2 else 2 for i in range(6)],
            "rlnDefocusU": 1e4,
            "rlnDefocusV": 1e4,
            "rlnDefocusAngle": 0.0,
            "rlnOriginXAngst": 6.0,
            "rlnOriginYAngst": -3.0,
        }
    )
    return ParticleTables(pd.DataFrame(rows), particles, folder)


def test_particles_of_both_groups_are_read_in_the_order_asked_for(tmp_path: Path) -> None:
    tables = _two_groups(tmp_path)
    particles = particle_set(tables)
    assert (particles.box_size_px, particles.pixel_size_angstrom) == (42, 3.0)
    assert torch.allclose(particles.shift_px, torch.tensor([2.0, -1.0], dtype=torch.float64))
    rows = np.array([5, 0, 3])
    images = particles.read_images(rows)
    for place, row in enumerate(rows):
        assert np.array_equal(images[place], particles.read_images(np.array([row]))[0])
    assert len({image.tobytes() for image in particles.read_images(np.arange(6))}) == 6


def test_origins_in_angstrom_come_back_as_they_were(tmp_path: Path) -> None:
    tables = _two_groups(tmp_path)
    particles = particle_set(tables)
    posed = with_poses(tables, particles.rotation, particles.shift_px).particles
    assert (posed["rlnOriginXAngst"] == 6.0).all()
    assert (posed["rlnOriginYAngst"] == -3.0).all()


def test_an_error_names_the_row_of_the_whole_table(tmp_path: Path) -> None:
    tables = _two_groups(tmp_path)
    names = tables.particles["rlnImageName"].tolist()
    names[5] = "1@" + "x" * 300 + ".mrcs"
    bad = replace(tables, particles=tables.particles.assign(rlnImageName=names))
    with pytest.raises(InputError, match="row 6"):
        particle_set(bad)
