"""Every pair of text and ground that the design system uses is readable: WCAG 2.2 AA, light and dark."""

import re
from pathlib import Path

import pytest

from cryocloud import web

STYLE = (Path(web.__file__).parent / "static/css/cryocloud.css").read_text(encoding="utf-8")
TEXT = 4.5
"""WCAG 1.4.3, text of normal size."""
SHAPE = 3.0
"""WCAG 1.4.11, borders of controls and signs."""
GROUNDS = ("paper", "surface", "sunken")
TEXT_PAIRS = [
    *((ink, ground) for ink in ("ink", "ink-2", "accent", "bad", "warn", "good") for ground in GROUNDS),
    *(
        (ink, soft)
        for ink in ("ink", "ink-2")
        for soft in ("accent-soft", "good-soft", "warn-soft", "bad-soft")
    ),
    *((name, f"{name}-soft") for name in ("good", "warn", "bad", "accent")),
    ("accent-strong", "accent-soft"),
    ("accent-strong", "sunken"),
    ("accent-ink", "accent"),
    ("accent-ink", "accent-strong"),
]
SHAPE_PAIRS = [(shape, ground) for shape in ("line-strong", "accent") for ground in GROUNDS]


def tokens(scheme):
    blocks = re.findall(r":root \{(.*?)\n\s*\}", STYLE, re.DOTALL)
    colors = {}
    for block in blocks[: 1 if scheme == "light" else 2]:
        colors |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
    return colors


def luminance(color):
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_formula_gives_the_known_extremes():
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_shapes_stand_out_from_their_ground(scheme):
    colors = tokens(scheme)
    weak = [
        f"{one} on {other}: {contrast(colors[one], colors[other]):.2f}"
        for pairs, least in ((TEXT_PAIRS, TEXT), (SHAPE_PAIRS, SHAPE))
        for one, other in pairs
        if contrast(colors[one], colors[other]) < least
    ]
    assert not weak


def test_colors_are_tokens_everywhere_else():
    rules = re.sub(r":root \{.*?\n\s*\}", "", STYLE, flags=re.DOTALL)
    assert set(re.findall(r"#[0-9a-fA-F]{3,8}\b", rules)) <= {"#ffffff"}
