"""The numbers that jobs report, in words: what people call them, their unit, and what they mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryocloud.catalog.units import NOT_KNOWN, Form, number_text, split_unit, spoken_name, value_words


@dataclass(frozen=True)
class Metric:
    """A number that a job reports. ``help`` is one sentence for a person who has not met it before."""

    label: str
    help: str
    form: Form = "number"
    digits: int = 3


@dataclass(frozen=True)
class Spoken:
    """A number of a job as pages and reports show it."""

    name: str
    label: str
    text: str
    help: str = ""


_TO_MODEL = "Detail to which the map and the model agree (FSC 0.5)"

METRICS: Mapping[str, Metric] = {
    # Lists
    "micrographs": Metric("micrographs", "Micrographs that the job worked on with success.", "count"),
    "particles": Metric("particles", "Particles in the result.", "count"),
    "accepted": Metric("accepted", "Micrographs that are good enough to go on with.", "count"),
    "rejected": Metric("rejected", "Micrographs beyond a limit; each is listed with its reason.", "count"),
    "accepted_by_hand": Metric("accepted by hand", "Micrographs that a person accepted.", "count"),
    "rejected_by_hand": Metric("rejected by hand", "Micrographs that a person rejected.", "count"),
    "excluded": Metric("excluded", "Particles of the classes that were rejected.", "count"),
    "quarantined": Metric(
        "set aside", "Items that could not be used; each is listed with its reason.", "count"
    ),
    "duplicates": Metric("copies", "Items that repeat another one and were left out.", "count"),
    "rejected_at_edge": Metric(
        "left out at the edge", "Picks whose box reaches beyond the micrograph.", "count"
    ),
    "outside_image": Metric("outside", "Coordinates that lie outside of their micrograph.", "count"),
    "optics_groups": Metric(
        "optics groups", "Sets of images that were recorded with the same optics.", "count"
    ),
    "with_poses": Metric("with orientations", "Whether the particles came with orientations.", "yes_no"),
    "iterations": Metric("iterations", "How often the map and the orientations were improved.", "count"),
    # Images
    "image_width_px": Metric("image width", "Width of each micrograph.", "count"),
    "image_height_px": Metric("image height", "Height of each micrograph.", "count"),
    "box_size_px": Metric("box", "Edge of each particle image, or of the map.", "count"),
    "pixel_size_angstrom": Metric("pixel size", "Size of a pixel on the specimen.", digits=4),
    "pixel_size_mismatches": Metric(
        "other pixel sizes", "Files whose header says another pixel size than the one used.", "count"
    ),
    "pixel_size_unknown": Metric("unknown pixel sizes", "Files whose header says no pixel size.", "count"),
    "intensity_mean": Metric("intensity", "Mean gray value of a micrograph (median over the set).", digits=4),
    "intensity_deviation": Metric(
        "contrast of pixels", "Standard deviation of the gray values (median over the set).", digits=4
    ),
    "contrast": Metric(
        "contrast",
        "How much brighter the middle of the images is than their rim, in standard deviations; negative: darker.",
    ),
    "outlier_pixels": Metric(
        "replaced pixels", "Hot and dead pixels that were replaced by their surroundings.", "count"
    ),
    # CTF
    "defocus_median_angstrom": Metric("defocus", "Mean defocus of a micrograph (median over the set)."),
    "defocus_min_angstrom": Metric("smallest defocus", "Mean defocus of the micrograph nearest to focus."),
    "defocus_max_angstrom": Metric("largest defocus", "Mean defocus of the micrograph farthest from focus."),
    "astigmatism_median_angstrom": Metric(
        "astigmatism", "Difference of the two defoci (median over the set); small is good."
    ),
    "fit_resolution_median_angstrom": Metric(
        "CTF fit", "Finest detail to which the fitted CTF describes the Thon rings (median); small is good."
    ),
    "figure_of_merit_median": Metric(
        "figure of merit", "Correlation of the spectrum and the fitted CTF (median); 1 is perfect."
    ),
    # Picks
    "picks": Metric("picks", "Positions that were picked in all micrographs.", "count"),
    "picks_before": Metric("picks before", "Picks of the job that was edited.", "count"),
    "below_score": Metric("below the score", "Picks that the threshold on the score left out.", "count"),
    "erased": Metric("erased", "Picks that a person erased.", "count"),
    "added": Metric("added", "Picks that a person added.", "count"),
    "by_hand": Metric("by hand", "Picks in the result that a person made.", "count"),
    "picks_per_micrograph_median": Metric(
        "picks a micrograph", "Half of the micrographs have more, half fewer."
    ),
    "micrographs_without_picks": Metric(
        "micrographs without picks",
        "Micrographs on which nothing was found that chance does not explain.",
        "count",
    ),
    "contaminated": Metric(
        "on contamination", "Candidates that were left out because they lie on ice or carbon.", "count"
    ),
    "threshold_median": Metric("threshold", "Score above which a candidate is a pick (median over the set)."),
    # 2D
    "classes": Metric("classes", "Number of 2D classes that were asked for.", "count"),
    "classes_used": Metric("classes used", "2D classes that hold particles.", "count"),
    "classes_kept": Metric("classes kept", "2D classes whose particles go on.", "count"),
    "classes_rejected": Metric("classes rejected", "2D classes whose particles were left out.", "count"),
    "resolution_best_angstrom": Metric("best class", "Finest detail in the best class average."),
    "score_mean": Metric("score", "Mean quality of the classes from 0 to 1, weighted by their particles."),
    "effective_classes_mean": Metric(
        "classes a particle", "Number of classes among which a particle is undecided; 1 is certain."
    ),
    "class_probability_mean": Metric(
        "certainty of the class", "Mean probability of the class that a particle was given to.", "share"
    ),
    "shift_width_angstrom": Metric(
        "spread of shifts", "Standard deviation of the particles' shifts in their boxes."
    ),
    "shift_width_px": Metric(
        "spread of shifts", "Standard deviation of the particles' shifts in their boxes."
    ),
    "kept_fraction": Metric("kept", "Share of the particles that go on.", "share"),
    # 3D
    "trusted": Metric("to be trusted", "Whether the map passed the checks against chance.", "yes_no"),
    "seed_agreement_cc": Metric(
        "agreement of starts",
        "Correlation of the best map with that of another random start; 1 is the same map.",
    ),
    "log_evidence_gain": Metric(
        "evidence", "How much better the map explains particles kept aside than noise does (log, a particle)."
    ),
    "log_evidence_gain_error": Metric("error of the evidence", "Standard error of the evidence."),
    "log_evidence_gain_without_symmetry": Metric(
        "evidence without symmetry", "Evidence for the map before its symmetry was imposed."
    ),
    "symmetry_explained": Metric(
        "symmetry found", "Share of the map that obeys the symmetry which was asked for.", "share"
    ),
    "symmetry_explained_by_chance": Metric(
        "symmetry by chance",
        "The same share for axes in random directions; symmetry found should be more.",
        "share",
    ),
    "starts": Metric("random starts", "Random starts that were made until two agreed.", "count"),
    "pose_probability_median": Metric(
        "certainty of the orientation", "Probability of a particle's best orientation (median).", "share"
    ),
    "particles_class": Metric("particles of class", "Particles that this map was made from.", "count"),
    "resolution_angstrom": Metric(
        "resolution", "Finest detail on which independent halves of the data agree; small is good."
    ),
    "resolution_unmasked_angstrom": Metric(
        "resolution without mask",
        "Resolution of the whole box, where the noise around the particle counts, too.",
    ),
    "unmasked_resolution_angstrom": Metric(
        "resolution without mask", "Finest detail on which the half maps agree without a mask."
    ),
    "resolution_masked_angstrom": Metric(
        "resolution in the mask", "Resolution inside the mask, before the mask's own effect is removed."
    ),
    "fsc_0_5_angstrom": Metric(
        "resolution at FSC 0.5", "Detail at which the correlation of the shells falls below 0.5."
    ),
    "mask_fraction": Metric("volume of the mask", "Share of the box that lies inside the mask.", "share"),
    "particles_without_signal": Metric(
        "particles without signal", "Particles that the map explains no better than noise does.", "count"
    ),
    "pose_change_median_deg": Metric(
        "last change of orientation",
        "How far a particle turned in the last iteration (median); small means settled.",
    ),
    "b_factor_angstrom2": Metric("B-factor", "Sharpening that was applied; more negative is stronger."),
    "randomized_from_angstrom": Metric(
        "phases randomized from", "Finer detail was scrambled to measure the effect of the mask."
    ),
    "limited_by_pixel": Metric(
        "limited by the pixel", "Whether smaller pixels could show finer detail.", "yes_no"
    ),
    "directional_fsc_ratio": Metric(
        "evenness of directions", "Resolution of the worst over that of the best direction; 1 is even."
    ),
    "sampling_compensation_factor": Metric(
        "evenness of views", "How evenly the views cover all directions (SCF); 1 is even, below 0.8 is poor."
    ),
    "unseen_directions_fraction": Metric(
        "directions not seen", "Share of the directions of the map that no view contributes to.", "share"
    ),
    # Comparison with a model or with the truth
    "fsc_0_5_masked_angstrom": Metric("agreement in the mask", f"{_TO_MODEL} inside the mask."),
    "fsc_0_5_nominal_angstrom": Metric(
        "agreement at the nominal pixel size", f"{_TO_MODEL}, pixel size as stated."
    ),
    "fsc_0_5_masked_nominal_angstrom": Metric(
        "agreement in the mask at the nominal pixel size",
        f"{_TO_MODEL} inside the mask, pixel size as stated.",
    ),
    "correlation": Metric(
        "correlation", "Correlation of the map and the model where they lie on each other."
    ),
    "mirrored": Metric("mirrored", "Whether the mirror image of the model fits better.", "yes_no"),
    "pixel_size_calibrated_angstrom": Metric(
        "calibrated pixel size", "Pixel size at which the map and the model agree best.", digits=5
    ),
    "pixel_size_error_angstrom": Metric(
        "its error", "Standard error of the calibrated pixel size.", digits=2
    ),
    "fsc_truth_0.5_angstrom": Metric(
        "agreement with the truth", "Detail to which the map agrees with the true one (FSC 0.5)."
    ),
    "fsc_truth_masked_0.5_angstrom": Metric(
        "agreement in the mask", "Detail to which the map agrees with the true one inside the mask (FSC 0.5)."
    ),
    "cc_20A": Metric("correlation at 20 Å", "Correlation of the map with the true one, both at 20 Å."),
    "hand_flipped": Metric("mirror image", "Whether the map is the mirror image of the true one.", "yes_no"),
    "particles_matched": Metric("particles matched", "Particles that are among the simulated ones.", "count"),
    "true_particles": Metric("true particles", "Simulated particles that could have been found.", "count"),
    "recall": Metric("found", "Share of the true particles that were picked.", "share"),
    "precision": Metric("right", "Share of the picks that are true particles.", "share"),
    "median_pose_error_deg": Metric("error of orientation", "Angle to the true orientation (median)."),
    "pose_error_90_percent_deg": Metric(
        "error of orientation, 90 %", "Nine of ten particles are nearer to the true one."
    ),
    "median_shift_error_angstrom": Metric("error of position", "Distance to the true position (median)."),
    # Simulation
    "atoms": Metric("atoms", "Atoms of the model.", "count"),
    "chains": Metric("chains", "Chains of the model.", "count"),
    "mass_kda": Metric("mass", "Mass of the assembly."),
    "symmetry_operators": Metric("symmetric copies", "Copies that the symmetry makes of one part.", "count"),
    "mask_volume_nm3": Metric(
        "volume of the mask", "Volume inside the mask, its soft edge counted by its height."
    ),
    "shapes": Metric("shapes drawn", "Brush strokes, balls and cylinders that a person drew.", "count"),
    "diameter_angstrom": Metric("diameter", "Longest distance of two atoms."),
    "particle_diameter_angstrom": Metric("particle diameter", "Longest diameter of the particle."),
    "electrons_per_px": Metric("electrons a pixel", "Mean number of electrons in a pixel of the sum."),
    "snr": Metric("signal to noise", "Variance of the images without noise over that of the noise."),
    "junk": Metric("junk", "Images without a particle: empty, or with a lump of ice.", "count"),
}
"""By name. A number at the end of a reported name counts things of a kind: ``particles_class2``."""

_NUMBERED = re.compile(r"(.+?)(\d+)")


def metric_of(name: str) -> Metric | None:
    """What is known of a number; None for one that no job type of the catalog reports."""
    if name in METRICS:
        return METRICS[name]
    numbered = _NUMBERED.fullmatch(name)
    kind = METRICS.get(numbered[1]) if numbered else None
    return (
        Metric(f"{kind.label} {numbered[2]}", kind.help, kind.form, kind.digits)
        if kind and numbered
        else None
    )


def metric_unit(name: str) -> str:
    """The unit, which stands in the name."""
    return split_unit(name)[1]


def spoken_number(name: str, value: Any) -> Spoken:
    """Label and text of a number: "resolution", "7.1 Å" for ``resolution_angstrom`` 7.1."""
    known = metric_of(name) or Metric(spoken_name(name), "")
    if isinstance(value, bool | str):
        text = value_words(value)
    elif value is None:
        text = NOT_KNOWN
    else:
        text = number_text(value, metric_unit(name), form=known.form, digits=known.digits)
    return Spoken(name, known.label, text, known.help)
