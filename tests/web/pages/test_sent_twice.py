"""An order that is sent twice from one form has one effect; the browser is led on by a redirect."""

from __future__ import annotations

import pytest

from cryocloud.web.runs.models import Job, Run
from web.pages.test_order_forms import filled, form_at, job_path, workflow_path


@pytest.mark.parametrize(
    ("path_of", "model"), [(lambda lab: job_path(lab, "pick"), Job), (workflow_path, Run)]
)
def test_the_same_form_sent_twice_starts_once(owner, laboratory, path_of, model):
    path = path_of(laboratory)
    sent = filled(form_at(owner, path), laboratory)
    before = model.unscoped.count()
    first = owner.client.post(path, sent)
    again = owner.client.post(path, sent | {"csrfmiddlewaretoken": "another"})
    assert (first.status_code, again.status_code) == (302, 302)
    assert again["Location"] == first["Location"]
    assert model.unscoped.count() == before + 1
    assert "Nothing was started twice" in owner.client.get(first["Location"]).content.decode()


def test_a_changed_order_from_the_same_form_and_a_form_drawn_anew_start_again(owner, laboratory):
    path = job_path(laboratory, "pick")
    sent = filled(form_at(owner, path), laboratory)
    before = Job.unscoped.count()
    owner.client.post(path, sent)
    owner.client.post(path, sent | {"seed": "7"})
    owner.client.post(path, filled(form_at(owner, path), laboratory))
    assert Job.unscoped.count() == before + 3


def test_a_refused_order_can_be_mended_and_sent_again(owner, laboratory):
    path = job_path(laboratory, "pick")
    sent = filled(form_at(owner, path), laboratory)
    wrong = owner.client.post(path, sent | {"parameter-particle_diameter_angstrom": "-5"})
    assert wrong.status_code == 422
    before = Job.unscoped.count()
    assert owner.client.post(path, sent).status_code == 302
    assert Job.unscoped.count() == before + 1
