"""Forms made from the catalog: every type of parameter is drawn and read, and nothing that was typed is lost."""

import re
from html.parser import HTMLParser

import pytest

from cryocloud.catalog import job_type_names, load_job_type
from cryocloud.web.core.clock import now
from cryocloud.web.metering.models import UsageRecord
from cryocloud.web.organizations.models import Role
from cryocloud.web.runs.models import Job, Run

REQUIRED = {"particle_diameter_angstrom": "125", "box_size_px": "128"}


class FormReader(HTMLParser):
    """What a browser would send: names and values of the controls as they stand."""

    def __init__(self, page):
        super().__init__()
        self.values, self.controls, self.described, self.labels, self.ids = {}, {}, [], set(), []
        self._inside, self._select = False, None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.ids += [given["id"]] if "id" in given else []
        if tag == "form":
            self._inside = given.get("id") == "order"
        if not self._inside:
            return
        name = given.get("name")
        if tag == "label":
            self.labels.add(given["for"])
        if name and tag in ("input", "select") and given.get("type") != "hidden":
            self.controls[name] = given
        if tag == "input" and (given.get("type") != "checkbox" or "checked" in given):
            self.values[name] = given.get("value", "")
        if tag == "select":
            self._select = name
            self.values.setdefault(name, "")
        if tag == "option" and self._select and ("selected" in given or not self.values[self._select]):
            self.values[self._select] = given.get("value", "")

    def handle_endtag(self, tag):
        if tag == "select":
            self._select = None
        if tag == "form":
            self._inside = False


def form_at(member, path):
    answer = member.client.get(path)
    assert answer.status_code == 200
    return FormReader(answer.content.decode())


def job_path(lab, name):
    return f"/projects/{lab.project.pk}/jobs/{name}/new/"


def workflow_path(lab):
    return f"/projects/{lab.project.pk}/workflows/spa/new/"


def filled(reader, lab, **changes):
    """The values of the form, with what is required and has no default."""
    sent = {name: value for name, value in reader.values.items() if name and name != "csrfmiddlewaretoken"}
    for name, value in REQUIRED.items():
        if f"parameter-{name}" in sent and not sent[f"parameter-{name}"]:
            sent[f"parameter-{name}"] = value
    for name in reader.controls:
        if name.startswith("input-") and not sent[name] and "optional" not in name:
            sent[name] = ""
    return sent | changes


@pytest.mark.parametrize("name", job_type_names())
def test_every_parameter_is_drawn_and_the_defaults_come_back_unchanged(owner, laboratory, name):
    job_type = load_job_type(name)
    reader = form_at(owner, job_path(laboratory, name))
    drawn = {key.removeprefix("parameter-") for key in reader.controls if key.startswith("parameter-")}
    assert drawn == set(job_type.parameters.model_fields)
    for key, control in reader.controls.items():
        assert control["id"] in reader.labels, key
        assert set(control.get("aria-describedby", "").split()) <= set(reader.ids), key
    assert len(reader.ids) == len(set(reader.ids))
    sent = filled(reader, laboratory)
    for one in job_type.inputs:
        if one.required and not sent[f"input-{one.name}"]:
            sent[f"input-{one.name}"] = f"dataset:{laboratory.dataset.pk}"
    answer = owner.client.post(job_path(laboratory, name), sent)
    assert answer.status_code == 302, re.findall(r'class="error">[^<]+', answer.content.decode())
    made = Job.unscoped.get(pk=answer["Location"].split("/")[2])
    given = {
        key: value for key, value in REQUIRED.items() if key in drawn and sent[f"parameter-{key}"] == value
    }
    required = {
        key: value for key, value in given.items() if job_type.parameters.model_fields[key].is_required()
    }
    expected = job_type.parameters.model_validate({**required, **_prefilled(reader)})
    assert made.parameters == {**expected.model_dump(mode="json"), **_typed(job_type, given)}


def _prefilled(reader):
    return {
        key.removeprefix("prefilled-"): value
        for key, value in reader.values.items()
        if key and key.startswith("prefilled-")
    }


def _typed(job_type, given):
    """Optional parameters that this test filled in although they need not be."""
    complete = job_type.parameters.model_validate(given)
    return {key: complete.model_dump(mode="json")[key] for key in given}


