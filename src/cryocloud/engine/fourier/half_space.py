"""The independent Fourier coefficients of a real volume."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class HalfSpace:
    """Frequencies of a D^3 volume with 1 <= round(|k|) <= r_max, one of each Friedel pair, ordered by shell.

    A real volume has F(-k) = conj(F(k)): half of the coefficients hold everything, and sums over them count each
    measurement once. The rfft array has x >= 0 but both members of the pairs with x = 0; of these, one is left out
    here.

    Attributes
    ----------
    points
        Integer frequencies xyz, float32 [n, 3].
    shell
        round(|k|), int64 [n], ascending: a smaller band is a prefix.
    flat_index
        Place in a flattened rfftn array, int64 [n].
    """

    points: Tensor
    shell: Tensor
    flat_index: Tensor

    def __len__(self) -> int:
        return len(self.shell)


def half_space(box_size_px: int, r_max_px: int, device: torch.device | str = "cpu") -> HalfSpace:
    """Frequencies up to shell ``r_max_px`` (at most D/2 - 1, so that no Nyquist frequency enters)."""
    full = torch.fft.fftfreq(box_size_px, 1 / box_size_px, device=device)
    half = torch.fft.rfftfreq(box_size_px, 1 / box_size_px, device=device)
    z, y, x = (axis.flatten() for axis in torch.meshgrid(full, full, half, indexing="ij"))
    shell = (x**2 + y**2 + z**2).sqrt().round().long()
    twin = (x == 0) & ((y < 0) | ((y == 0) & (z < 0)))
    inside = (shell >= 1) & (shell <= min(r_max_px, box_size_px // 2 - 1)) & ~twin
    flat_index = inside.nonzero()[:, 0]
    flat_index = flat_index[torch.argsort(shell[flat_index], stable=True)]
    points = torch.stack([x[flat_index], y[flat_index], z[flat_index]], 1)
    return HalfSpace(points, shell[flat_index], flat_index)
