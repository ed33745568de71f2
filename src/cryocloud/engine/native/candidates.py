"""One pass over a block of scores that keeps each image's best candidates."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(cache=True)
def _compact(
    score: NDArray[np.float32], index: NDArray[np.int64], count: int, keep: int
) -> tuple[int, np.float32]:
    """Keep the ``keep`` best of the first ``count`` entries; returns how many and the new threshold."""
    threshold = np.partition(score[:count], count - keep)[count - keep]
    kept = 0
    for i in range(count):
        if score[i] >= threshold and kept < keep:
            score[kept], index[kept] = score[i], index[i]
            kept += 1
    return kept, threshold


@numba.njit(parallel=True, fastmath=True, cache=True)
def collect_candidates(
    cross: NDArray[np.float32],
    norm: NDArray[np.float32],
    log_prior_shift: NDArray[np.float32],
    scaling: tuple[float, float],
    first_reference: int,
    limits: tuple[int, int],
    score: NDArray[np.float32],
    index: NDArray[np.int64],
    count: NDArray[np.int64],
    best: NDArray[np.float32],
    threshold: NDArray[np.float32],
) -> None:
    """Append to each image's buffer the entries of log-posterior beta (2 cross - norm) + prior that may matter.

    ``cross`` is [b, s, o], ``norm`` [b, o] (with the references' log priors already subtracted, divided by beta),
    ``scaling`` = (beta, cut): entries more than ``cut`` below the best are left out.
    ``limits`` = (n_references, max_kept). Buffers ``score`` and ``index`` are [b, capacity]; index counts
    shift * n_references + reference.
    """
    beta, cut = np.float32(scaling[0]), np.float32(scaling[1])
    n_references, keep = limits
    capacity = score.shape[1]
    for i in numba.prange(cross.shape[0]):
        for s in range(cross.shape[1]):
            offset = s * n_references + first_reference
            prior = log_prior_shift[s]
            for o in range(cross.shape[2]):
                value = beta * (np.float32(2) * cross[i, s, o] - norm[i, o]) + prior
                if value > threshold[i]:
                    if value > best[i]:
                        best[i] = value
                        threshold[i] = max(threshold[i], value - cut)
                    if count[i] == capacity:
                        count[i], floor = _compact(score[i], index[i], capacity, keep)
                        threshold[i] = max(threshold[i], floor)
                    score[i, count[i]] = value
                    index[i, count[i]] = offset + o
                    count[i] += 1


@numba.njit(parallel=True, cache=True)
def finish_candidates(
    score: NDArray[np.float32],
    index: NDArray[np.int64],
    count: NDArray[np.int64],
    best: NDArray[np.float32],
    cut: float,
    keep: int,
) -> None:
    """Drop candidates below the final cut and beyond the ``keep`` best, best first."""
    for i in numba.prange(score.shape[0]):
        kept = 0
        for j in range(count[i]):
            if score[i, j] >= best[i] - cut:
                score[i, kept], index[i, kept] = score[i, j], index[i, j]
                kept += 1
        order = np.argsort(-score[i, :kept])[:keep]
        ordered_score, ordered_index = score[i, :kept][order], index[i, :kept][order]
        score[i, : len(order)], index[i, : len(order)] = ordered_score, ordered_index
        count[i] = len(order)


@numba.njit(parallel=True, fastmath=True, cache=True)
def rescore(
    weighted: NDArray[np.complex64],
    references: NDArray[np.complex64],
    ramps: NDArray[np.complex64],
    image: NDArray[np.int64],
    reference: NDArray[np.int64],
    shift: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    """out[m] = Re <weighted[image] ramps[shift], references[reference]> in float32."""
    for m in numba.prange(len(image)):
        x, r, p = weighted[image[m]], references[reference[m]], ramps[shift[m]]
        total = np.float32(0)
        for j in range(x.shape[0]):
            value = x[j] * p[j]
            total += value.real * r[j].real + value.imag * r[j].imag
        out[m] = total
