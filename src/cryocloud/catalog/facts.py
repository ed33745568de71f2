"""Sizes of an input from the numbers that jobs gave with their results; nothing is opened."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from cryocloud.catalog.base import Facts

ITEM_METRICS = {
    "micrographs.star": ("accepted", "micrographs"),
    "rejected.star": ("rejected",),
    "picks.star": ("picks",),
    "particles.star": ("particles",),
    "excluded.star": ("excluded",),
}
NUMBER_MAX = 1e12

Metrics = Mapping[str, object]


def facts_of_result(name: str, generations: Iterable[Sequence[Metrics]]) -> Facts:
    """Of the result ``name`` of a job, whose metrics come first; then come those of what it read, and so on.

    Its own numbers win over those of the jobs before it: a CTF job does not repeat the image size.
    """
    facts = Facts()
    for number, generation in enumerate(generations):
        for metrics in generation:
            named = ITEM_METRICS.get(name, ("particles",)) if number == 0 else ("particles",)
            counts = [count for key in named if (count := _count(metrics, key))]
            facts = facts.completed(
                Facts(
                    items=counts[0] if counts else 0,
                    image_height_px=_count(metrics, "image_height_px"),
                    image_width_px=_count(metrics, "image_width_px"),
                    box_size_px=_count(metrics, "box_size_px"),
                    micrographs=_count(metrics, "accepted") or _count(metrics, "micrographs"),
                    pixel_size_angstrom=number_in(metrics, "pixel_size_angstrom"),
                )
            )
    return facts


def facts_of_header(header: Metrics) -> Facts:
    """Of one image, stack or map whose header has been read."""
    width_px, height_px, sections = (_count(header, key) for key in ("width_px", "height_px", "sections"))
    is_cube = width_px == height_px == sections
    is_stack = header.get("content") == "stack"
    return Facts(
        image_height_px=height_px,
        image_width_px=width_px,
        box_size_px=width_px if is_cube or is_stack else 0,
        pixel_size_angstrom=number_in(header, "pixel_size_angstrom"),
    )


def number_in(metrics: Metrics, key: str) -> float:
    """Jobs write these numbers, and nobody believes them: zero for what is none, or is not finite and positive."""
    value = metrics.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(value) if 0 < value <= NUMBER_MAX else 0.0


def _count(metrics: Metrics, key: str) -> int:
    return int(number_in(metrics, key))
