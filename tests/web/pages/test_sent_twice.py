"""An order that is sent twice from one form has one effect; the browser is led on by a redirect."""

from __future__ import annotations

import pytest
from django.db import connection

from cryocloud.web.runs.models import Job, Run
from platform_server import serving
from web.browsing import looking
from web.pages.laboratory import seed_laboratory
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


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_double_click_and_the_way_back_start_nothing_more(owner, home):
    lab = seed_laboratory(owner)
    before = Job.unscoped.count()
    with (
        serving(home, str(connection.settings_dict["NAME"])) as served,
        looking(served.address, owner.client) as look,
    ):
        look.visit(job_path(lab, "simulate_map"))
        look.page.fill("[name='parameter-pixel_size_angstrom']", "2.5")
        look.page.dblclick("button:has-text('Start job')")
        look.page.wait_for_url("**/jobs/*/")
        look.page.go_back()
        look.page.wait_for_selector("button:has-text('Start job')")
        look.page.reload()
        assert look.page.url.endswith("/simulate_map/new/")
        assert look.found() == []
    assert Job.unscoped.count() == before + 1
