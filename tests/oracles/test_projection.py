"""Our slices against RELION's projector and against exact non-uniform transforms."""

from __future__ import annotations

import finufft
import numpy as np
import pytest
import torch

from cryocloud.engine.fourier import coefficients_to_images, make_pixel_list, phase_ramps
from cryocloud.engine.geometry import random_rotations
from cryocloud.engine.io.mrc import read_mrc, write_mrc
from cryocloud.engine.optics import ctf
from cryocloud.engine.reconstruction import slice_volume, volume_transform

BOX, PIXEL_SIZE = 32, 3.0
PIXELS = make_pixel_list(BOX, BOX // 2 - 1)


def correlations(a, b):
    a, b = (x.flatten(1) - x.flatten(1).mean(1, keepdim=True) for x in (a, b))
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))


@pytest.mark.parametrize("with_ctf", [False, True], ids=["plain", "ctf"])
def test_projections_agree_with_relion_project(simulate, blobs, run_relion, tmp_path, with_ctf):
    """Issue's bar: correlation of at least 0.999 for each projection, scale within 1 %."""
    particles = simulate(20)
    write_mrc(tmp_path / "map.mrc", blobs.volume(BOX).numpy(), PIXEL_SIZE)
    options = ["--ctf"] if with_ctf else []
    run_relion("relion_project", "--i", "map.mrc", "--ang", "particles.star", "--o", "theirs", *options)
    theirs = torch.from_numpy(read_mrc(tmp_path / "theirs.mrcs")[0].copy())
    ours = slice_volume(volume_transform(blobs.volume(BOX)), particles.rotation, PIXELS)
    ours = ours * phase_ramps(-particles.shift_px, PIXELS)
    if with_ctf:
        ours = ours * ctf(particles.ctf, PIXELS, PIXEL_SIZE)
    # An image's transform is D times as large as a slice at the scale of images.
    ours = coefficients_to_images(ours, PIXELS)
    assert correlations(ours, theirs).min() >= 0.999
    theirs = theirs - theirs.mean((1, 2), keepdim=True)
    assert float((ours * theirs).sum() / (theirs**2).sum()) == pytest.approx(1, abs=0.01)


def test_slices_agree_with_finufft(blobs):
    """A random volume in a sphere has no smooth spectrum to help: engine.md measured 3.2 % rms for padding 2."""
    line = torch.arange(BOX) - BOX // 2
    inside = (line[:, None, None] ** 2 + line[:, None] ** 2 + line**2) <= (0.38 * BOX) ** 2
    generator = torch.Generator().manual_seed(4)
    volume = torch.randn(BOX, BOX, BOX, generator=generator) * inside
    rotation = random_rotations(5, generator)
    plane = torch.stack([PIXELS.kx, PIXELS.ky]).double()
    k = (rotation[:, :, :2] @ plane).mT.reshape(-1, 3).numpy() * (2 * np.pi / BOX)
    x, y, z = (np.ascontiguousarray(axis) for axis in k.T)
    # finufft counts the axes of the array as x, y, z and centers them at D // 2.
    exact = finufft.nufft3d2(z, y, x, volume.numpy().astype(np.complex128), isign=-1, eps=1e-9) / BOX
    found = slice_volume(volume_transform(volume), rotation, PIXELS).flatten().numpy()
    assert np.linalg.norm(found - exact) / np.linalg.norm(exact) < 0.04
