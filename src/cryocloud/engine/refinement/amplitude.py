"""Gray scale of a reference relative to the particles.

The likelihood compares images with models in absolute terms: a reference that is too weak makes every pose equally
likely, one that is too strong makes each pose look certain and subtracts too much from the noise. Start maps come from
other programs, on any scale, so the factor is measured once, before the first iteration.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cryocloud.engine.alignment.direct import Prior, ScoringImages, direct_posterior, reference_table
from cryocloud.engine.fourier import image_coefficients, make_pixel_list, phase_ramps
from cryocloud.engine.geometry import rotation_grid, shift_grid
from cryocloud.engine.optics import ctf
from cryocloud.engine.reconstruction import slice_volume, volume_transform
from cryocloud.engine.records.particle_set import ParticleSet
from cryocloud.engine.refinement.records import RefinementParameters

# Particles that are looked at, rounds, and the HEALPix order of the rotations (2: 15 degrees).
_SAMPLE = 300
_ROUNDS = 4
_ORDER = 2


def matched_amplitude(
    reference: Tensor,
    particles: ParticleSet,
    sigma2: Tensor,
    parameters: RefinementParameters,
    *,
    r_max_px: int,
) -> float:
    """Factor that brings a reference of any gray scale to that of the particles.

    Poses of a sample of particles are found with one half of the Fourier pixels and the factor is regressed on the
    other half, whose noise had no say in the poses: alignment to noise does not inflate it. Repeated, because the
    poses depend a little on the factor.

    The pixels are split like a chessboard, by the parity of kx + ky, so that both halves see every ring and direction.
    With S the slice at the best pose and C the CTF, the factor is ::

        a = sum Re(C X conj(S)) / sigma2 / sum C^2 |S|^2 / sigma2

    over the pixels that were not searched and all particles of the sample. It starts where the slices hold 5 % of the
    images' power, and falls at most tenfold a round, so that it stays positive where nothing matches.

    Parameters
    ----------
    reference
        Map float32 [D, D, D] in the particles' box and pixel size, low-passed and masked.
    particles
        At most 300 are used, spread evenly over the table.
    sigma2
        Noise variance float64 [r] of each ring, at least up to ``r_max_px``.
    parameters
        Give the point group, the shift range and the device.
    r_max_px
        Finest ring compared, where the low-pass of the reference ends.

    Returns
    -------
    float
        Positive and without unit; multiply the reference by it.
    """
    device = parameters.device
    pixels = make_pixel_list(particles.box_size_px, r_max_px).to(device)
    count = min(_SAMPLE, len(particles))
    rows = torch.arange(count) * len(particles) // count
    images = torch.from_numpy(particles.read_images(rows.numpy())).to(device)
    shift_px = particles.shift_px[rows].to(device)
    coefficients = image_coefficients(images, pixels) * phase_ramps(shift_px, pixels)
    transfer = ctf(particles.ctf.select(rows).to(device), pixels, particles.pixel_size_angstrom)
    inverse = (1 / sigma2).to(torch.float32)[pixels.ring]
    weighted, power = coefficients * transfer * inverse, transfer**2 * inverse
    rotation = rotation_grid(_ORDER, parameters.operators).to(device)
    slices = slice_volume(volume_transform(reference, r_max_px=r_max_px), rotation, pixels)
    search = ((pixels.kx + pixels.ky).long() % 2 == 0).nonzero()[:, 0]
    check = ((pixels.kx + pixels.ky).long() % 2 == 1).nonzero()[:, 0]
    range_px = parameters.shift_range_angstrom / particles.pixel_size_angstrom
    shifts = shift_grid(range_px, max(1.0, particles.box_size_px / (6 * r_max_px))).to(device)
    ramps = phase_ramps(shifts, pixels)
    flat = Prior(torch.zeros(len(slices), device=device), torch.zeros(len(shifts), device=device))
    typical_power = (coefficients.abs() ** 2).mean() / (slices.abs() ** 2).mean().clamp(min=1e-30)
    amplitude = float(torch.sqrt(0.05 * typical_power))
    for _ in range(_ROUNDS):
        images_searched = ScoringImages(weighted[:, search], power[:, search])
        table = reference_table(amplitude * slices[:, search])
        samples = direct_posterior(images_searched, table, ramps[:, search], flat, max_samples=1)
        model = slices[samples.reference][:, check]
        centered = weighted[:, check] * ramps[samples.shift][:, check]
        cross = float((centered * model.conj()).real.sum())
        norm = float((power[:, check] * model.abs() ** 2).sum())
        amplitude = max(cross / norm, 0.1 * amplitude)
    return amplitude