def test_lists_words_switches_and_blanks_are_read(owner, laboratory):
    lab = laboratory
    sent = filled(form_at(owner, job_path(lab, "select2d")), lab, **{"parameter-include": "3, 7 12"})
    answer = owner.client.post(job_path(lab, "select2d"), sent)
    assert Job.unscoped.get(pk=answer["Location"].split("/")[2]).parameters["include"] == [3, 7, 12]
    sent = filled(form_at(owner, job_path(lab, "extract")), lab) | {
        "parameter-number_type": "float16",
        "parameter-recenter": "off",
        "parameter-output_box_size_px": "",
        "parameter-score_min": "-1.5",
    }
    answer = owner.client.post(job_path(lab, "extract"), sent)
    made = Job.unscoped.get(pk=answer["Location"].split("/")[2]).parameters
    assert (made["number_type"], made["recenter"], made["output_box_size_px"], made["score_min"]) == (
        "float16",
        False,
        None,
        -1.5,
    )


def test_constraints_stand_on_the_controls(owner, laboratory):
    reader = form_at(owner, job_path(laboratory, "extract"))
    box = reader.controls["parameter-box_size_px"]
    assert (box["min"], box["max"], box["step"], "required" in box) == ("16", "4096", "1", True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parameter-symmetry": "Q7"}, "point group"),
        ({"parameter-particle_diameter_angstrom": ""}, "required"),
        ({"parameter-particle_diameter_angstrom": "5"}, "greater than 20"),
        ({"parameter-particle_diameter_angstrom": "1e999"}, "than 3000"),
        ({"parameter-voltage_kv": "three hundred"}, "number"),
        ({"input-micrographs": ""}, "Choose what"),
        ({"input-micrographs": "dataset:nothing"}, ""),
        ({"seed": "-1"}, "whole number"),
        ({"seed": "9" * 5000}, "whole number"),
        ({"parameter-symmetry": "<script>alert(1)</script>" * 500}, "point group"),
    ],
)
def test_mistakes_are_named_and_everything_typed_is_kept(owner, laboratory, changes, message):
    reader = form_at(owner, workflow_path(laboratory))
    sent = filled(reader, laboratory, **({"parameter-amplitude_contrast": "0.123"} | changes))
    answer = owner.client.post(workflow_path(laboratory), sent)
    page = answer.content.decode()
    assert answer.status_code in (404, 422)
    assert Run.unscoped.count() == 1
    if message:
        assert re.search(rf'class="error">[^<]*{message}', page)
        assert 'value="0.123"' in page
        assert "<script>alert" not in page


def test_a_complaint_about_two_values_stands_beside_the_first(owner, laboratory):
    reader = form_at(owner, job_path(laboratory, "ctf"))
    sent = filled(reader, laboratory, **{"parameter-defocus_min_angstrom": "60000"})
    page = owner.client.post(job_path(laboratory, "ctf"), sent).content.decode()
    field = page[page.index('id="parameter-defocus_min_angstrom"') :]
    assert "must be below" in field[: field.index('id="finding-defocus_min_angstrom"')]
    assert "<details" in page and re.search(r'<details class="card" open', page)


def test_the_microscope_is_filled_in_from_the_dataset_and_follows_another_choice(owner, laboratory):
    lab = laboratory
    reader = form_at(owner, workflow_path(lab))
    assert reader.values["input-micrographs"] == f"dataset:{lab.dataset.pk}"
    assert reader.values["parameter-voltage_kv"] == "300"
    other = type(lab.dataset).unscoped.create(
        organization=owner.organization,
        name="Talos",
        profile={"voltage_kv": 200.0},
        created_by_id=owner.user.pk,
    )
    sent = filled(
        reader, lab, **{"input-micrographs": f"dataset:{other.pk}", "parameter-pixel_size_angstrom": "1.37"}
    )
    answer = owner.client.get(
        workflow_path(lab), sent, headers={"HX-Target": "order-fields", "HX-Request": "true"}
    )
    again = FormReader('<form id="order">' + answer.content.decode())
    assert "<html" not in answer.content.decode()
    assert again.values["parameter-voltage_kv"] == "200"
    assert again.values["parameter-pixel_size_angstrom"] == "1.37"
    assert again.values["parameter-amplitude_contrast"] == ""


