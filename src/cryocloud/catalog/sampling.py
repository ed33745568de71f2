"""Box and pixel sizes that suit a particle and the Fourier transform."""

from __future__ import annotations

import math

SMOOTH_PRIMES = (2, 3, 5, 7)


def good_box_size_px(at_least_px: float) -> int:
    """The smallest even number that has no prime factor above 7: such boxes are quick to transform."""
    size = 2 * math.ceil(at_least_px / 2)
    while not _is_smooth(size):
        size += 2
    return size


def _is_smooth(number: int) -> bool:
    for prime in SMOOTH_PRIMES:
        while number % prime == 0:
            number //= prime
    return number == 1
