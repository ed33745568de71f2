"""Levenberg-Marquardt refinement of poses, one thread a sample.

A slice, its five derivatives and their products are made in one pass over the pixels, in registers: nothing of
size n is stored. A slice and finite differences of three more would read the grid four times.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

_FLOAT_ARRAY = NDArray[np.float32]


@numba.njit(fastmath=True, cache=True)
def linearize(
    grid: NDArray[np.complex64],
    pixels: NDArray[np.float32],
    image: NDArray[np.complex64],
    transfer: NDArray[np.float32],
    inverse_sigma2: NDArray[np.float32],
    rotation: NDArray[np.float64],
    shift: NDArray[np.float64],
    scales: tuple[float, float],
    normal: NDArray[np.float64],
    gradient: NDArray[np.float64],
) -> float:
    """Misfit sum |m|^2/s2 - 2 Re <X, m>/s2 of one pose; fills the 5 x 5 normal matrix and the descent direction.

    The misfit is minus the log-likelihood, sum |X - m|^2 / s2, without the image's constant |X|^2 / s2. The model is
    m = C(k) F(M k) exp(+2 pi i k.t / D) with C the CTF, M the rotation, t the shift. Unknowns: the rotation vector v
    about the image's axes (rad), applied from the right as M exp([v]x), and the shift (px).

    Parameters
    ----------
    grid
        Transform of the reference [2R+1, 2R+1, R+1], as in ``slicing.slice_trilinear``.
    pixels
        [2, n] (kx, ky), integer frequencies.
    image, transfer, inverse_sigma2
        X, C (times the image's scale) and 1 / s2 of this image, [n].
    rotation, shift
        M [3, 3] and t [2] in px.
    scales
        (padding, 2 pi / D).
    normal
        N_ab = sum Re(conj(d_a) d_b) / s2 with d_a = dm / da, written. 2 N is the Gauss-Newton Hessian of the misfit:
        that of the likelihood without the second derivatives of the model.
    gradient
        g_a = sum Re(conj(d_a) (X - m)) / s2 = -1/2 of the misfit's derivative, written; N^-1 g is the Newton step.

    Notes
    -----
    The derivative is that of the trilinear interpolant itself, so that it belongs to the misfit that the steps are
    judged by. With F' the gradient along the columns x, y, n of M: dm/dv = (ky F'_n, -kx F'_n, kx F'_y - ky F'_x),
    times C and phase, because M (v x k) is how far a small turn moves the point; dm/dt = 2 pi i k m / D.
    """
    padding, turn = scales
    reach = grid.shape[2] - 1
    ax, ay, az = rotation[0, 0] * padding, rotation[1, 0] * padding, rotation[2, 0] * padding
    bx, by, bz = rotation[0, 1] * padding, rotation[1, 1] * padding, rotation[2, 1] * padding
    cx, cy, cz = rotation[0, 2] * padding, rotation[1, 2] * padding, rotation[2, 2] * padding
    n11 = n12 = n13 = n14 = n15 = n22 = n23 = n24 = n25 = 0.0
    n33 = n34 = n35 = n44 = n45 = n55 = 0.0
    g1 = g2 = g3 = g4 = g5 = misfit = 0.0
    for j in range(pixels.shape[1]):
        kx, ky = pixels[0, j], pixels[1, j]
        x, y, z = ax * kx + bx * ky, ay * kx + by * ky, az * kx + bz * ky
        sign = np.float32(1.0)
        if x < 0:
            x, y, z, sign = -x, -y, -z, np.float32(-1.0)
        x0, y0, z0 = int(x), math.floor(y), math.floor(z)
        fx, fy, fz = np.float32(x - x0), np.float32(y - y0), np.float32(z - z0)
        y0, z0 = y0 + reach, z0 + reach
        v000, v001 = grid[z0, y0, x0], grid[z0, y0, x0 + 1]
        v010, v011 = grid[z0, y0 + 1, x0], grid[z0, y0 + 1, x0 + 1]
        v100, v101 = grid[z0 + 1, y0, x0], grid[z0 + 1, y0, x0 + 1]
        v110, v111 = grid[z0 + 1, y0 + 1, x0], grid[z0 + 1, y0 + 1, x0 + 1]
        e00, e01 = v000 + (v001 - v000) * fx, v010 + (v011 - v010) * fx
        e10, e11 = v100 + (v101 - v100) * fx, v110 + (v111 - v110) * fx
        low, high = e00 + (e01 - e00) * fy, e10 + (e11 - e10) * fy
        value = low + (high - low) * fz
        dz = high - low
        dy = (e01 - e00) * (1 - fz) + (e11 - e10) * fz
        dx = ((v001 - v000) * (1 - fy) + (v011 - v010) * fy) * (1 - fz) + (
            (v101 - v100) * (1 - fy) + (v111 - v110) * fy
        ) * fz
        if sign < 0:
            value = value.conjugate()
            dx, dy, dz = -dx.conjugate(), -dy.conjugate(), -dz.conjugate()
        along_x = ax * dx + ay * dy + az * dz
        along_y = bx * dx + by * dy + bz * dz
        along_n = cx * dx + cy * dy + cz * dz
        angle = turn * (shift[0] * kx + shift[1] * ky)
        phase = complex(math.cos(angle), math.sin(angle)) * transfer[j]
        model = value * phase
        w = inverse_sigma2[j]
        d1, d2 = along_n * phase * ky, along_n * phase * (-kx)
        d3 = (along_y * kx - along_x * ky) * phase
        d4 = complex(-model.imag, model.real) * (turn * kx)
        d5 = complex(-model.imag, model.real) * (turn * ky)
        rr, ri = (image[j].real - model.real) * w, (image[j].imag - model.imag) * w
        misfit += w * (model.real * (model.real - 2 * image[j].real))
        misfit += w * (model.imag * (model.imag - 2 * image[j].imag))
        g1 += d1.real * rr + d1.imag * ri
        g2 += d2.real * rr + d2.imag * ri
        g3 += d3.real * rr + d3.imag * ri
        g4 += d4.real * rr + d4.imag * ri
        g5 += d5.real * rr + d5.imag * ri
        n11 += w * (d1.real * d1.real + d1.imag * d1.imag)
        n12 += w * (d1.real * d2.real + d1.imag * d2.imag)
        n13 += w * (d1.real * d3.real + d1.imag * d3.imag)
        n14 += w * (d1.real * d4.real + d1.imag * d4.imag)
        n15 += w * (d1.real * d5.real + d1.imag * d5.imag)
        n22 += w * (d2.real * d2.real + d2.imag * d2.imag)
        n23 += w * (d2.real * d3.real + d2.imag * d3.imag)
        n24 += w * (d2.real * d4.real + d2.imag * d4.imag)
        n25 += w * (d2.real * d5.real + d2.imag * d5.imag)
        n33 += w * (d3.real * d3.real + d3.imag * d3.imag)
        n34 += w * (d3.real * d4.real + d3.imag * d4.imag)
        n35 += w * (d3.real * d5.real + d3.imag * d5.imag)
        n44 += w * (d4.real * d4.real + d4.imag * d4.imag)
        n45 += w * (d4.real * d5.real + d4.imag * d5.imag)
        n55 += w * (d5.real * d5.real + d5.imag * d5.imag)
    gradient[0], gradient[1], gradient[2], gradient[3], gradient[4] = g1, g2, g3, g4, g5
    rows = (n11, n12, n13, n14, n15, n22, n23, n24, n25, n33, n34, n35, n44, n45, n55)
    place = 0
    for a in range(5):
        for b in range(a, 5):
            normal[a, b] = normal[b, a] = rows[place]
            place += 1
    return misfit


@numba.njit(cache=True)
def _rotated(rotation: NDArray[np.float64], step: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns rotation @ exp([step]x) by Rodrigues' formula: a turn by |step| rad about the image's own axes.

    With K the cross-product matrix of the step and a its length: 1 + sin(a)/a K + (1 - cos a)/a^2 K^2, with the
    limits 1 and 1/2 where a is too small to divide by. Only the first three entries of ``step`` are used.
    """
    angle = math.sqrt(step[0] ** 2 + step[1] ** 2 + step[2] ** 2)
    cross = np.array([[0.0, -step[2], step[1]], [step[2], 0.0, -step[0]], [-step[1], step[0], 0.0]])
    a = math.sin(angle) / angle if angle > 1e-9 else 1.0
    b = (1 - math.cos(angle)) / angle**2 if angle > 1e-6 else 0.5
    result: NDArray[np.float64] = rotation @ (np.eye(3) + a * cross + b * cross @ cross)
    return result


@numba.njit(cache=True)
def _damped_step(
    normal: NDArray[np.float64],
    gradient: NDArray[np.float64],
    shift: NDArray[np.float64],
    options: tuple[float, float, float],
) -> NDArray[np.float64]:
    """Solution of the damped normal equations; ``options`` = (shift prior, damping, largest rotation in rad).

    (A + damping diag(A)) step = g - P t, with A = N + P and P = diag(0, 0, 0, p, p) for a prior that adds p |t|^2
    to the misfit. Scaling the diagonal (Marquardt 1963) makes the step independent of the units of its parts.
    A step that turns further than the largest rotation is shortened as a whole, shift included.
    """
    prior, damping, largest = options
    system, right = normal.copy(), gradient.copy()
    for a in range(2):
        system[3 + a, 3 + a] += prior
        right[3 + a] -= prior * shift[a]
    for a in range(5):
        system[a, a] += damping * system[a, a] + 1e-12
    step = np.linalg.solve(system, right)
    angle = math.sqrt(step[0] ** 2 + step[1] ** 2 + step[2] ** 2)
    step *= min(1.0, largest / max(angle, 1e-12))
    bounded: NDArray[np.float64] = step.astype(np.float64)
    return bounded


@numba.njit(parallel=True, cache=True)
def refine_poses(
    grid: NDArray[np.complex64],
    pixels: NDArray[np.float32],
    images: NDArray[np.complex64],
    transfer: NDArray[np.float32],
    inverse_sigma2: NDArray[np.float32],
    image_of: NDArray[np.int64],
    settings: tuple[float, float, int, float, float],
    rotation: NDArray[np.float64],
    shift: NDArray[np.float64],
    misfit: NDArray[np.float64],
    normal: NDArray[np.float64],
) -> None:
    """Improve each sample's pose in place; ``misfit`` [m] and ``normal`` [m, 5, 5] describe where it ended.

    Parameters
    ----------
    grid, pixels
        As in :func:`linearize`.
    images, transfer
        [b, n] of all images; ``inverse_sigma2`` [n] is common to them.
    image_of
        Image of each of the m samples.
    settings
        (padding, 2 pi / D, steps, largest rotation step in rad, 1 / (2 sigma_shift^2)).
    rotation, shift
        float64 [m, 3, 3] and [m, 2] in px: start poses, written.
    misfit
        Minus the log posterior, shift prior included, without the image's constant, written.
    normal
        Normal matrix of the likelihood alone at the final pose, written.

    Notes
    -----
    A step that lowers the misfit is taken and damping falls to 0.3 of its value; otherwise the pose stays and
    damping rises fivefold. A gain below 0.01 in the log posterior, a hundredth of a mode's weight, ends a sample.
    Each step costs one slice with derivatives; samples are independent.
    """
    padding, turn, n_steps, largest, prior = settings
    scales = (padding, turn)
    for m in numba.prange(len(image_of)):
        x, c, w = images[image_of[m]], transfer[image_of[m]], inverse_sigma2
        damping = 1e-2
        gradient, trial_gradient, trial_normal = np.empty(5), np.empty(5), np.empty((5, 5))
        pose, move = rotation[m].copy(), shift[m].copy()
        cost = linearize(grid, pixels, x, c, w, pose, move, scales, normal[m], gradient)
        cost += prior * (move[0] ** 2 + move[1] ** 2)
        for _ in range(n_steps):
            step = _damped_step(normal[m], gradient, move, (prior, damping, largest))
            trial, trial_move = _rotated(pose, step), move + step[3:]
            trial_cost = linearize(
                grid, pixels, x, c, w, trial, trial_move, scales, trial_normal, trial_gradient
            )
            trial_cost += prior * (trial_move[0] ** 2 + trial_move[1] ** 2)
            if trial_cost >= cost:
                damping *= 5
                continue
            pose, move = trial, trial_move
            gain, cost = cost - trial_cost, trial_cost
            normal[m] = trial_normal
            gradient[:] = trial_gradient
            damping *= 0.3
            if gain < 1e-2:
                break
        rotation[m], shift[m], misfit[m] = pose, move, cost
