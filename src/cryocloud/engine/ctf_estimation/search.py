"""Exhaustive search of defocus, astigmatism and phase shift on a spectrum binned in equal areas.

The score is the normalised correlation of data and rings, both without their smooth part, -1 to 1. It is a
comb along the defocus: a defocus that is one ring off matches some of the rings. So every local maximum is
a candidate, and a grid in the defocus must be finer than the width of one (100 Angstrom moves the phase by
less than a quarter of a radian at 5 Angstrom and 300 kV).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from cryocloud.engine.ctf_estimation.rings import Defocus, MicroscopeOptics, constant_phase
from cryocloud.engine.ctf_estimation.spectrum import FlatSpectrum, radial_basis

SECTORS = 18
RADIAL_BINS = 400
BACKGROUND_SPLINES = 7
ASTIGMATISM_STARTS = 8


@dataclass(frozen=True)
class SearchRange:
    """Limits and steps of the search; underfocus is positive.

    Attributes
    ----------
    defocus_min_angstrom, defocus_max_angstrom, defocus_step_angstrom
        Grid of the mean defocus. The step is shortened so that both limits lie on the grid.
    astigmatism_max_angstrom
        Limit of the difference of the two defoci, U - V.
    phase_shift_min_deg, phase_shift_max_deg, phase_shift_step_deg
        Grid of the phase shift; one value where the limits are equal.
    """

    defocus_min_angstrom: float = 3000.0
    defocus_max_angstrom: float = 50000.0
    defocus_step_angstrom: float = 100.0
    astigmatism_max_angstrom: float = 4000.0
    phase_shift_min_deg: float = 0.0
    phase_shift_max_deg: float = 0.0
    phase_shift_step_deg: float = 10.0

    def defoci_angstrom(self) -> Float64[Tensor, " d"]:
        """Grid of mean defoci."""
        count = (
            math.ceil((self.defocus_max_angstrom - self.defocus_min_angstrom) / self.defocus_step_angstrom)
            + 1
        )
        return torch.linspace(
            self.defocus_min_angstrom, self.defocus_max_angstrom, max(2, count), dtype=torch.float64
        )

    def phase_shifts_deg(self) -> list[float]:
        """Grid of phase shifts; one value where the shift is fixed."""
        span = self.phase_shift_max_deg - self.phase_shift_min_deg
        count = math.ceil(span / self.phase_shift_step_deg) + 1
        grid = np.linspace(self.phase_shift_min_deg, self.phase_shift_max_deg, count)
        return [float(phase) for phase in grid]


@dataclass(frozen=True)
class Landscape:
    """Result of the search.

    Attributes
    ----------
    starts
        Starts for a fit, best first. Several may share a mean defocus and differ in astigmatism.
    defocus_angstrom, score
        Best score, -1 to 1, over astigmatism and phase shift, for each mean defocus of the grid.
    """

    starts: tuple[Defocus, ...]
    defocus_angstrom: Float64[Tensor, " d"]
    score: Float64[Tensor, " d"]


def search_defocus(
    spectrum: FlatSpectrum, optics: MicroscopeOptics, limits: SearchRange, *, starts: int = 6
) -> Landscape:
    """Normalised correlation of a spectrum with Thon rings over a grid of defocus and astigmatism.

    The spectrum is averaged in 18 sectors and in 400 bins of equal s^2, where the rings of one defocus are
    a pure cosine (up to the spherical aberration). One matrix product gives each sector's correlation with
    every defocus; the score of an astigmatic CTF is then a sum over sectors of values looked up at that
    sector's defocus. Smooth radial functions are projected out of data and rings alike, so no background
    has to be guessed before the defocus is known.

    Parameters
    ----------
    spectrum
        The band to compare. Coarser than the final fit: see `estimate`.
    starts
        Starts to return at most.

    Notes
    -----
    A phase shift p needs no new product: ``-cos(2 phase + 2 p) = cos 2p * (-cos 2 phase) + sin 2p * sin 2
    phase``. Cost: two products of 18 x 400 by 400 x defoci, and 18 look-ups for each defocus, astigmatism
    and phase shift.
    """
    binned, s_bins = _bin_equal_areas(spectrum)
    device = binned.device
    defoci = _extended_grid(limits).to(device)
    in_phase, quadrature = _sector_scores(binned, s_bins, defoci, optics)
    best_score: Tensor | None = None
    found: list[tuple[float, Defocus]] = []
    for phase_deg in limits.phase_shifts_deg():
        turned = (
            math.cos(math.radians(2 * phase_deg)) * in_phase
            + math.sin(math.radians(2 * phase_deg)) * quadrature
        )
        scores, components = _astigmatic_scores(turned, defoci, limits)
        along_defocus = scores.max(1).values
        best_score = along_defocus if best_score is None else torch.maximum(best_score, along_defocus)
        found += _peaks(scores, components, limits.defoci_angstrom(), phase_deg, starts)
    found.sort(key=lambda pair: -pair[0])
    assert best_score is not None
    return Landscape(tuple(d for _, d in found[:starts]), limits.defoci_angstrom(), best_score.cpu())


def _bin_equal_areas(spectrum: FlatSpectrum) -> tuple[Float64[Tensor, "a x"], Float64[Tensor, " x"]]:
    """Mean deviation per sector and s^2 bin (0 where a bin holds no pixel), and the s of each bin.

    Sector a holds the directions from 10 a to 10 (a + 1) degrees, counter-clockwise from x; opposite
    directions have the same power. Bins of equal s^2 hold equal numbers of pixels, so each has the same
    noise.
    """
    s2 = spectrum.s_per_angstrom**2
    low, high = float(s2.min()), float(s2.max())
    column = ((s2 - low) / (high - low) * RADIAL_BINS).long().clamp(max=RADIAL_BINS - 1)
    angle = torch.atan2(spectrum.sy_per_angstrom, spectrum.sx_per_angstrom) % math.pi
    row = (angle / math.pi * SECTORS).long().clamp(max=SECTORS - 1)
    index = row * RADIAL_BINS + column
    total = torch.zeros(SECTORS * RADIAL_BINS, dtype=torch.float64, device=s2.device)
    total.index_add_(0, index, spectrum.deviation.to(torch.float64))
    count = torch.bincount(index, minlength=len(total))
    centers = (
        low
        + (torch.arange(RADIAL_BINS, dtype=torch.float64, device=s2.device) + 0.5)
        * (high - low)
        / RADIAL_BINS
    )
    return (total / count.clamp(min=1)).reshape(SECTORS, RADIAL_BINS), centers.sqrt()


def _extended_grid(limits: SearchRange) -> Float64[Tensor, " e"]:
    """The defocus grid with a margin for the astigmatism of single sectors."""
    grid = limits.defoci_angstrom()
    step = float(grid[1] - grid[0])
    margin = math.ceil(limits.astigmatism_max_angstrom / 2 / step)
    steps = torch.arange(-margin, len(grid) + margin, dtype=torch.float64)
    return float(grid[0]) + steps * step


def _sector_scores(
    binned: Float64[Tensor, "a x"],
    s_bins: Float64[Tensor, " x"],
    defoci_angstrom: Float64[Tensor, " e"],
    optics: MicroscopeOptics,
) -> tuple[Float64[Tensor, "a e"], Float64[Tensor, "a e"]]:
    """Correlation of each sector with -cos(2 phase) and with +sin(2 phase), i.e. at phase shifts 0 and 45
    degrees.

    Data and rings are made orthogonal to seven splines along the radius, which takes the background out.
    All data together, and the rings of one sector, have norm 1; divided by sqrt(18), the sum over sectors
    is the correlation of the whole pattern.
    """
    basis = radial_basis(s_bins, float(s_bins[0]), float(s_bins[-1]), BACKGROUND_SPLINES)
    orthonormal = torch.linalg.qr(basis).Q
    phase = math.pi * optics.wavelength_angstrom * defoci_angstrom[:, None] * s_bins**2 + constant_phase(
        s_bins, optics
    )

    def correlate(rings: Float64[Tensor, "e x"]) -> Float64[Tensor, "a e"]:
        clean = rings - (rings @ orthonormal) @ orthonormal.T
        unit: Tensor = clean / torch.linalg.vector_norm(clean, dim=1, keepdim=True).clamp(min=1e-9)
        return torch.mm(data, unit.T)

    data = binned - (binned @ orthonormal) @ orthonormal.T
    data = data / data.norm().clamp(min=1e-12)
    return correlate(-torch.cos(2 * phase)) / math.sqrt(SECTORS), correlate(torch.sin(2 * phase)) / math.sqrt(
        SECTORS
    )


def _astigmatic_scores(
    sector_scores: Float64[Tensor, "a e"], defoci_angstrom: Float64[Tensor, " e"], limits: SearchRange
) -> tuple[Float64[Tensor, "d c"], Float64[Tensor, "c 2"]]:
    """Score for each mean defocus and each of the astigmatism candidates (cosine, sine; Angstrom).

    Candidates are no astigmatism, and half differences (U - V) / 2 that start at the grid's step and grow
    by a factor of 1.4 and a step each, in eight directions 22.5 degrees apart. A sector in the direction
    alpha is looked up at the defocus ``mean + cosine cos 2 alpha + sine sin 2 alpha``, rounded to the
    grid; the grid is longer at both ends, so that no sector leaves it.
    """
    device = sector_scores.device
    step = float(defoci_angstrom[1] - defoci_angstrom[0])
    count = len(limits.defoci_angstrom())
    margin = (len(defoci_angstrom) - count) // 2
    halves = [0.0]
    while step + halves[-1] * 1.4 <= limits.astigmatism_max_angstrom / 2:
        halves.append(step + halves[-1] * 1.4)
    angles = torch.arange(ASTIGMATISM_STARTS, dtype=torch.float64) * (math.pi / ASTIGMATISM_STARTS)
    candidates = [(0.0, 0.0)] + [
        (half * math.cos(2 * angle), half * math.sin(2 * angle))
        for half in halves[1:]
        for angle in angles.tolist()
    ]
    components = torch.tensor(candidates, dtype=torch.float64, device=device)
    sector_angle = (torch.arange(SECTORS, dtype=torch.float64, device=device) + 0.5) * (math.pi / SECTORS)
    waves = torch.stack([torch.cos(2 * sector_angle), torch.sin(2 * sector_angle)])
    offset = (components @ waves / step).round().long()
    position = torch.arange(count, device=device)[:, None] + margin
    scores = torch.zeros(count, len(components), dtype=torch.float64, device=device)
    for sector in range(SECTORS):
        index = (position + offset[None, :, sector]).clamp(0, len(defoci_angstrom) - 1)
        scores += sector_scores[sector][index]
    return scores, components


def _peaks(
    scores: Float64[Tensor, "d c"],
    components: Float64[Tensor, "c 2"],
    defoci_angstrom: Float64[Tensor, " d"],
    phase_shift_deg: float,
    count: int,
) -> list[tuple[float, Defocus]]:
    """The best starts whose mean defoci are local maxima; the two best ones give three astigmatisms each."""
    along = scores.max(1).values
    padded = torch.nn.functional.pad(along, (1, 1), value=-math.inf)
    is_peak = (along >= padded[:-2]) & (along >= padded[2:])
    order = torch.argsort(torch.where(is_peak, along, -math.inf), descending=True)[:count].tolist()
    found = []
    for rank, row in enumerate(order):
        for column in scores[row].topk(3 if rank < 2 else 1).indices.tolist():
            cosine, sine = components[column].tolist()
            defocus = Defocus(float(defoci_angstrom[row]), cosine, sine, phase_shift_deg)
            found.append((float(scores[row, column]), defocus))
    return found
