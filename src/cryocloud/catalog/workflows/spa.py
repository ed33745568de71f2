"""Single-particle analysis from micrographs to a sharpened map.

Diameter, pixel size and symmetry are all it asks for; every other choice is a decision with its reason.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass

from cryocloud.catalog.base import REQUIRED, Input, parameter
from cryocloud.catalog.optics import OpticsParameters
from cryocloud.catalog.sampling import good_box_size_px
from cryocloud.catalog.symmetry import PointGroup
from cryocloud.catalog.workflow import Conclusion, Decision, Finished, Plan, Step, Workflow

BOX_PER_DIAMETER = 1.6
MASK_PER_DIAMETER = 1.12
BINNED_BOX_PX = 64
BINNED_PIXEL_LIMIT_ANGSTROM = 5.0
PARTICLES_PER_CLASS = 80
CLASSES_MIN, CLASSES_MAX = 10, 50
CTF_FIT_FINEST_ANGSTROM = 4.0
CTF_FIT_PER_PIXEL = 2.5

Stretch = Generator[Step, Finished, Finished]
"""Some steps in a row; its value is the last job."""


class SpaParameters(OpticsParameters):
    particle_diameter_angstrom: float = parameter(
        REQUIRED, unit="Å", help="Longest diameter of the particle", gt=20, lt=3000
    )
    symmetry: PointGroup = parameter("C1", help="Point group of the particle: C1, C4, D2, T, O, I ...")


@dataclass(frozen=True)
class Sampling:
    """Sizes that follow from the diameter and the pixel size."""

    box_size_px: int
    binned_box_size_px: int
    binned_pixel_size_angstrom: float
    mask_diameter_angstrom: float


def plan(parameters: SpaParameters, inputs: Mapping[str, str]) -> Plan:
    """Import, CTF, curation, picking, 2D, a start map, refinement, post-processing."""
    optics = {name: getattr(parameters, name) for name in OpticsParameters.model_fields}
    imported = yield Step("import_micrographs", {"input": inputs["micrographs"]}, optics)
    pixel_size_angstrom = imported.metric("pixel_size_angstrom")
    sampling = choose_sampling(parameters.particle_diameter_angstrom, pixel_size_angstrom)
    curated = yield from _good_micrographs(imported, pixel_size_angstrom)
    binned = yield from _particles(parameters, sampling, curated)
    selected = yield from _classes(sampling, binned)
    reference = inputs.get("reference")
    warnings: list[str] = []
    if reference is None:
        start = yield from _start_map(parameters, sampling, selected)
        reference = start.file("volume_class1.mrc")
        warnings += trust_warnings(start)
    return (yield from _map(parameters, sampling, selected, reference, tuple(warnings)))


def choose_sampling(diameter_angstrom: float, pixel_size_angstrom: float) -> Sampling:
    """Box, binned box and mask from the diameter of the particle."""
    box_size_px = good_box_size_px(BOX_PER_DIAMETER * diameter_angstrom / pixel_size_angstrom)
    box_angstrom = box_size_px * pixel_size_angstrom
    binned_px = good_box_size_px(max(BINNED_BOX_PX, box_angstrom / BINNED_PIXEL_LIMIT_ANGSTROM))
    binned_px = min(box_size_px, binned_px)
    return Sampling(
        box_size_px=box_size_px,
        binned_box_size_px=binned_px,
        binned_pixel_size_angstrom=box_angstrom / binned_px,
        mask_diameter_angstrom=round(MASK_PER_DIAMETER * diameter_angstrom, 1),
    )


def choose_classes(particles: int) -> int:
    """Number of 2D classes for a number of particles."""
    return max(CLASSES_MIN, min(CLASSES_MAX, round(particles / PARTICLES_PER_CLASS)))


def trust_warnings(start: Finished) -> list[str]:
    """What must be said plainly when the ab-initio map may be wrong."""
    if start.metric("trusted") >= 1:
        return []
    agreement = start.metrics.get("seed_agreement_cc")
    seen = "" if agreement is None else f" (maps from independent starts correlate by {agreement:.2f} only)"
    return [
        f"The ab-initio map is not to be trusted{seen}, nor is anything that was refined from it. "
        "More particles, a cleaner selection of classes or a known reference may help."
    ]


def _good_micrographs(imported: Finished, pixel_size_angstrom: float) -> Stretch:
    finest_angstrom = max(CTF_FIT_FINEST_ANGSTROM, round(CTF_FIT_PER_PIXEL * pixel_size_angstrom, 1))
    decision = Decision(
        "CTF fitted up to",
        f"{finest_angstrom} Å",
        f"{CTF_FIT_PER_PIXEL} pixels, clear of the Nyquist limit, and no finer than Thon rings usually reach",
        {"pixel_size_angstrom": pixel_size_angstrom},
    )
    fitted = yield Step(
        "ctf",
        {"input": imported.file("micrographs.star")},
        {"resolution_max_angstrom": finest_angstrom},
        (decision,),
    )
    return (yield Step("curate", {"input": fitted.file("micrographs.star")}, {}))


def _particles(parameters: SpaParameters, sampling: Sampling, curated: Finished) -> Stretch:
    picked = yield Step(
        "pick",
        {"input": curated.file("micrographs.star")},
        {"particle_diameter_angstrom": parameters.particle_diameter_angstrom},
    )
    decisions = (
        Decision(
            "box",
            f"{sampling.box_size_px} px",
            f"{BOX_PER_DIAMETER} diameters, so that signal spread by defocus stays inside, made even and "
            "smooth for the Fourier transform",
            {"particle_diameter_angstrom": parameters.particle_diameter_angstrom},
        ),
        Decision(
            "box for 2D classes and start map",
            f"{sampling.binned_box_size_px} px of {sampling.binned_pixel_size_angstrom:.2f} Å",
            "classes and start maps need no more than twice that pixel size, and cost grows with the box",
        ),
    )
    sizes = {"box_size_px": sampling.box_size_px, "output_box_size_px": sampling.binned_box_size_px}
    return (yield Step("extract", {"input": picked.file("picks.star")}, sizes, decisions))


def _classes(sampling: Sampling, binned: Finished) -> Stretch:
    particles = int(binned.metric("particles"))
    classes = choose_classes(particles)
    classified = yield Step(
        "class2d",
        {"input": binned.file("particles.star")},
        {"classes": classes, "mask_diameter_angstrom": sampling.mask_diameter_angstrom},
        (
            Decision(
                "2D classes",
                classes,
                f"about {PARTICLES_PER_CLASS} particles a class, between {CLASSES_MIN} and {CLASSES_MAX}",
                {"particles": particles},
            ),
            Decision(
                "mask",
                f"{sampling.mask_diameter_angstrom} Å",
                f"{MASK_PER_DIAMETER} diameters: all of the particle and little of its neighbors",
            ),
        ),
    )
    return (yield Step("select2d", {"input": classified.file("particles.star")}, {}))


def _start_map(parameters: SpaParameters, sampling: Sampling, selected: Finished) -> Stretch:
    decision = Decision("start map", "ab initio", "no reference was given")
    return (
        yield Step(
            "abinitio",
            {"input": selected.file("particles.star")},
            {"symmetry": parameters.symmetry, "mask_diameter_angstrom": sampling.mask_diameter_angstrom},
            (decision,),
        )
    )


def _map(
    parameters: SpaParameters,
    sampling: Sampling,
    selected: Finished,
    reference: str,
    warnings: tuple[str, ...],
) -> Plan:
    extracted = yield Step(
        "extract",
        {"input": selected.file("particles.star")},
        {"box_size_px": sampling.box_size_px},
        (
            Decision(
                "particles cut again",
                f"{sampling.box_size_px} px, unbinned",
                "the selected particles, centered as the 2D classes found them",
                {"particles": selected.metrics.get("particles")},
            ),
        ),
    )
    refined = yield Step(
        "refine",
        {"input": extracted.file("particles.star"), "reference": reference},
        {"symmetry": parameters.symmetry, "mask_diameter_angstrom": sampling.mask_diameter_angstrom},
    )
    post = yield Step("postprocess", {"input": refined.folder}, {"symmetry": parameters.symmetry})
    return Conclusion(
        warnings=(*warnings, *control_warnings(refined, post)),
        key_numbers={
            "particles": refined.metric("particles"),
            "resolution_angstrom": post.metric("resolution_angstrom"),
            "b_factor_angstrom2": post.metric("b_factor_angstrom2"),
        },
    )


def control_warnings(refined: Finished, post: Finished) -> list[str]:
    """What the same refinement of noise says about the resolution that was found."""
    control_angstrom = refined.metrics.get("null_control_resolution_angstrom")
    if control_angstrom is None:
        return []
    resolution_angstrom = post.metric("resolution_angstrom")
    if resolution_angstrom < control_angstrom:
        return []
    return [
        f"The resolution of {resolution_angstrom:.1f} Å is no better than what the same refinement makes of "
        f"pure noise ({control_angstrom:.1f} Å): the map may show nothing but its reference."
    ]


WORKFLOW = Workflow(
    name="spa",
    title="Single-particle analysis",
    summary="From micrographs to a sharpened density map; decisions.json explains every choice on the way.",
    parameters=SpaParameters,
    inputs=(
        Input("micrographs", "micrographs", "Pattern of the micrographs, in quotes: 'mics/*.mrc'"),
        Input("reference", "map", "Start map (MRC); without it one is made ab initio", required=False),
    ),
    plan=plan,
)
