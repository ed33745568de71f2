"""Least-squares fit of astigmatic Thon rings to every pixel of a flattened spectrum."""

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


@dataclass(frozen=True)
class RingFit:
    """Result of a fit: ``deviation = background(s) - envelope(s) * cos(2 phase)``.

    Attributes
    ----------
    residual
        Mean squared residual, relative to the mean square of the deviations.
    background_coefficients, envelope_coefficients
        Of the radial B-splines over ``band_per_angstrom``.
    """

    defocus: Defocus
    residual: float
    background_coefficients: Float64[Tensor, " k"]
    envelope_coefficients: Float64[Tensor, " k"]
    band_per_angstrom: tuple[float, float]

    def background(self, s_per_angstrom: Float64[Tensor, " n"]) -> Float64[Tensor, " n"]:
        """Smooth part of the deviation."""
        return self._basis(s_per_angstrom) @ self.background_coefficients

    def envelope(self, s_per_angstrom: Float64[Tensor, " n"]) -> Float64[Tensor, " n"]:
        """Strength of the rings."""
        return self._basis(s_per_angstrom) @ self.envelope_coefficients

    def _basis(self, s_per_angstrom: Float64[Tensor, " n"]) -> Float64[Tensor, "n k"]:
        return radial_basis(s_per_angstrom, *self.band_per_angstrom, count=len(self.envelope_coefficients))


@dataclass(frozen=True)
class _Problem:
    """What does not change during a fit; the pixel arrays are float32 [n, ...]."""

    constant: Float64[Tensor, " n"]
    derivatives: Float64[Tensor, "n 4"]
    basis: Float32[Tensor, "n k"]
    values: Float32[Tensor, " n"]
    weights: Float32[Tensor, " n 1"]
    free: list[int]

    def rings(self, vector: Float64[Tensor, "4"]) -> tuple[Float32[Tensor, " n"], Float32[Tensor, " n"]]:
        """cos and sin of twice the phase."""
        phase = 2 * (self.derivatives @ vector + self.constant)
        turned = (phase - (2 * torch.pi) * torch.round(phase / (2 * torch.pi))).to(torch.float32)
        return torch.cos(turned), torch.sin(turned)


def fit_rings(
    spectrum: FlatSpectrum, start: Defocus, optics: MicroscopeOptics, *, fit_phase_shift: bool = False
) -> RingFit:
    """Levenberg-Marquardt over mean defocus, astigmatism and, where asked, phase shift.

    Background and ring strength are radial splines that are solved exactly in each step (variable projection),
    so they need no start. Noise of an averaged spectrum is proportional to its power, hence uniform in the
    relative deviation: the fit is close to maximum likelihood.
    """
    problem = _problem(spectrum, optics, free=[0, 1, 2, 3] if fit_phase_shift else [0, 1, 2])
    vector = start.vector().to(spectrum.deviation.device)
    linear, cost = _solve_linear(problem, vector)
    damping = 1e-3
    for _ in range(MAX_ITERATIONS):
        step = _step(problem, vector, linear, damping)
        trial = vector + step
        trial_linear, trial_cost = _solve_linear(problem, trial)
        if trial_cost < cost:
            vector, linear, cost, damping = trial, trial_linear, trial_cost, damping * 0.1
            if float(step[:3].abs().max()) < CONVERGED_ANGSTROM and float(step[3].abs()) < 1e-3:
                break
        else:
            damping *= 10
            if damping > 1e6:
                break
    return _ring_fit(problem, spectrum, vector, linear, cost)


def ring_strength(spectrum: FlatSpectrum, defocus: Defocus, optics: MicroscopeOptics) -> RingFit:
    """Background and envelope over the whole of a spectrum for a known defocus."""
    problem = _problem(spectrum, optics, free=[])
    vector = defocus.vector().to(spectrum.deviation.device)
    linear, cost = _solve_linear(problem, vector)
    return _ring_fit(problem, spectrum, vector, linear, cost)


def _problem(spectrum: FlatSpectrum, optics: MicroscopeOptics, *, free: list[int]) -> _Problem:
    s = spectrum.s_per_angstrom
    return _Problem(
        constant=constant_phase(s, optics),
        derivatives=phase_derivatives(spectrum, optics),
        basis=radial_basis(s, float(s.min()), float(s.max()), count=SPLINES).to(torch.float32),
        values=spectrum.deviation,
        free=free,
    )


def _ring_fit(
    problem: _Problem,
    spectrum: FlatSpectrum,
    vector: Float64[Tensor, "4"],
    linear: Float64[Tensor, " 2k"],
    cost: float,
) -> RingFit:
    s = spectrum.s_per_angstrom
    total = float((problem.values.to(torch.float64) ** 2).sum())
    return RingFit(
        defocus=Defocus.of_vector(vector),
        residual=cost / max(total, 1e-30),
        background_coefficients=linear[:SPLINES],
        envelope_coefficients=linear[SPLINES:],
        band_per_angstrom=(float(s.min()), float(s.max())),
    )


def _solve_linear(problem: _Problem, vector: Float64[Tensor, "4"]) -> tuple[Float64[Tensor, " 2k"], float]:
    """Best background and envelope for given rings, and the sum of squared residuals."""
    cosine, _ = problem.rings(vector)
    design = torch.cat([problem.basis, -cosine[:, None] * problem.basis], dim=1)
    normal = (design.T @ design).to(torch.float64)
    right = (design.T @ problem.values).to(torch.float64)
    normal += 1e-6 * normal.diagonal().mean() * torch.eye(len(normal), dtype=torch.float64, device=normal.device)
    solution = torch.linalg.solve(normal, right)
    residual = problem.values - design @ solution.to(torch.float32)
    return solution, float((residual.to(torch.float64) ** 2).sum())


def _step(
    problem: _Problem, vector: Float64[Tensor, "4"], linear: Float64[Tensor, " 2k"], damping: float
) -> Float64[Tensor, "4"]:
    """Damped Gauss-Newton step; background and envelope are eliminated from the normal equations."""
    cosine, sine = problem.rings(vector)
    envelope = problem.basis @ linear[SPLINES:].to(torch.float32)
    background = problem.basis @ linear[:SPLINES].to(torch.float32)
    residual = problem.values - (background - envelope * cosine)
    scale = problem.derivatives.abs().mean(0)
    slopes = (problem.derivatives / scale).to(torch.float32)[:, problem.free]
    jacobian = (2 * envelope * sine)[:, None] * slopes
    design = torch.cat([problem.basis, -cosine[:, None] * problem.basis], dim=1)
    inner = (design.T @ design).to(torch.float64)
    inner += 1e-6 * inner.diagonal().mean() * torch.eye(len(inner), dtype=torch.float64, device=inner.device)
    mixed = (design.T @ jacobian).to(torch.float64)
    normal = (jacobian.T @ jacobian).to(torch.float64) - mixed.T @ torch.linalg.solve(inner, mixed)
    right = (jacobian.T @ residual).to(torch.float64) - mixed.T @ torch.linalg.solve(
        inner, (design.T @ residual).to(torch.float64)
    )
    normal = normal + damping * torch.diag(normal.diagonal().clamp(min=1e-12))
    step = torch.zeros(4, dtype=torch.float64, device=vector.device)
    step[problem.free] = torch.linalg.solve(normal, right)
    return step / scale
