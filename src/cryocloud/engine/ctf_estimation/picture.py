"""Pictures of a CTF fit."""

from __future__ import annotations

import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from cryocloud.engine.ctf_estimation.estimate import CtfEstimate
from cryocloud.engine.ctf_estimation.quality import equivalent_frequency, ring_pattern
from cryocloud.engine.ctf_estimation.rings import MicroscopeOptics
from cryocloud.engine.fourier import shell_average

SECTORS = 8
FAINTEST_SHARE = 0.04


def rings_beside_model(estimate: CtfEstimate, optics: MicroscopeOptics) -> Float32[Tensor, "t t"]:
    """Spectrum and fitted rings in one centered picture: right half the data, left half 2 CTF^2 - 1.

    The data are averaged along lines of equal CTF phase in sectors of 22 degrees (noise hides all but the
    inner rings otherwise), so that rings break at the borders of sectors where the astigmatism is wrong, and
    scaled by the fitted strength of the rings. Values lie within -1 and 1; the model ends where the fit does.
    """
    flat, edge = estimate.flat, estimate.spectrum.edge_px
    step = estimate.spectrum.step_per_angstrom
    column = (flat.sx_per_angstrom / step).round().long()
    row = (flat.sy_per_angstrom / step).round().long()
    model = ring_pattern(flat, estimate.defocus, optics)
    model = torch.where(flat.s_per_angstrom * estimate.fit_resolution_angstrom <= 1, model, 0.0)
    picture = torch.zeros(edge, edge, dtype=torch.float32, device=model.device)
    middle = edge // 2
    picture[middle + row, middle + column] = _averaged_arcs(estimate, optics).clamp(-1, 1)
    picture[middle - row, middle - column] = model
    return picture


def _averaged_arcs(estimate: CtfEstimate, optics: MicroscopeOptics) -> Float32[Tensor, " n"]:
    """Rings, scaled by their fitted strength, each pixel replaced by the mean of its arc of equal phase."""
    flat = estimate.flat
    s = flat.s_per_angstrom
    ring = (
        equivalent_frequency(flat, estimate.defocus, optics) / estimate.spectrum.step_per_angstrom
    ).round()
    angle = torch.atan2(flat.sy_per_angstrom, flat.sx_per_angstrom) / torch.pi + 0.5
    arc = ring.long() * SECTORS + (angle * SECTORS).long().clamp(0, SECTORS - 1)
    envelope = estimate.strength.envelope(s)
    envelope = envelope.clamp(min=FAINTEST_SHARE * float(envelope.max()))
    values = (flat.deviation - estimate.strength.background(s)) / envelope
    return shell_average(values, arc, int(arc.max()) + 1)[arc].to(torch.float32)


def squared_ctf_along_radius(estimate: CtfEstimate) -> tuple[Float64[Tensor, " b"], Float64[Tensor, " b"]]:
    """Equiphase average and model along `CtfEstimate.radial`, both scaled so that the model is CTF^2 (0 to
    1).

    The data are ``0.5 + 0.5 (observed - background) / envelope``; noise takes them beyond 0 and 1. Where
    the rings fade, the envelope is held at 4 % of its largest value, so that noise is not blown up without
    limit.
    """
    radial, fit = estimate.radial, estimate.strength
    envelope = fit.envelope(radial.s_per_angstrom)
    envelope = envelope.clamp(min=FAINTEST_SHARE * float(envelope.max()))
    background = fit.background(radial.s_per_angstrom)
    return 0.5 + 0.5 * (radial.observed - background) / envelope, 0.5 + 0.5 * (
        radial.model - background
    ) / envelope
