"""Two populations of scores: particles, and what only resembles them."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float64

ITERATIONS = 60
CLEAR_SEPARATION = 2.5
SMALLEST_SHARE = 0.03
FEWEST_SCORES = 20
# Particles cannot be won back later, other things can be classified away.
WORTH_A_LOOK = 0.1


def population_threshold(scores: Float64[np.ndarray, " n"]) -> float:
    """Score above which a peak has a chance of 10 % or more to belong to the upper of two normal populations.

    Side lobes beside particles, edges of ice and the like are more than chance but score below particles.
    The two populations are fitted by expectation maximization (60 steps from a split at the middle of the
    range); the chance is the posterior ``share_2 N_2 / (share_1 N_1 + share_2 N_2)``.

    Returns
    -------
    float
        Minus infinity where the scores do not fall into two clear populations: means closer than 2.5 times
        the root of the summed variances, an upper one of less than 3 % of the peaks, or fewer than 20
        scores.
    """
    if len(scores) < FEWEST_SCORES:
        return -math.inf
    split = float(np.mean([scores.min(), scores.max()]))
    belongs_up = 1 / (1 + np.exp(-(scores - split) / (0.1 * np.ptp(scores) + 1e-9)))
    for _ in range(ITERATIONS):
        low, high = _moments(scores, 1 - belongs_up), _moments(scores, belongs_up)
        belongs_up = _posterior(scores, low, high)
    (_, low_mean, low_variance), (share, high_mean, high_variance) = low, high
    if share < SMALLEST_SHARE or high_mean - low_mean < CLEAR_SEPARATION * math.sqrt(
        low_variance + high_variance
    ):
        return -math.inf
    between = np.linspace(low_mean, high_mean, 201)
    return float(between[np.argmax(_posterior(between, low, high) >= WORTH_A_LOOK)])


Population = tuple[float, float, float]
"""Share, mean, variance."""


def _moments(scores: Float64[np.ndarray, " n"], weight: Float64[np.ndarray, " n"]) -> Population:
    total = max(float(weight.sum()), 1e-9)
    mean = float((weight * scores).sum()) / total
    variance = float((weight * (scores - mean) ** 2).sum()) / total
    return total / len(scores), mean, max(variance, 1e-6)


def _posterior(
    scores: Float64[np.ndarray, " n"], low: Population, high: Population
) -> Float64[np.ndarray, " n"]:
    """Probability of the upper population."""

    def log_density(population: Population) -> Float64[np.ndarray, " n"]:
        share, mean, variance = population
        return np.asarray(math.log(share) - 0.5 * math.log(variance) - (scores - mean) ** 2 / (2 * variance))

    return np.asarray(1 / (1 + np.exp(np.clip(log_density(low) - log_density(high), -50, 50))))
