"""Posterior of a batch of images over classes, in-plane angles and shifts.

A search over a coarse grid finds each image's probable cells; their eight parts (half the angular step, half
the shift step) are then scored exactly, as RELION's adaptive oversampling does.

The posterior of (class c, angle psi, shift t) is proportional to ``pi_c exp(-|t|^2 / (2 sigma_t^2)) exp(beta l)`` with
``l = 2 Re <C X exp(-2 pi i k.t / D) / sigma2, A> - <C^2 / sigma2, |A|^2>``, A the average turned by psi, beta the
inverse temperature. The constant of the image is left out: added in single precision it would swallow differences.

References
----------
Tagare et al. 2010, J. Struct. Biol. 171:256 (adaptive expectation maximization); Scheres 2012, J. Struct. Biol.
180:519.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from cryocloud.engine.alignment.direct import (
    PoseSamples,
    Prior,
    ReferenceTable,
    ScoringImages,
    direct_posterior,
    normalized_samples,
    prepare_scoring,
    reference_table,
)
from cryocloud.engine.alignment.polar import (
    PolarGrid,
    PolarReferences,
    make_polar_grid,
    polar_image_samples,
    polar_is_faster,
    polar_posterior,
    polar_references,
    prepare_polar,
)
from cryocloud.engine.classification.images import ImageBatch, WorkingImages
from cryocloud.engine.classification.records import ClassificationState
from cryocloud.engine.classification.schedule import angle_count, shift_step_px
from cryocloud.engine.fourier import PixelList, phase_ramps
from cryocloud.engine.fourier.plane import PlaneTaps, plane_grid, plane_taps, sample_plane
from cryocloud.engine.geometry import shift_grid
from cryocloud.engine.native.class_samples import score_samples
from cryocloud.engine.optics import ctf

# Most samples of an image after the coarse search, and the part of the posterior that kept samples hold.
_CELLS = 60
_MASS = 0.99
_BLOCK_BYTES_CUDA = 1 << 29


@dataclass(frozen=True)
class ClassSamples:
    """Probable poses of b images, m in all, sorted by image, best first; weights of an image sum to 1.

    ``reference`` = class * angles + angle of the search's fine grid, ``shift_px`` float32 [m, 2];
    ``log_evidence`` [b].

    ``image`` int64 [m] is the row in the batch and ``weight`` float32 [m] the probability. ``shift_px`` (x, y) is in
    working pixels, minus the displacement of the object. The evidence is the natural logarithm of the likelihood times
    the prior, summed over classes and poses, relative to an empty model.
    """

    image: Tensor
    reference: Tensor
    shift_px: Tensor
    weight: Tensor
    log_evidence: Tensor

    def first(self) -> Tensor:
        """Index of the most probable sample of each image."""
        starts = torch.ones_like(self.image, dtype=torch.bool)
        starts[1:] = self.image[1:] != self.image[:-1]
        return starts.nonzero()[:, 0]


@dataclass(frozen=True)
class CoarseSearch:
    """The first level: every class at ``n_psi`` angles and the shifts, by the direct or the polar score.

    Exactly one of ``direct`` (turned averages and the ramps of the shifts) and ``polar`` (rings and harmonics) is
    there. ``shift_px`` [s, 2] are what samples refer to, ``step_px`` the spacing of the shifts in working pixels. The
    polar score moves references and not images, so that its list holds the shifts of each angle in turn.
    """

    n_psi: int
    shift_px: Tensor
    step_px: float
    prior: Prior
    direct: tuple[ReferenceTable, Tensor] | None
    polar: tuple[PolarGrid, PolarReferences] | None


@dataclass(frozen=True)
class Search:
    """Everything of one update's search that images share.

    ``band`` are the pixels that are scored, ``psi_deg`` [a] the finest angles, ``slices`` [k a, n] the
    averages turned by them, in the band; a is n_psi, or twice that where cells are ``divided``.

    ``log_class`` [k] are the logarithms of the class priors, ``sigma_shift_px`` the width of the Gaussian prior on x
    and on y about the image's center.
    """

    band: PixelList
    coarse: CoarseSearch
    divided: bool
    psi_deg: Tensor
    slices: Tensor
    log_class: Tensor
    sigma_shift_px: float
    inverse_temperature: float


def prepare_search(
    work: WorkingImages,
    state: ClassificationState,
    *,
    shift_range_px: float,
    inverse_temperature: float,
    generator: torch.Generator,
) -> Search:
    """Turn the class averages by all angles (from a random first one) and prepare the faster of the two
    scores.

    The random first angle moves the grid from update to update, so that no image is tied to its points. Cells are
    divided only once the likelihood has its full weight: a tempered posterior is too broad for it to matter.

    Parameters
    ----------
    work
        Working box, masks and pixels.
    state
        Averages, priors and band limit.
    shift_range_px
        Radius of the disc of shifts, about the image's center.
    inverse_temperature
        Factor of the log-likelihood, from 0.25 to 1.
    generator
        CPU generator of the first angle.
    """
    box, device = work.pixels.box_size_px, work.mask.device
    band = work.pixels.within(state.r_max_px)
    n_psi = angle_count(state.r_max_px, work.mask_radius_px, box)
    step_px = shift_step_px(state.r_max_px, box)
    shift_px = shift_grid(shift_range_px, step_px)
    offset_deg = float(torch.rand(1, generator=generator)) * 360 / n_psi
    psi_deg = _angles_deg(n_psi, offset_deg)
    slices = _turned_averages(state.averages, band, psi_deg)
    log_class = torch.log(state.class_prior)
    log_shift = -(shift_px**2).sum(1).to(device) / (2 * state.sigma_shift_px**2)
    if polar_is_faster(device, len(log_class) * n_psi * len(shift_px), len(band)):
        grid = make_polar_grid(
            box,
            state.r_max_px,
            n_psi,
            object_radius_px=work.mask_radius_px,
            image_radius_px=work.window_radius_px,
            device=device,
        )
        samples = polar_image_samples(state.averages, grid)
        references = polar_references(samples, shift_px, grid, psi_offset_deg=offset_deg)
        prior = Prior(log_class, log_shift, inverse_temperature)
        coarse = CoarseSearch(n_psi, references.shift_px.to(device), step_px, prior, None, (grid, references))
    else:
        table = reference_table(slices)
        prior = Prior(log_class.repeat_interleave(n_psi), log_shift, inverse_temperature)
        shift_px = shift_px.to(device)
        coarse = CoarseSearch(n_psi, shift_px, step_px, prior, (table, phase_ramps(shift_px, band)), None)
    divided = inverse_temperature >= 1
    if divided:
        psi_deg = _angles_deg(2 * n_psi, offset_deg - 90 / n_psi)
        slices = _turned_averages(state.averages, band, psi_deg)
    return Search(
        band, coarse, divided, psi_deg, slices, log_class, state.sigma_shift_px, inverse_temperature
    )


def search_batch(
    search: Search, work: WorkingImages, batch: ImageBatch, rows: Tensor, sigma2: Tensor
) -> ClassSamples:
    """The probable (class, angle, shift) of each image of a batch.

    Parameters
    ----------
    search, work
        What the images of an update share.
    batch
        Coefficients of the windowed images, b of them.
    rows
        Their numbers in the particle table, for their optics on polar rings.
    sigma2
        Noise variance of each ring.

    Notes
    -----
    The direct score takes 4 b s k a n operations (s shifts, a angles, n pixels), as one matrix product; the polar
    score fewer, in thinner products. Up to 60 cells an image, that hold 99 % of its posterior, go on to the second
    level.
    """
    n = len(search.band)
    sigma2 = sigma2[: search.band.r_max_px + 1]
    scoring = prepare_scoring(batch.windowed[:, :n], batch.transfer[:, :n], sigma2, search.band)
    coarse = search.coarse
    if coarse.polar is not None:
        grid, references = coarse.polar
        optics = work.particles.ctf.select(rows).to(grid.turn.device)
        transfer = ctf(optics, grid.points, work.particles.pixel_size_angstrom)
        images = prepare_polar(polar_image_samples(batch.windowed_images, grid), transfer, sigma2, grid)
        cells = polar_posterior(images, references, grid, coarse.prior, max_samples=_CELLS, mass=_MASS)
    else:
        assert coarse.direct is not None
        table, ramps = coarse.direct
        cells = direct_posterior(scoring, table, ramps, coarse.prior, max_samples=_CELLS, mass=_MASS)
    if search.divided:
        return _parts(cells, search, scoring)
    shift_px = coarse.shift_px[cells.shift].to(torch.float32)
    return ClassSamples(cells.image, cells.reference, shift_px, cells.weight, cells.log_evidence)


def turned_taps(pixels: PixelList, psi_deg: Tensor, r_max_px: int) -> PlaneTaps:
    """Where the pixels of a list lie on class averages turned by each angle, angle after angle.

    ``r_max_px`` is the extent of the averages' planes, at least that of the pixels.

    Pixel k of an image with the angle psi shows the average at ``Rz(psi) k``. The same places serve to read turned
    averages and, with the weights the other way round, to add images to the averages.
    """
    psi = torch.deg2rad(psi_deg).to(pixels.kx.device, torch.float32)[:, None]
    c, s = torch.cos(psi), torch.sin(psi)
    kx, ky = c * pixels.kx - s * pixels.ky, s * pixels.kx + c * pixels.ky
    return plane_taps(kx.flatten(), ky.flatten(), r_max_px)


def _angles_deg(n_psi: int, first_deg: float) -> Tensor:
    """Angles of a full turn, n_psi of them, float64."""
    return first_deg + torch.arange(n_psi, dtype=torch.float64) * 360 / n_psi


def _turned_averages(averages: Tensor, band: PixelList, psi_deg: Tensor) -> Tensor:
    """Coefficients of all averages at all angles: [k * angles, n]."""
    grid = plane_grid(averages, band.r_max_px)
    return sample_plane(grid, turned_taps(band, psi_deg, band.r_max_px)).view(-1, len(band))


def _parts(cells: PoseSamples, search: Search, scoring: ScoringImages) -> ClassSamples:
    """Posterior over the eight parts of each cell: two angles, four shifts.

    A cell is one step wide in psi, x and y; the centers of its parts lie a quarter of a step from its own in each
    direction. All parts of all cells are weighed against each other, so that a cell the coarse search ranked second
    may win. log 8 is taken from the evidence, which thus stays a mean over the parts and comparable to that of whole
    cells.
    """
    device = cells.image.device
    coarse = search.coarse
    quarter_px = coarse.step_px / 4
    signs = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]], device=device)
    shift_px = coarse.shift_px[cells.shift].to(torch.float32)[:, None, None] + quarter_px * signs
    shift_px = shift_px.expand(-1, 2, -1, -1).reshape(-1, 2)
    reference = (2 * cells.reference[:, None] + torch.arange(2, device=device)).repeat_interleave(4)
    image = cells.image.repeat_interleave(8)
    log_prior = search.log_class[reference // len(search.psi_deg)]
    log_prior = log_prior - (shift_px.double() ** 2).sum(1) / (2 * search.sigma_shift_px**2)
    score = _scores(scoring, search, image, reference, shift_px)
    log_posterior = (search.inverse_temperature * score + log_prior).to(torch.float32)
    every = torch.arange(len(image), device=device)
    kept = normalized_samples(image, reference, every, log_posterior, len(scoring.power), _MASS)
    return ClassSamples(
        kept.image, kept.reference, shift_px[kept.shift], kept.weight, kept.log_evidence - math.log(8)
    )


def _scores(
    scoring: ScoringImages, search: Search, image: Tensor, reference: Tensor, shift_px: Tensor
) -> Tensor:
    """Log-likelihood l of m samples, float32 [m], relative to an empty model; shifts may have any value."""
    out = torch.empty(len(image), dtype=torch.float32, device=image.device)
    band = search.band
    if not image.is_cuda:
        score_samples(
            (scoring.weighted.numpy(), scoring.power.numpy()),
            search.slices.numpy(),
            (band.kx.to(torch.int32).numpy(), band.ky.to(torch.int32).numpy(), band.box_size_px),
            image.numpy(),
            reference.numpy(),
            shift_px.contiguous().numpy(),
            out.numpy(),
        )
        return out
    step = max(1, _BLOCK_BYTES_CUDA // (32 * len(band)))
    for start in range(0, len(out), step):
        rows = slice(start, start + step)
        slices = search.slices[reference[rows]]
        product = scoring.weighted[image[rows]] * phase_ramps(shift_px[rows], band) * slices.conj()
        power = scoring.power[image[rows]] * (slices.real**2 + slices.imag**2)
        out[rows] = 2 * product.real.sum(1) - power.sum(1)
    return out