def test_a_workflow_starts_and_its_page_shows_the_first_step(owner, laboratory):
    sent = filled(
        form_at(owner, workflow_path(laboratory)), laboratory, **{"parameter-symmetry": "o", "seed": "7"}
    )
    answer = owner.client.post(workflow_path(laboratory), sent, follow=True)
    assert answer.status_code == 200
    run = Run.unscoped.get(number=2)
    assert (run.parameters["symmetry"], run.seed) == ("O", 7)
    assert "Import micrographs" in answer.content.decode()


def test_cloning_takes_parameters_inputs_and_seed_along(owner, laboratory):
    job = laboratory.running
    reader = form_at(owner, job_path(laboratory, "refine") + f"?clone={job.pk}")
    assert reader.values["parameter-symmetry"] == "O"
    sent = filled(reader, laboratory, **{"parameter-max_iterations": "9"})
    made = Job.unscoped.get(
        pk=owner.client.post(job_path(laboratory, "refine"), sent)["Location"].split("/")[2]
    )
    assert made.cloned_from_id == job.pk
    assert made.inputs == job.inputs
    assert made.parameters == {**job.parameters, "max_iterations": 9}


def test_findings_come_beside_the_fields_while_the_form_is_filled_in(owner, laboratory):
    path = job_path(laboratory, "refine")
    reader = form_at(owner, path)
    check = path.replace("/new/", "/check/")
    fine = owner.client.post(check, filled(reader, laboratory)).content.decode()
    assert "<dt>Memory</dt>" in fine and "<dt>Disk</dt>" in fine
    bad = owner.client.post(
        check, filled(reader, laboratory, **{"parameter-max_modes": "99"})
    ).content.decode()
    beside = bad[bad.index('id="finding-max_modes"') :]
    assert 'data-level="error"' in beside[: beside.index("</div>")]
    assert Job.unscoped.filter(project=laboratory.project).count() == 16


def test_nothing_typed_is_lost_when_the_compute_is_used_up(owner, laboratory):
    sent = filled(
        form_at(owner, workflow_path(laboratory)), laboratory, **{"parameter-amplitude_contrast": "0.123"}
    )
    UsageRecord.unscoped.create(
        organization=owner.organization, attempt_id="another", job_type="ctf", wall_s=1.0, cpu_s=1.0,
        peak_memory_bytes=1, billed_s=20 * 3600, ended="succeeded", started_at=now(), finished_at=now(),
    )  # fmt: skip
    answer = owner.client.post(workflow_path(laboratory), sent)
    assert answer.status_code == 422
    assert "20 hours of compute of the trial are used up" in answer.content.decode()
    assert 'value="0.123"' in answer.content.decode()


def test_unknown_names_and_strangers_get_nothing(owner, stranger, laboratory, make_member):
    assert owner.client.get(job_path(laboratory, "nonsense")).status_code == 404
    assert owner.client.get(workflow_path(laboratory).replace("spa", "spb")).status_code == 404
    for path in (job_path(laboratory, "refine"), workflow_path(laboratory)):
        for address in (path, path.replace("/new/", "/check/")):
            assert stranger.client.post(address, {}).status_code == 404
    assert (
        stranger.client.get(f"{job_path(laboratory, 'refine')}?clone={laboratory.running.pk}").status_code
        == 404
    )
    viewer = make_member(owner.organization, Role.VIEWER, name="vic")
    assert viewer.client.post(workflow_path(laboratory), {}).status_code == 403


def test_the_first_wrong_field_has_the_focus(owner, laboratory):
    wrong = {"parameter-particle_diameter_angstrom": "2", "parameter-voltage_kv": "-1", "seed": "x"}
    sent = filled(form_at(owner, workflow_path(laboratory)), laboratory, **wrong)
    page = owner.client.post(workflow_path(laboratory), sent).content.decode()
    focused = re.findall(r'<(?:input|select)[^>]*? id="([^"]+)"[^>]* autofocus', page)
    assert len(focused) == 1
    first = min(
        ("parameter-particle_diameter_angstrom", "parameter-voltage_kv"),
        key=lambda name: page.index(f'id="{name}"'),
    )
    assert focused == [first]
    assert "autofocus" not in owner.client.get(workflow_path(laboratory)).content.decode()
