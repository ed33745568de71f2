"""Least-squares fit of astigmatic Thon rings to every pixel of a flattened spectrum.

The model is ``deviation = background(s) - envelope(s) * cos(2 phase)`` with the phase of `rings`.
Background and envelope are cubic splines with seven coefficients each, in which the model is linear; it is
not in the defocus, its astigmatism and the phase shift.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from cryocloud.engine.ctf_estimation.rings import Defocus, MicroscopeOptics, constant_phase, phase_derivatives
from cryocloud.engine.ctf_estimation.spectrum import FlatSpectrum, radial_basis

SPLINES = 7
MAX_ITERATIONS = 30
CONVERGED_ANGSTROM = 0.5
CONVERGED_RAD = 1e-3
LARGEST_DAMPING = 1e6
RIDGE = 1e-6


@dataclass(frozen=True)
class RingFit:
    """Result of a fit: ``deviation = background(s) - envelope(s) * cos(2 phase)``.

    Attributes
    ----------
    residual
        Mean square of the residuals, in units of the relative deviation squared; comparable only between
        fits to the same pixels.
    background_coefficients, envelope_coefficients
        Of the radial B-splines over ``band_per_angstrom``. Beyond the band the splines keep their end
        values.
    """

    defocus: Defocus
    residual: float
    background_coefficients: Float64[Tensor, " k"]
    envelope_coefficients: Float64[Tensor, " k"]
    band_per_angstrom: tuple[float, float]

    def background(self, s_per_angstrom: Float64[Tensor, " n"]) -> Float64[Tensor, " n"]:
        """Smooth part of the deviation: what the radial trend left."""
        return self._basis(s_per_angstrom) @ self.background_coefficients.to(s_per_angstrom.device)

    def envelope(self, s_per_angstrom: Float64[Tensor, " n"]) -> Float64[Tensor, " n"]:
        """Amplitude of the rings relative to the mean power at that frequency; negative only by noise."""
        return self._basis(s_per_angstrom) @ self.envelope_coefficients.to(s_per_angstrom.device)

    def _basis(self, s_per_angstrom: Float64[Tensor, " n"]) -> Float64[Tensor, "n k"]:
        return radial_basis(s_per_angstrom, *self.band_per_angstrom, count=len(self.envelope_coefficients))


@dataclass(frozen=True)
class _Problem:
    """What does not change during a fit."""

    constant: Float64[Tensor, " n"]
    derivatives: Float64[Tensor, "n 4"]
    basis: Float32[Tensor, "n k"]
    values: Float32[Tensor, " n"]
    band_per_angstrom: tuple[float, float]

    def rings(self, vector: Float64[Tensor, "4"]) -> tuple[Float32[Tensor, "n 1"], Float32[Tensor, "n 1"]]:
        """Cos and sin of twice the phase.

        Whole turns are taken off in double precision: a phase of hundreds of radians has too few digits
        left in single.
        """
        phase = 2 * (self.derivatives @ vector + self.constant)
        turned = (phase - (2 * torch.pi) * torch.round(phase / (2 * torch.pi))).to(torch.float32)
        return torch.cos(turned)[:, None], torch.sin(turned)[:, None]

    def linear_design(self, cosine: Float32[Tensor, "n 1"]) -> Float32[Tensor, "n two_k"]:
        """Derivatives by the background's and the envelope's coefficients."""
        return torch.cat([self.basis, -cosine * self.basis], dim=1)


@dataclass(frozen=True)
class _Point:
    """A trial: its parameters, the linear ones that suit them best, and the sum of squared residuals."""

    vector: Float64[Tensor, "4"]
    linear: Float64[Tensor, " two_k"]
    cost: float


def fit_rings(
    spectrum: FlatSpectrum, start: Defocus, optics: MicroscopeOptics, *, fit_phase_shift: bool = False
) -> RingFit:
    """Levenberg-Marquardt over mean defocus, astigmatism and, where asked, phase shift.

    Background and ring strength are radial splines that are solved exactly in each step (variable
    projection), so they need no start. The noise of a power spectrum is proportional to the power, hence
    nearly uniform in the relative deviation; weighting it by the model's power did not change the errors,
    which lie within 20 % of the Cramer-Rao bound.

    Parameters
    ----------
    spectrum
        The pixels of the band to be fitted.
    start
        Within about half a ring of the truth at the band's fine end; otherwise the fit ends in a next
        minimum.

    Returns
    -------
    RingFit
        After at most 30 steps, or once an accepted step moves no component by more than 0.5 Angstrom and
        the phase shift by no more than 0.001 rad, or when no step improves the fit.

    References
    ----------
    Golub & Pereyra 1973, SIAM J. Numer. Anal. 10:413 (variable projection).
    """
    problem = _problem(spectrum, optics)
    free = [0, 1, 2, 3] if fit_phase_shift else [0, 1, 2]
    point = _solve_linear(problem, start.vector().to(spectrum.deviation.device))
    damping = 1e-3
    for _ in range(MAX_ITERATIONS):
        step = _step(problem, point, free, damping)
        trial = _solve_linear(problem, point.vector + step)
        if trial.cost < point.cost:
            point, damping = trial, damping * 0.1
            if float(step[:3].abs().max()) < CONVERGED_ANGSTROM and float(step[3].abs()) < CONVERGED_RAD:
                break
        else:
            damping *= 10
            if damping > LARGEST_DAMPING:
                break
    return _ring_fit(problem, point)


def ring_strength(spectrum: FlatSpectrum, defocus: Defocus, optics: MicroscopeOptics) -> RingFit:
    """Background and envelope over the whole of a spectrum for a known defocus.

    A linear solve: the defocus is not changed. It extends a fit beyond its band, where the rings may still
    be seen.
    """
    problem = _problem(spectrum, optics)
    return _ring_fit(problem, _solve_linear(problem, defocus.vector().to(spectrum.deviation.device)))


def _problem(spectrum: FlatSpectrum, optics: MicroscopeOptics) -> _Problem:
    s = spectrum.s_per_angstrom
    band = (float(s.min()), float(s.max()))
    return _Problem(
        constant=constant_phase(s, optics),
        derivatives=phase_derivatives(spectrum, optics),
        basis=radial_basis(s, *band, count=SPLINES).to(torch.float32),
        values=spectrum.deviation,
        band_per_angstrom=band,
    )


def _ring_fit(problem: _Problem, point: _Point) -> RingFit:
    return RingFit(
        defocus=Defocus.of_vector(point.vector),
        residual=point.cost / len(problem.values),
        background_coefficients=point.linear[:SPLINES],
        envelope_coefficients=point.linear[SPLINES:],
        band_per_angstrom=problem.band_per_angstrom,
    )


def _solve_linear(problem: _Problem, vector: Float64[Tensor, "4"]) -> _Point:
    """Splines that suit a defocus best, and what they leave."""
    design = problem.linear_design(problem.rings(vector)[0])
    linear = torch.linalg.solve(_normal_matrix(design), (design.T @ problem.values).to(torch.float64))
    residual = problem.values - design @ linear.to(torch.float32)
    return _Point(vector, linear, float((residual.to(torch.float64) ** 2).sum()))


def _step(problem: _Problem, point: _Point, free: list[int], damping: float) -> Float64[Tensor, "4"]:
    """Damped Gauss-Newton step; background and envelope are eliminated from the normal equations.

    With J the derivatives by the free nonlinear parameters, ``2 envelope sin(2 phase) dphase``, and A
    those by the linear ones, the step solves ``(J'J - J'A (A'A)^-1 A'J) step = J'r - J'A (A'A)^-1 A'r``:
    the change of the splines that goes along with a change of the defocus is allowed for. Columns are
    scaled by their mean, as Angstrom and radians differ by orders of magnitude; the diagonal is multiplied
    by ``1 + damping``.
    """
    cosine, sine = problem.rings(point.vector)
    design = problem.linear_design(cosine)
    residual = problem.values - design @ point.linear.to(torch.float32)
    envelope = problem.basis @ point.linear[SPLINES:, None].to(torch.float32)
    scale = problem.derivatives.abs().mean(0)
    slopes = (problem.derivatives / scale).to(torch.float32)[:, free]
    jacobian = 2 * envelope * sine * slopes
    inner = _normal_matrix(design)
    mixed = (design.T @ jacobian).to(torch.float64)
    normal = (jacobian.T @ jacobian).to(torch.float64) - mixed.T @ torch.linalg.solve(inner, mixed)
    linear_right = torch.linalg.solve(inner, (design.T @ residual).to(torch.float64))
    right = (jacobian.T @ residual).to(torch.float64) - mixed.T @ linear_right
    normal = normal + damping * torch.diag(normal.diagonal().clamp(min=1e-12))
    step = torch.zeros(4, dtype=torch.float64, device=point.vector.device)
    step[free] = torch.linalg.solve(normal, right)
    return step / scale


def _normal_matrix(design: Float32[Tensor, "n k"]) -> Float64[Tensor, "k k"]:
    """Normal matrix in double precision, with a ridge of 1e-6 of its mean diagonal for splines without
    pixels.
    """
    normal = (design.T @ design).to(torch.float64)
    ridge = RIDGE * normal.diagonal().mean()
    return normal + ridge * torch.eye(len(normal), dtype=torch.float64, device=normal.device)
