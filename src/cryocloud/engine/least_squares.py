"""Linear least squares that gives the same bits each time."""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64
from torch import Tensor


def least_squares(design: Float[Tensor, "n k"], values: Float[Tensor, "n m"]) -> Float64[Tensor, "k m"]:
    """Coefficients that bring ``design @ coefficients`` closest to ``values``, by normal equations in double precision.

    For few, well-scaled columns. ``torch.linalg.lstsq`` is more general, but its last bits depend on where in memory
    its copies lie, so that equal runs would differ.
    """
    double = design.to(torch.float64)
    solution: Tensor = torch.linalg.solve(double.T @ double, double.T @ values.to(torch.float64))
    return solution
