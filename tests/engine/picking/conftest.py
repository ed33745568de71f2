"""Micrographs of hollow or solid balls with known centers, dark on bright, in white noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from cryocloud.engine.optics import contrast_transfer
from cryocloud.engine.records.ctf_parameters import CtfParameters

PIXEL_ANGSTROM = 3.0
DIAMETER_ANGSTROM = 150.0
DEFOCUS_ANGSTROM = 15000.0


def one_ctf(defocus_angstrom: float = DEFOCUS_ANGSTROM) -> CtfParameters:
    values = (defocus_angstrom, defocus_angstrom, 0.0, 300.0, 2.7, 0.07, 0.0, 0.0)
    return CtfParameters(*(torch.tensor([value], dtype=torch.float64) for value in values))


def ball_points(kind: str, rng: np.random.Generator, count: int = 4000) -> np.ndarray:
    """Scatterers [n, 3] in Angstrom of a solid ball, of a shell, or of lumps within a ball."""
    direction = rng.normal(size=(count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    if kind == "solid":
        return direction * 70 * rng.uniform(size=(count, 1)) ** (1 / 3)
    if kind == "hollow":
        return direction * rng.uniform(45, 70, size=(count, 1))
    centers = rng.normal(size=(12, 3))
    centers *= 42 / np.linalg.norm(centers, axis=1, keepdims=True)
    return centers[rng.integers(12, size=count)] + direction * 28 * rng.uniform(size=(count, 1)) ** (1 / 3)


@dataclass(frozen=True)
class Simulated:
    image: Tensor
    centers_px: np.ndarray


def simulate(
    kind: str, *, count: int, snr: float, seed: int, edge_px: int = 600, crystals: int = 0
) -> Simulated:
    """``snr`` is the variance of the signal within the particles' discs over that of the noise per 1.5 Angstrom
    pixel; the pixels here are 3 Angstrom, so the noise is halved."""
    rng = np.random.default_rng(seed)
    radius_px = DIAMETER_ANGSTROM / 2 / PIXEL_ANGSTROM
    centers = _spread_out(rng, count, edge_px, radius_px)
    points = ball_points(kind, np.random.default_rng(5))
    projection = np.zeros((edge_px, edge_px))
    for center in centers:
        rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        pixels = np.round((points @ rotation)[:, :2] / PIXEL_ANGSTROM + center).astype(int)
        inside = ((pixels >= 0) & (pixels < edge_px)).all(1)
        np.add.at(projection, (pixels[inside, 1], pixels[inside, 0]), 1.0)
    sy, sx = np.fft.fftfreq(edge_px, PIXEL_ANGSTROM)[:, None], np.fft.rfftfreq(edge_px, PIXEL_ANGSTROM)[None]
    grid = [
        torch.from_numpy(np.broadcast_to(axis, (edge_px, edge_px // 2 + 1)).ravel().copy())
        for axis in (sx, sy)
    ]
    transfer = contrast_transfer(one_ctf(), *grid)[0].numpy().reshape(edge_px, -1)
    signal = np.fft.irfft2(
        np.fft.rfft2(projection) * transfer * np.exp(-60 * (sx**2 + sy**2)), s=(edge_px, edge_px)
    )
    y, x = np.mgrid[:edge_px, :edge_px]
    discs = np.zeros((edge_px, edge_px), dtype=bool)
    for center in centers:
        discs |= np.hypot(x - center[0], y - center[1]) < radius_px
    if count:
        signal *= np.sqrt(snr) / signal[discs].std()
    image = signal + 0.5 * rng.normal(size=signal.shape)
    for center in rng.uniform(0, edge_px, (crystals, 2)):
        image += 3.0 * (np.hypot(x - center[0], y - center[1]) < 0.8 * radius_px)
    return Simulated(torch.from_numpy((500 - 40 * image).astype(np.float32)), centers)


def _spread_out(rng: np.random.Generator, count: int, edge_px: int, radius_px: float) -> np.ndarray:
    centers: list[np.ndarray] = []
    while len(centers) < count:
        center = rng.uniform(radius_px, edge_px - radius_px, 2)
        if all(np.hypot(*(center - other)) > 1.9 * radius_px for other in centers):
            centers.append(center)
    return np.array(centers).reshape(-1, 2)


def recall_precision(picks_px: np.ndarray, truth_px: np.ndarray, within_px: float) -> tuple[float, float]:
    """Share of the truth that is found, share of the picks that are true; each is matched once."""
    distance = np.linalg.norm(picks_px[:, None] - truth_px[None], axis=2)
    rows, columns = linear_sum_assignment(np.where(distance <= within_px, distance, 1e6))
    hits = int((distance[rows, columns] <= within_px).sum())
    return hits / len(truth_px), hits / max(1, len(picks_px))


def f1(picks_px: np.ndarray, truth_px: np.ndarray, within_px: float = 7.5) -> float:
    recall, precision = recall_precision(picks_px, truth_px, within_px)
    return 2 * recall * precision / max(recall + precision, 1e-9)
