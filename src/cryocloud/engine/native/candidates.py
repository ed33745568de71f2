"""One pass over a block of scores that keeps each image's best candidates.

A search makes far more scores than it can store: 10,000 poses times 50 shifts an image. Each block of scores is
read once while it lies in the cache; only entries that can still belong to the best ``keep`` and that lie within
``cut`` of the best one are written to a short buffer.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(cache=True)
def _compact(
    score: NDArray[np.float32], index: NDArray[np.int64], count: int, keep: int
) -> tuple[int, np.float32]:
    """Shorten a full buffer to its ``keep`` best entries; of those that tie for the last place, the first ones stay.

    Both buffers are written. Returns how many entries stand in them, and that score, below which nothing needs to
    be collected any more. A selection costs O(count), once for every capacity - ``keep`` entries appended.
    """
    threshold = np.partition(score[:count], count - keep)[count - keep]
    ties = keep - np.sum(score[:count] > threshold)
    kept = 0
    for i in range(count):
        tied = score[i] == threshold
        if score[i] > threshold or (tied and ties > 0):
            score[kept], index[kept] = score[i], index[i]
            kept += 1
            ties -= tied
    return kept, threshold


# Not all of fastmath: scores begin at -inf, and log priors may be -inf.
@numba.njit(parallel=True, fastmath={"contract", "nsz"}, cache=True)
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

    Call it for every block of references, with the same buffers, then :func:`finish_candidates`. One thread works
    on one image, so that buffers need no locks.

    Parameters
    ----------
    cross
        Re <C X exp(-2 pi i k.s / D) / sigma^2, R>, [b, s, o]: image, shift, reference of this block.
    norm
        <C^2 / sigma^2, |R|^2> with the references' log priors, divided by beta, already subtracted, [b, o].
    log_prior_shift
        [s].
    scaling
        (beta, cut): the inverse temperature; entries more than ``cut`` below the best are left out.
    first_reference
        Number of the block's first reference.
    limits
        (n_references, keep): all references of the search, and how many candidates an image may have.
    score, index
        Buffers [b, capacity], written; index = shift * n_references + reference. Capacity must exceed ``keep``.
    count
        Filled part of each buffer [b], written; 0 before the first block.
    best, threshold
        Best score so far and score that an entry must exceed [b], written; -inf before the first block.

    Notes
    -----
    The threshold rises with the best score (best - cut) and whenever a buffer is full (the ``keep``-th best of
    it). Either leaves out only what could not stay in the end.
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
    """Drop candidates below the final cut and beyond the ``keep`` best, and sort the rest, best first.

    The cut is applied again because entries collected early were compared with a smaller best score.
    ``score``, ``index`` [b, capacity] and ``count`` [b] are written; what stands beyond ``count`` has no meaning.
    """
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
    """out[m] = Re <weighted[image] ramps[shift], references[reference]> in float32.

    The search may have used bfloat16; this gives its few survivors exact scores. ``weighted`` [b, n] is
    C X / sigma^2, ``references`` [o, n], ``ramps`` [s, n] exp(-2 pi i k.s / D); ``image``, ``reference`` and
    ``shift`` [m] say which rows a sample pairs. 10 n operations and 24 n bytes a sample.
    """
    for m in numba.prange(len(image)):
        x, r, p = weighted[image[m]], references[reference[m]], ramps[shift[m]]
        total = np.float32(0)
        for j in range(x.shape[0]):
            value = x[j] * p[j]
            total += value.real * r[j].real + value.imag * r[j].imag
        out[m] = total
