"""Single-particle analysis from micrographs to a sharpened map.

Optics, diameter and symmetry are all it asks for; every other choice is a decision with its reason.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace

from cryocloud.catalog.base import REQUIRED, Input, parameter
from cryocloud.catalog.optics import OpticsParameters
from cryocloud.catalog.sampling import good_box_size_px
from cryocloud.catalog.symmetry import PointGroup
from cryocloud.catalog.types.abinitio import doubt
from cryocloud.catalog.workflow import Conclusion, Decision, Finished, Plan, Step, Workflow

BOX_PER_DIAMETER = 1.6
MASK_PER_DIAMETER = 1.12
BINNED_BOX_PX = 64
BINNED_PIXEL_LIMIT_ANGSTROM = 5.0
PARTICLES_PER_CLASS = 80
CLASSES_MIN, CLASSES_MAX = 10, 50
CTF_FIT_FINEST_ANGSTROM = 4.0
CTF_FIT_PER_PIXEL = 2.5
START_DETAILS_PER_DIAMETER = 8
START_FINEST_ANGSTROM, START_COARSEST_ANGSTROM = 10.0, 40.0

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


@dataclass(frozen=True)
class StartMap:
    """Where a refinement starts: a map, and the finest detail that its halves may share."""

    path: str
    resolution_angstrom: float
    why: str
    doubt: str = ""


def plan(parameters: SpaParameters, inputs: Mapping[str, str]) -> Plan:
    """Import, CTF, curation, picking, 2D, a start map, refinement, post-processing, null control."""
    optics = {name: getattr(parameters, name) for name in OpticsParameters.model_fields}
    imported = yield Step("import_micrographs", {"input": inputs["micrographs"]}, optics)
    pixel_size_angstrom = imported.metric("pixel_size_angstrom")
    sampling = choose_sampling(parameters.particle_diameter_angstrom, pixel_size_angstrom)
    curated = yield from _good_micrographs(imported, pixel_size_angstrom)
    diameter = {"particle_diameter_angstrom": parameters.particle_diameter_angstrom}
    picked = yield Step("pick", {"input": curated.file("micrographs.star")}, diameter)
    selected = yield from _good_particles(sampling, picked)
    start = yield from _start_map(parameters, sampling, selected, inputs.get("reference"))
    particles = yield _extracted_again(sampling, selected, start)
    refined = yield _refinement(parameters, sampling, particles, start)
    post = yield Step("postprocess", {"input": refined.folder}, {"symmetry": parameters.symmetry})
    control = yield from _null_control(parameters, sampling, picked, refined, start)
    return _conclusion(refined, post, control, start)


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


def choose_start_resolution_angstrom(diameter_angstrom: float) -> float:
    """Coarse enough to share little, fine enough that the particle has a shape at all."""
    wanted_angstrom = diameter_angstrom / START_DETAILS_PER_DIAMETER
    return round(min(max(wanted_angstrom, START_FINEST_ANGSTROM), START_COARSEST_ANGSTROM), 1)


def _good_micrographs(imported: Finished, pixel_size_angstrom: float) -> Stretch:
    finest_angstrom = max(CTF_FIT_FINEST_ANGSTROM, round(CTF_FIT_PER_PIXEL * pixel_size_angstrom, 1))
    decision = Decision(
        "CTF fitted up to",
        f"{finest_angstrom:g} Å",
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


def _good_particles(sampling: Sampling, picked: Finished) -> Stretch:
    """Small boxes, sorted into classes, of which the good ones are kept."""
    binned = yield _extracted_binned(sampling, picked)
    particles = int(binned.metric("particles"))
    classes = choose_classes(particles)
    why_classes = (
        f"about {PARTICLES_PER_CLASS} particles a class, from {CLASSES_MIN} to {CLASSES_MAX} classes"
    )
    why_mask = f"{MASK_PER_DIAMETER} diameters: all of the particle and little of its neighbors"
    classified = yield Step(
        "class2d",
        {"input": binned.file("particles.star")},
        {"classes": classes, "mask_diameter_angstrom": sampling.mask_diameter_angstrom},
        (
            Decision("2D classes", classes, why_classes, {"particles": particles}),
            Decision("mask diameter", f"{sampling.mask_diameter_angstrom:g} Å", why_mask),
        ),
    )
    return (yield Step("select2d", {"input": classified.file("particles.star")}, {}))


def _extracted_binned(sampling: Sampling, picked: Finished) -> Step:
    box = Decision(
        "box",
        f"{sampling.box_size_px} px",
        f"{BOX_PER_DIAMETER} diameters, so that signal spread by defocus stays inside; even and smooth for the "
        "Fourier transform",
    )
    binned = Decision(
        "box for 2D classes and start map",
        f"{sampling.binned_box_size_px} px of {sampling.binned_pixel_size_angstrom:.2f} Å",
        "classes and start maps need no more than twice that pixel size, and cost grows with the box",
    )
    sizes = {"box_size_px": sampling.box_size_px, "output_box_size_px": sampling.binned_box_size_px}
    return Step("extract", {"input": picked.file("picks.star")}, sizes, (box, binned))


def _start_map(
    parameters: SpaParameters, sampling: Sampling, selected: Finished, reference: str | None
) -> Generator[Step, Finished, StartMap]:
    resolution_angstrom = choose_start_resolution_angstrom(parameters.particle_diameter_angstrom)
    why = (
        f"{START_DETAILS_PER_DIAMETER} details across the diameter show a shape, and the halves share no more"
    )
    if reference is not None:
        return StartMap(reference, resolution_angstrom, why)
    abinitio = yield Step(
        "abinitio",
        {"input": selected.file("particles.star")},
        {"symmetry": parameters.symmetry, "mask_diameter_angstrom": sampling.mask_diameter_angstrom},
        (Decision("start map", "ab initio", "no reference was given"),),
    )
    reached_angstrom = abinitio.metric("resolution_angstrom")
    if reached_angstrom > resolution_angstrom:
        resolution_angstrom, why = round(reached_angstrom, 1), "what the ab-initio map reaches"
    reason = doubt({"trusted": abinitio.metric("trusted")})
    return StartMap(abinitio.file("volume_class1.mrc"), resolution_angstrom, why, reason)


def _extracted_again(sampling: Sampling, selected: Finished, start: StartMap) -> Step:
    decision = Decision(
        "particles cut again",
        f"{sampling.box_size_px} px, unbinned",
        "the selected particles, centered as the 2D classes found them",
        {"particles": selected.metric("particles")},
    )
    return Step(
        "extract",
        {"input": selected.file("particles.star")},
        {"box_size_px": sampling.box_size_px},
        (decision,),
        doubt=start.doubt,
    )


def _refinement(parameters: SpaParameters, sampling: Sampling, particles: Finished, start: StartMap) -> Step:
    return Step(
        "refine",
        {"input": particles.file("particles.star"), "reference": start.path},
        {
            "symmetry": parameters.symmetry,
            "mask_diameter_angstrom": sampling.mask_diameter_angstrom,
            "start_resolution_angstrom": start.resolution_angstrom,
        },
        (Decision("start resolution", f"{start.resolution_angstrom:g} Å", start.why),),
    )


def _null_control(
    parameters: SpaParameters, sampling: Sampling, picked: Finished, refined: Finished, start: StartMap
) -> Stretch:
    """The same refinement of boxes without particles: what it makes of noise."""
    particles = int(refined.metric("particles"))
    decision = Decision(
        "null control",
        f"{particles:,} noise boxes",
        "cut between the particles and refined alike; detail that they show too is no evidence",
    )
    noise = yield Step(
        "extract",
        {"input": picked.file("picks.star")},
        {
            "box_size_px": sampling.box_size_px,
            "noise_boxes": particles,
            "particle_diameter_angstrom": parameters.particle_diameter_angstrom,
        },
        (decision,),
        optional=True,
        control=True,
    )
    if noise.failure:
        return noise
    return (yield replace(_refinement(parameters, sampling, noise, start), control=True))


def _conclusion(refined: Finished, post: Finished, control: Finished, start: StartMap) -> Conclusion:
    resolution_angstrom = post.metric("resolution_angstrom")
    warnings: tuple[str, ...] = (start.doubt,) if start.doubt else ()
    if control.failure:
        evidence = Decision("evidence", "no null control", control.failure)
    else:
        control_angstrom = control.metric("resolution_unmasked_angstrom")
        unmasked_angstrom = refined.metric("resolution_unmasked_angstrom")
        evidence = Decision(
            "evidence",
            *what_noise_shows(unmasked_angstrom, control_angstrom, start.resolution_angstrom),
            {"unmasked_resolution_angstrom": unmasked_angstrom},
        )
        warnings += control_warnings(unmasked_angstrom, control_angstrom)
    return Conclusion(
        result=post.folder,
        decisions=(evidence,),
        warnings=warnings,
        key_numbers={
            "particles": refined.metric("particles"),
            "resolution_angstrom": resolution_angstrom,
            "b_factor_angstrom2": post.metric("b_factor_angstrom2"),
        },
    )


def what_noise_shows(
    resolution_angstrom: float, control_angstrom: float, start_angstrom: float
) -> tuple[str, str]:
    """In a few words which detail of a map is signal, and why."""
    if control_angstrom >= start_angstrom:
        finest_angstrom = start_angstrom
        why = "noise boxes, refined alike, agree on nothing finer than the start map that they share"
    else:
        finest_angstrom = control_angstrom
        why = f"noise boxes, refined alike, reach {control_angstrom:.1f} Å; what is coarser may come from the start map"
    if resolution_angstrom >= finest_angstrom:
        return "no detail is proven", f"the map reaches {resolution_angstrom:.1f} Å, and {why}"
    return f"detail finer than {finest_angstrom:.1f} Å is signal", why


def control_warnings(resolution_angstrom: float, control_angstrom: float) -> tuple[str, ...]:
    """What the same refinement of noise says about the resolution that was found."""
    if resolution_angstrom < control_angstrom:
        return ()
    return (
        f"The unmasked resolution of {resolution_angstrom:.1f} Å is no better than what the same refinement "
        f"makes of pure noise ({control_angstrom:.1f} Å): the map may show nothing but what it was started from.",
    )


WORKFLOW = Workflow(
    name="spa",
    title="Single-particle analysis",
    summary="From micrographs to a sharpened density map; every choice on the way is explained.",
    parameters=SpaParameters,
    inputs=(
        Input("micrographs", "micrograph_files", "Pattern of the micrographs, in quotes: 'mics/*.mrc'"),
        Input("reference", "map", "Start map (MRC); without it one is made ab initio", required=False),
    ),
    plan=plan,
)
