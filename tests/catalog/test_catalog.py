"""Every job type in the catalog is complete and says what its numbers mean."""

import importlib.util

import pytest

from cryocloud.catalog import UnknownName, job_type_names, load_job_type, load_workflow, workflow_names
from cryocloud.catalog.base import Facts, Parameters
from cryocloud.catalog.fields import default_text, unit
from cryocloud.catalog.messages import plain_validation_message

RESERVED = {"out", "threads", "device", "seed", "progress", "overwrite"}
UNIT_OF_SUFFIX = {"_angstrom": "Å", "_px": "px", "_deg": "°", "_kv": "kV", "_mm": "mm", "_s": "s"}


@pytest.mark.parametrize("name", job_type_names())
def test_job_type_is_described_and_has_a_body(name):
    job_type = load_job_type(name)
    assert job_type.title
    assert job_type.summary.endswith(".")
    assert job_type.outputs
    assert importlib.util.find_spec(f"cryocloud.jobs.{name}"), "no job body"
    names = set(job_type.parameters.model_fields) | {entry.name for entry in job_type.inputs}
    assert not names & RESERVED


@pytest.mark.parametrize("name", job_type_names())
def test_parameters_have_help_defaults_and_the_unit_of_their_name(name):
    for parameter, field in load_job_type(name).parameters.model_fields.items():
        assert field.description, parameter
        assert default_text(field), parameter
        for suffix, expected in UNIT_OF_SUFFIX.items():
            if parameter.endswith(suffix):
                assert unit(field) == expected, parameter


@pytest.mark.parametrize("name", job_type_names())
def test_forecast_grows_with_the_work(name):
    job_type = load_job_type(name)
    required = {"particle_diameter_angstrom": 120.0, "box_size_px": 64, "symmetry": "C1"}
    given = {k: v for k, v in required.items() if k in job_type.parameters.model_fields}
    parameters = job_type.parameters(**given)
    small = job_type.forecast(parameters, Facts(10, 1000, 1000, 1, 64))
    large = job_type.forecast(parameters, Facts(1000, 4000, 4000, 40, 256))
    assert 0 < small.memory_bytes <= large.memory_bytes
    assert 0 <= small.disk_bytes <= large.disk_bytes
    assert 0 < small.cpu_s <= large.cpu_s


@pytest.mark.parametrize("name", workflow_names())
def test_workflow_is_described(name):
    workflow = load_workflow(name)
    assert workflow.title
    assert workflow.summary.endswith(".")


def test_unknown_names_are_answered_with_close_ones():
    with pytest.raises(UnknownName, match="did you mean spa"):
        load_workflow("spb")
    with pytest.raises(UnknownName, match="known: "):
        load_job_type("zzzzzz")


def test_unknown_parameters_are_refused_by_name():
    class Empty(Parameters):
        pass

    with pytest.raises(ValueError) as caught:
        Empty.model_validate({"box_size": 3})
    assert plain_validation_message(caught.value) == "--box-size is not a parameter of this job type"
