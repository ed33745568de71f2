"""Picking with two-dimensional references or the projections of a map."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from cryocloud.engine.errors import InputError
from cryocloud.engine.fourier import coefficients_to_images, make_pixel_list
from cryocloud.engine.geometry import healpix_directions, rotation_from_euler
from cryocloud.engine.optics import contrast_transfer
from cryocloud.engine.picking.correlation import Correlation, local_correlation, template_bank
from cryocloud.engine.picking.field import prepare_field, squared_frequency
from cryocloud.engine.picking.peaks import Peaks, find_peaks
from cryocloud.engine.picking.picks import Picks, PickSettings, choose_peaks
from cryocloud.engine.reconstruction import slice_volume, volume_transform
from cryocloud.engine.records.ctf_parameters import CtfParameters

PIXELS_PER_RESOLUTION = 3.0
WINDOW_RADII = 1.15
TEMPLATE_RADII = 1.6
DIRECTIONS_ORDER = 1


@dataclass(frozen=True)
class References:
    """White particles on black, [k, b, b], centered at b//2, without CTF.

    Their gray scale does not matter, their sampling need not be that of the micrograph.
    """

    images: Float32[Tensor, "k b b"]
    pixel_size_angstrom: float

    def to(self, device: torch.device | str) -> References:
        """The same images on another device."""
        return References(self.images.to(device), self.pixel_size_angstrom)


def project_references(
    volume: Float32[Tensor, "d d d"], *, pixel_size_angstrom: float, resolution_angstrom: float
) -> References:
    """Projections of a map along the 48 directions of the HEALPix grid of order 1 (29 degrees apart).

    In-plane angles are left to the picker. So few views suffice because neighboring ones look alike at the
    low resolution of picking, which wants positions, not poses.

    Raises
    ------
    InputError
        The map is not a cube.
    """
    box = volume.shape[-1]
    if len(set(volume.shape)) != 1:
        raise InputError(f"reference map of {tuple(volume.shape)} voxels is not a cube; give a cubic map")
    pixels = make_pixel_list(box, math.ceil(1.2 * box * pixel_size_angstrom / resolution_angstrom))
    rot_deg, tilt_deg = healpix_directions(DIRECTIONS_ORDER)
    rotation = rotation_from_euler(rot_deg, tilt_deg, torch.zeros_like(rot_deg)).to(volume.device)
    pixels = pixels.to(volume.device)
    slices = slice_volume(volume_transform(volume, r_max_px=pixels.r_max_px), rotation, pixels)
    return References(coefficients_to_images(slices, pixels), pixel_size_angstrom)


def pick_templates(
    micrograph: Float32[Tensor, "h w"],
    references: References,
    ctf: CtfParameters,
    *,
    pixel_size_angstrom: float,
    resolution_angstrom: float,
    settings: PickSettings,
    generator: torch.Generator,
) -> Picks:
    """Pick what correlates with references, rotated in steps that move the rim by half of the resolution.

    References are low-passed to ``resolution_angstrom`` (coarse, so that no detail of a reference is found
    again in the noise), rotated, multiplied by the micrograph's CTF and correlated with local
    normalisation; chance is judged with the same templates on the micrograph with random phases.

    Parameters
    ----------
    micrograph
        Of any gray scale, particles dark unless ``settings`` say otherwise.
    references
        Class averages or projections; their outline, not their detail, is what finds particles.
    ctf
        One row, that of the micrograph.
    resolution_angstrom
        Of the low-pass. The field has three pixels to it.

    Returns
    -------
    Picks
        ``template`` is the number of the reference.

    Raises
    ------
    InputError
        As :func:`prepare_field`; no reference with contrast.

    References
    ----------
    Roseman 2003, Ultramicroscopy 94:225; Scheres 2015, J. Struct. Biol. 189:114.
    """
    field = prepare_field(
        micrograph,
        pixel_size_angstrom=pixel_size_angstrom,
        coarse_pixel_size_angstrom=resolution_angstrom / PIXELS_PER_RESOLUTION,
        diameter_angstrom=settings.diameter_angstrom,
        dark_particles=settings.dark_particles,
    )
    radius_px = settings.diameter_angstrom / 2 / field.pixel_size_angstrom
    edge_px = 2 * math.ceil(TEMPLATE_RADII * radius_px) + 1
    step_rad = resolution_angstrom / settings.diameter_angstrom
    rotated = _rotated(references, edge_px, field.pixel_size_angstrom, step_rad)
    if float(rotated.std()) == 0:
        raise InputError(
            "the references have no contrast: all pixels are equal; give class averages or a map"
        )
    templates = _as_imaged(rotated, ctf, field.pixel_size_angstrom, resolution_angstrom)
    line = torch.arange(edge_px, dtype=torch.float32, device=templates.device) - edge_px // 2
    window = torch.sigmoid((WINDOW_RADII * radius_px - torch.hypot(line[:, None], line[None, :])) / 0.5)
    bank = template_bank(templates, window)
    angles = len(rotated) // len(references.images)

    def correlate(image: Float32[Tensor, "h w"], usable: Bool[Tensor, "h w"]) -> tuple[Peaks, Correlation]:
        found = local_correlation(image, bank)
        peaks = find_peaks(
            torch.where(usable, found.score, -1.0),
            min_distance_px=2 * settings.min_distance_diameters * radius_px,
        )
        return peaks, found

    picks = choose_peaks(field, correlate, settings, generator)
    return replace(picks, template=picks.template // angles)


def _rotated(
    references: References, edge_px: int, pixel_size_angstrom: float, step_rad: float
) -> Float32[Tensor, "m n n"]:
    """References at another sampling and at all in-plane angles, the angles of a reference in a row."""
    images = references.images
    count = max(1, math.ceil(2 * math.pi / step_rad))
    box = images.shape[-1]
    line = torch.arange(edge_px, dtype=torch.float32, device=images.device) - edge_px // 2
    y, x = torch.meshgrid(line, line, indexing="ij")
    scale = pixel_size_angstrom / references.pixel_size_angstrom
    border = images[:, :1, :1]
    rotated = []
    for angle in torch.arange(count) * (2 * math.pi / count):
        cosine, sine = float(torch.cos(angle)) * scale, float(torch.sin(angle)) * scale
        # Pixel box//2 is the center; grid_sample counts from -1 to 1 between the outer pixels' centers.
        column = (cosine * x + sine * y + box // 2) * 2 / (box - 1) - 1
        row = (cosine * y - sine * x + box // 2) * 2 / (box - 1) - 1
        grid = torch.stack([column, row], dim=-1)[None].expand(len(images), -1, -1, -1)
        sampled = torch.nn.functional.grid_sample(
            (images - border)[:, None], grid, mode="bicubic", align_corners=True
        )
        rotated.append(sampled[:, 0])
    return torch.stack(rotated, dim=1).flatten(0, 1)


def _as_imaged(
    images: Float32[Tensor, "m n n"],
    ctf: CtfParameters,
    pixel_size_angstrom: float,
    resolution_angstrom: float,
) -> Float32[Tensor, "m n n"]:
    """Images through the CTF, low-passed; padded to twice the size so that defocus fringes do not wrap."""
    edge = images.shape[-1]
    padded = (2 * edge, 2 * edge)
    s2 = squared_frequency(padded, pixel_size_angstrom, images.device)
    sy = torch.fft.fftfreq(2 * edge, pixel_size_angstrom, device=images.device)[:, None].expand_as(s2)
    sx = torch.fft.rfftfreq(2 * edge, pixel_size_angstrom, device=images.device)[None].expand_as(s2)
    transfer = contrast_transfer(ctf.to(images.device), sx.flatten(), sy.flatten())[0].view(s2.shape)
    ramp = ((s2.sqrt() * resolution_angstrom - 0.9) / 0.2).clamp(0, 1)
    low_pass = 0.5 + 0.5 * torch.cos(torch.pi * ramp)
    spectrum = torch.fft.rfft2(images, s=padded) * (transfer * low_pass)
    imaged: Tensor = torch.fft.irfft2(spectrum, s=padded)
    return imaged[:, :edge, :edge]
