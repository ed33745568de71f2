"""Scores of in-plane poses, and sums of images aligned by them on padded half planes.

A shift's phase ramp is the product of two short tables over kx and ky, so samples may have any shift: a table
of whole ramps would need n values for each of them, two short tables need 1.5 D.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(cache=True)
def _ramp_tables(
    shift_px: NDArray[np.float32], box_size_px: int, reach: int
) -> tuple[NDArray[np.complex64], NDArray[np.complex64]]:
    """exp(-2 pi i k x / D) for k = 0 .. reach and exp(-2 pi i k y / D) for k = -reach .. reach.

    ``shift_px`` is (x, y). By repeated products in double precision: 20 times quicker than sines and cosines. The
    product of the two, at (kx, ky), moves an image's content by +shift.
    """
    along_x = np.empty(reach + 1, np.complex64)
    along_y = np.empty(2 * reach + 1, np.complex64)
    angle_x, angle_y = -2 * math.pi / box_size_px * shift_px[0], -2 * math.pi / box_size_px * shift_px[1]
    step_x = complex(math.cos(angle_x), math.sin(angle_x))
    step_y = complex(math.cos(angle_y), math.sin(angle_y))
    x = y = complex(1.0, 0.0)
    for k in range(reach + 1):
        along_x[k] = x
        along_y[reach + k] = y
        along_y[reach - k] = y.conjugate()
        x *= step_x
        y *= step_y
    return along_x, along_y


@numba.njit(parallel=True, fastmath=True, cache=True)
def score_samples(
    images: tuple[NDArray[np.complex64], NDArray[np.float32]],
    references: NDArray[np.complex64],
    pixels: tuple[NDArray[np.int32], NDArray[np.int32], int],
    image: NDArray[np.int64],
    reference: NDArray[np.int64],
    shift_px: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """out[m] = 2 Re <weighted ramp, reference> - <power, |reference|^2>, the log-likelihood of a sample.

    It is the log-likelihood ratio against an empty model: what all poses of an image share, -<X, X> / sigma^2, is
    left out. Priors and temperature are the caller's.

    Parameters
    ----------
    images
        (weighted = C X / sigma^2 complex64 [b, n], power = C^2 / sigma^2 float32 [b, n]).
    references
        Turned class averages, without CTF, complex64 [o, n].
    pixels
        (kx, ky, box size): integer frequencies int32 [n], kx >= 0, both at most D//2 in size.
    image, reference
        Rows that each of the m samples compares.
    shift_px
        [m, 2] (x, y): shift that centers the image, as in ``phase_ramps``.
    """
    kx, ky, box = pixels
    reach = box // 2
    for m in numba.prange(len(image)):
        x, c, r = images[0][image[m]], images[1][image[m]], references[reference[m]]
        along_x, along_y = _ramp_tables(shift_px[m], box, reach)
        total = np.float32(0)
        for j in range(r.shape[0]):
            value = x[j] * (along_x[kx[j]] * along_y[ky[j] + reach])
            real, imag = r[j].real, r[j].imag
            total += np.float32(2) * (value.real * real + value.imag * imag)
            total -= c[j] * (real * real + imag * imag)
        out[m] = total


@numba.njit(fastmath=True, cache=True)
def _spread(
    line: NDArray[np.complex64],
    line_weight: NDArray[np.float32],
    taps: tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.bool_]],
    first: int,
    numerator: NDArray[np.complex64],
    weight: NDArray[np.float32],
) -> None:
    """Spread one line of summed pixels over a plane with the kernel's weights, and clear the line.

    The transpose of ``plane.gather_taps``. Row ``first + p`` of ``taps`` = (index [., 16], weight [., 16],
    mirrored [.]) places pixel p; a mirrored point stands at its Friedel partner, where the value is conjugated.
    ``numerator``, ``weight``, ``line`` and ``line_weight`` are written.
    """
    index, tap, mirrored = taps
    for p in range(line.shape[0]):
        value, amount = line[p], line_weight[p]
        if mirrored[first + p]:
            value = np.conj(value)
        for t in range(index.shape[1]):
            place, share = index[first + p, t], tap[first + p, t]
            numerator[place] += share * value
            weight[place] += share * amount
        line[p] = 0
        line_weight[p] = 0


@numba.njit(parallel=True, fastmath=True, cache=True)
def add_class_samples(
    images: tuple[NDArray[np.complex64], NDArray[np.float32]],
    pixels: tuple[NDArray[np.int32], NDArray[np.int32], int],
    samples: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]],
    group_start: NDArray[np.int64],
    taps: tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.bool_]],
    numerator: NDArray[np.complex64],
    weight: NDArray[np.float32],
) -> None:
    """Add samples (image, angle, shift [m, 2], probability) to the half planes of their groups.

    With w the probability of a sample: numerator += spread(w C X ramp / sigma^2), weight += spread(w C^2 / sigma^2).
    Both sums lack what lies at kx < 0 until ``fourier.plane.friedel_completed``; their quotient then is the transform
    of the class average on the padded grid.

    Parameters
    ----------
    images, pixels
        As in :func:`score_samples`, here of whole images where scoring takes masked ones.
    samples
        image int64 [m], angle int64 [m], shift_px float32 [m, 2], probability float32 [m].
    group_start
        [g + 1]: samples ``group_start[g] .. group_start[g + 1]`` belong to plane g (a class, or a class in one
        half of the data) and are ordered by angle.
    taps
        ``PlaneTaps`` of the pixels turned by each angle: row ``angle * n + pixel``, 16 taps.
    numerator, weight
        complex64 and float32 [g, grid points], written.

    Notes
    -----
    Samples of one angle are summed on the pixel list first and spread over the plane once: a sum costs n
    products, spreading 16 n scattered additions. One thread works on one plane, so there are no races; few
    planes leave threads idle.
    """
    image, angle, shift_px, probability = samples
    kx, ky, box = pixels
    reach, n = box // 2, len(kx)
    for g in numba.prange(len(group_start) - 1):
        line = np.zeros(n, np.complex64)
        line_weight = np.zeros(n, np.float32)
        for m in range(group_start[g], group_start[g + 1]):
            x, c, w = images[0][image[m]], images[1][image[m]], probability[m]
            along_x, along_y = _ramp_tables(shift_px[m], box, reach)
            for j in range(n):
                line[j] += w * (x[j] * (along_x[kx[j]] * along_y[ky[j] + reach]))
                line_weight[j] += w * c[j]
            if m + 1 == group_start[g + 1] or angle[m + 1] != angle[m]:
                _spread(line, line_weight, taps, angle[m] * n, numerator[g], weight[g])
