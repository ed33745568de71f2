"""The plan of the workflow, driven with results as jobs would give them."""

import pytest
from pydantic import ValidationError

from cryocloud.catalog import job_type_names, load_job_type
from cryocloud.catalog.workflow import Conclusion, Finished, Step
from cryocloud.catalog.workflows.spa import (
    SpaParameters,
    choose_classes,
    choose_sampling,
    plan,
    what_noise_shows,
)

METRICS = {
    "import_micrographs": {"micrographs": 20, "pixel_size_angstrom": 1.5},
    "ctf": {"micrographs": 20},
    "curate": {"accepted": 19},
    "pick": {"picks": 3000},
    "extract": {"particles": 2900},
    "class2d": {"classes": 36},
    "select2d": {"particles": 2500},
    "abinitio": {"trusted": 1, "seed_agreement_cc": 0.97, "resolution_angstrom": 12.0},
    "refine": {"particles": 2500, "resolution_unmasked_angstrom": 7.2},
    "postprocess": {"resolution_angstrom": 6.8, "b_factor_angstrom2": -200.0},
}


def play(metrics=None, reference=None, failures=None) -> tuple[list[Step], Conclusion]:
    parameters = SpaParameters(particle_diameter_angstrom=125, symmetry="O")
    inputs = {"micrographs": "/data/*.mrc"} | ({"reference": reference} if reference else {})
    plan_ = plan(parameters, inputs)
    steps = [next(plan_)]
    while True:
        kind = steps[-1].job_type
        folder = f"{len(steps):03d}_{kind}"
        changes = (metrics or {}).get(kind, {}) | (metrics or {}).get(folder, {})
        finished = Finished(f"/P/{folder}", METRICS[kind] | changes, (failures or {}).get(folder, ""))
        try:
            steps.append(plan_.send(finished))
        except StopIteration as stop:
            return steps, stop.value


def test_steps_lead_from_micrographs_to_a_sharpened_map():
    steps, conclusion = play()
    assert [step.job_type for step in steps] == [
        "import_micrographs", "ctf", "curate", "pick", "extract", "class2d", "select2d", "abinitio", "extract",
        "refine", "postprocess", "extract", "refine",
    ]  # fmt: skip
    assert steps[9].inputs == {
        "input": "/P/009_extract/particles.star",
        "reference": "/P/008_abinitio/volume_class1.mrc",
    }
    assert conclusion.key_numbers["resolution_angstrom"] == 6.8
    assert conclusion.result == "/P/011_postprocess"


def test_given_reference_takes_the_place_of_the_ab_initio_map():
    steps, _ = play(reference="/data/map.mrc")
    assert "abinitio" not in [step.job_type for step in steps]
    refinements = [step for step in steps if step.job_type == "refine"]
    assert [step.inputs["reference"] for step in refinements] == ["/data/map.mrc"] * 2


def test_parameters_are_those_of_the_job_types():
    for step in play()[0]:
        if step.job_type not in job_type_names():
            pytest.fail(f"no job type {step.job_type}")
        job_type = load_job_type(step.job_type)
        job_type.parameters.model_validate(dict(step.parameters))
        assert set(step.inputs) <= {entry.name for entry in job_type.inputs}


def test_untrusted_start_map_is_said_plainly():
    steps, conclusion = play({"abinitio": {"trusted": 0, "seed_agreement_cc": 0.41}})
    assert "not to be trusted" in conclusion.warnings[0]
    doubts = [step.doubt for step in steps]
    assert doubts.index(conclusion.warnings[0]) == 8, "the first step after the ab-initio map"
    assert not any(step.doubt for step in play()[0])


@pytest.mark.parametrize(("control_angstrom", "warned"), [(13.0, False), (6.0, True)])
def test_resolution_that_noise_reaches_too_is_no_evidence(control_angstrom, warned):
    steps, conclusion = play({"013_refine": {"resolution_unmasked_angstrom": control_angstrom}})
    assert bool(conclusion.warnings) == warned
    assert conclusion.decisions[0].evidence == {"unmasked_resolution_angstrom": 7.2}
    assert [step.control for step in steps] == [False] * 11 + [True, True]
    particles, noise = steps[9], steps[12]
    assert noise.parameters == particles.parameters, "the control must be refined alike"
    assert noise.inputs["reference"] == particles.inputs["reference"]
    assert steps[11].parameters["noise_boxes"] == 2500


def test_workflow_goes_on_without_a_null_control():
    steps, conclusion = play(failures={"012_extract": "no room between the particles"})
    assert len(steps) == 12
    assert steps[-1].optional
    assert conclusion.decisions[0].why == "no room between the particles"
    assert conclusion.key_numbers["resolution_angstrom"] == 6.8


def test_start_resolution_is_no_finer_than_the_ab_initio_map():
    steps, _ = play({"abinitio": {"resolution_angstrom": 22.0}})
    assert steps[9].parameters["start_resolution_angstrom"] == 22.0
    steps, _ = play()
    assert steps[9].parameters["start_resolution_angstrom"] == 15.6


def test_missing_metric_names_the_file():
    with pytest.raises(LookupError, match=r"/P/008_abinitio/metrics.json: no number 'trusted'"):
        play({"abinitio": {"trusted": None}})


@pytest.mark.parametrize(
    ("diameter_angstrom", "pixel_size_angstrom"), [(125, 1.5), (125, 0.66), (300, 1.0), (80, 4.0), (900, 1.2)]
)
def test_sampling_suits_the_particle(diameter_angstrom, pixel_size_angstrom):
    sampling = choose_sampling(diameter_angstrom, pixel_size_angstrom)
    box_angstrom = sampling.box_size_px * pixel_size_angstrom
    # 1.6 diameters, and at most the next smooth size above it.
    assert 1.6 <= box_angstrom / diameter_angstrom < 1.8
    assert sampling.binned_box_size_px <= sampling.box_size_px
    assert diameter_angstrom < sampling.mask_diameter_angstrom < box_angstrom
    assert pixel_size_angstrom <= sampling.binned_pixel_size_angstrom <= max(5.0, pixel_size_angstrom)


@pytest.mark.parametrize(("particles", "classes"), [(100, 10), (2600, 32), (1_000_000, 50)])
def test_classes_follow_the_number_of_particles(particles, classes):
    assert choose_classes(particles) == classes


@pytest.mark.parametrize("name", ["Q7", "C0", "octahedral", ""])
def test_unknown_symmetry_is_refused_before_anything_starts(name):
    with pytest.raises(ValidationError, match="is not a point group"):
        SpaParameters(particle_diameter_angstrom=100, symmetry=name)


def test_symmetry_is_written_in_capitals():
    assert SpaParameters(particle_diameter_angstrom=100, symmetry="d7").symmetry == "D7"


@pytest.mark.parametrize(
    ("map_angstrom", "noise_angstrom", "said", "why"),
    [
        (6.9, 13.0, "detail finer than 13.0 Å is signal", "noise boxes, refined alike, reach 13.0 Å"),
        (6.9, 540.0, "detail finer than 15.6 Å is signal", "nothing finer than the start map"),
        (
            6.9,
            6.0,
            "no detail is proven",
            "the map reaches 6.9 Å, and noise boxes, refined alike, reach 6.0 Å",
        ),
        (16.0, 540.0, "no detail is proven", "the map reaches 16.0 Å"),
    ],
)
def test_the_control_reads_as_a_sentence(map_angstrom, noise_angstrom, said, why):
    value, reason = what_noise_shows(map_angstrom, noise_angstrom, 15.6)
    assert value == said
    assert why in reason
    assert "540" not in reason
