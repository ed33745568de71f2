"""The pages for members, fetched as a browser would: everything that the design promises stands on them."""

import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from cryocloud.web.configuration import configuration
from cryocloud.web.core.ids import new_id
from cryocloud.web.organizations.models import Membership, Organization, Role
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.models import Job, Run


def html(answer):
    assert answer.status_code == 200, answer.content[:600]
    return answer.content.decode()


def words(answer):
    return " ".join(re.sub(r"<[^>]+>", " ", html(answer)).split())


def addresses(lab):
    return [
        f"/projects/{lab.project.pk}/",
        f"/projects/{lab.project.pk}/work/",
        f"/projects/{lab.project.pk}/edit/",
        f"/projects/{lab.project.pk}/jobs/new/",
        f"/projects/{lab.project.pk}/workflows/spa/new/",
        f"/projects/{lab.project.pk}/jobs/refine/new/",
        f"/runs/{lab.run.pk}/",
        f"/runs/{lab.run.pk}/live/",
        *(f"/jobs/{job.pk}/" for job in (*lab.jobs, lab.running, lab.failed)),
        f"/jobs/{lab.running.pk}/live/",
        f"/jobs/{lab.running.pk}/log/",
        f"/compare/?a={lab.jobs[9].pk}&b={lab.running.pk}",
        f"/compare/?a={lab.jobs[9].pk}",
    ]


def test_no_page_shows_code_or_lets_script_or_style_in(owner, laboratory):
    for path in ("/dashboard/", "/projects/new/", *addresses(laboratory)):
        page = html(owner.client.get(path))
        assert not re.search(r"\{\{|\{%|>None<|\bNone\b(?!\.)", page), path
        assert not re.search(r"<script(?![^>]*\bsrc=)|\sstyle=|\son\w+=", page), path


def test_strangers_get_the_page_of_missing_things_everywhere(owner, stranger, laboratory):
    missing = stranger.client.get(f"/projects/{new_id()}/")
    tokens = re.compile(rb'csrfmiddlewaretoken" value="\w+"|CSRFToken": "\w+"')
    assert missing.status_code == 404
    for path in addresses(laboratory):
        answer = stranger.client.get(path)
        assert answer.status_code == 404, path
        assert tokens.sub(b"", answer.content) == tokens.sub(b"", missing.content), path
    assert "Apoferritin" not in html(stranger.client.get("/dashboard/"))


def test_who_is_not_logged_in_is_sent_to_the_log_in_page(laboratory):
    for path in ("/dashboard/", "/projects/new/", *addresses(laboratory)):
        answer = Client().get(path)
        assert answer.status_code == 302 and answer["Location"].startswith("/accounts/login/"), path


def test_viewers_read_and_are_offered_no_changes(owner, laboratory, make_member):
    viewer = make_member(owner.organization, Role.VIEWER, name="vic")
    project = html(viewer.client.get(f"/projects/{laboratory.project.pk}/"))
    assert "New workflow" not in project and "New job" not in project
    job = html(viewer.client.get(f"/jobs/{laboratory.running.pk}/"))
    assert "Cancel" not in job and "Keep notes" not in job
    assert viewer.client.get(f"/projects/{laboratory.project.pk}/jobs/refine/new/").status_code == 403
    for path in (
        f"/jobs/{laboratory.running.pk}/cancel/",
        f"/jobs/{laboratory.failed.pk}/retry/",
        f"/jobs/{laboratory.failed.pk}/notes/",
        f"/runs/{laboratory.run.pk}/cancel/",
    ):
        assert viewer.client.post(path).status_code == 403, path


def test_the_dashboard_shows_projects_states_and_limits(owner, laboratory):
    page = words(owner.client.get("/dashboard/"))
    assert "Apoferritin" in page and "3.94 Å" in page
    assert "1 running 1 queued 12 done 1 with exceptions 1 failed" in page
    assert "3D refinement" in page
    assert "1 h 25 min used of 20 h 00 min" in page
    assert page.index("Apoferritin") < page.index("Ribosome 70S")


def test_the_dashboard_searches_and_pages(owner):
    Project.unscoped.bulk_create(
        Project(organization=owner.organization, name=f"Sample {n:02d}", created_by_id=owner.user.pk)
        for n in range(40)
    )
    found = [
        set(re.findall(r"Sample \d\d", html(owner.client.get(f"/dashboard/?page={n}")))) for n in (1, 2, 3)
    ]
    assert sorted(map(len, found)) == [4, 18, 18]
    assert len(set.union(*found)) == 40
    assert set(re.findall(r"Sample \d\d", html(owner.client.get("/dashboard/?q=ample+17")))) == {"Sample 17"}
    assert "No project is called" in words(owner.client.get("/dashboard/?q=zzz"))
    for page in ("0", "-1", "999999999999", "x", "2²"):
        assert owner.client.get("/dashboard/", {"page": page}).status_code == 200


@pytest.mark.parametrize("projects", [3, 60])
def test_the_dashboard_asks_the_database_equally_often_for_few_and_many_projects(owner, projects):
    rows = Project.unscoped.bulk_create(
        Project(organization=owner.organization, name=f"P{n}", created_by_id=owner.user.pk)
        for n in range(projects)
    )
    Job.unscoped.bulk_create(
        Job(
            organization=owner.organization,
            project=row,
            number=number,
            job_type="postprocess",
            version=1,
            parameters={},
            inputs={},
            state=Job.State.DONE,
            metrics={"resolution_angstrom": 3.0 + number},
            created_by_id=owner.user.pk,
        )
        for row in rows
        for number in range(1, 5)
    )
    owner.client.get("/dashboard/")
    with CaptureQueriesContext(
        connection,
    ) as caught:
        assert "7 Å" in words(owner.client.get("/dashboard/"))
    assert len(caught) <= 27


def test_a_newcomer_is_guided(owner):
    page = words(owner.client.get("/dashboard/"))
    assert "Your own first map in three steps" in page and "Upload a folder" in page


def test_the_header_switches_between_organizations(owner):
    other = Organization.objects.create(name="Facility North")
    Membership.unscoped.create(organization=other, user=owner.user, role=Role.EDITOR)
    page = html(owner.client.get("/dashboard/"))
    assert f'name="id" value="{other.pk}"' in page
    owner.client.post("/organization/switch/", {"id": other.pk})
    assert (
        "Facility North"
        in re.search(r"<summary>.*?</summary>", html(owner.client.get("/dashboard/")), re.DOTALL)[0]
    )


def test_projects_are_made_and_mended_in_the_browser(owner):
    bad = owner.client.post("/projects/new/", {"name": " ", "description": "kept text"})
    assert bad.status_code == 422 and "kept text" in bad.content.decode()
    made = owner.client.post("/projects/new/", {"name": "TRPV1 <b>", "description": ""}, follow=True)
    assert "TRPV1 &lt;b&gt;" in html(made)
    project = Project.unscoped.get()
    owner.client.post(f"/projects/{project.pk}/edit/", {"name": "TRPV1", "description": "nanodiscs"})
    assert "nanodiscs" in html(owner.client.get(f"/projects/{project.pk}/"))
    owner.client.post(f"/projects/{project.pk}/archive/")
    assert "TRPV1" not in words(owner.client.get("/dashboard/")).replace("“TRPV1” is archived", "")
    assert "TRPV1" in words(owner.client.get("/dashboard/?archived=yes"))
    owner.client.post(f"/projects/{project.pk}/restore/")
    assert "TRPV1" in words(owner.client.get("/dashboard/"))


def test_the_graph_links_every_job_and_draws_every_dependence(owner, laboratory):
    page = html(owner.client.get(f"/projects/{laboratory.project.pk}/"))
    wide = page[page.index('class="graph wide-only"') : page.index('class="graph narrow-only"')]
    jobs = list(Job.unscoped.filter(project=laboratory.project))
    for job in jobs:
        assert f'href="/jobs/{job.pk}/"' in wide
        for text in job.inputs.values():
            source = text.partition(":")[2].partition("/")[0]
            assert f'data-from="{source}" data-to="{job.pk}"' in wide
    assert wide.count('class="edge"') == sum(len(job.inputs) for job in jobs)
    boxes = [(int(x), int(y)) for x, y in re.findall(r"translate\((\d+) (\d+)\)", wide)]
    assert len(boxes) == len(set(boxes)) == len(jobs) + 1


def test_a_run_tells_warnings_first_then_numbers_and_decisions(owner, laboratory):
    page = words(owner.client.get(f"/runs/{laboratory.run.pk}/"))
    order = [
        "preferred view",
        "3.94 Å",
        "What speaks for it",
        "detail finer than 17.2 Å",
        "Steps",
        "2D classes: 50",
    ]
    positions = [page.index(text) for text in order]
    assert positions == sorted(positions)
    assert "13 steps done" in page and "2 items could not be used" in page


def test_a_job_shows_numbers_and_downloads_first_then_the_rest(owner, laboratory):
    page = html(owner.client.get(f"/jobs/{laboratory.jobs[10].pk}/"))
    order = [">3.94 Å<", 'id="results"', 'id="plots"', 'id="parameters"', 'id="attempts"', 'id="log-title"']
    positions = [page.index(text) for text in order]
    assert positions == sorted(positions)
    assert "1 min 06 s" in page and "2.1 GB" in page
    assert f"/jobs/{laboratory.jobs[9].pk}/" in page


def test_what_was_set_aside_is_listed_with_reasons_and_escaped(owner, laboratory):
    page = html(owner.client.get(f"/jobs/{laboratory.excepted.pk}/"))
    assert "mic_0013.mrc" in page and "the file ends after 12 of 16 MB" in page
    assert "&lt;b&gt;no Thon rings&lt;/b&gt;" in page


def test_changed_parameters_are_marked(owner, laboratory):
    page = html(owner.client.get(f"/jobs/{laboratory.jobs[5].pk}/"))
    row = page[page.index(">Classes<") :]
    assert '<span class="changed">42' in row[: row.index("</tr>")]
    assert page.count('class="changed"') == 1


def test_a_running_job_is_live_and_refreshes_the_page_when_it_has_ended(owner, laboratory):
    job = laboratory.running
    page = html(owner.client.get(f"/jobs/{job.pk}/"))
    assert f'sse-connect="/events/jobs/{job.pk}"' in page and "iteration 6: 5.8 Å" in page
    live = owner.client.get(f"/jobs/{job.pk}/live/")
    assert "42 %" in html(live) and "HX-Refresh" not in live
    assert re.search(r'id="job-state"[^>]*hx-swap-oob="true">Running', html(live))
    assert page.count('id="job-state"') == 1
    tail = owner.client.get(f"/jobs/{job.pk}/log/", headers={"HX-Request": "true"})
    assert "iteration 3: 7.5 Å" in html(tail)
    plain = owner.client.get(f"/jobs/{job.pk}/log/")
    assert plain["Content-Type"].startswith("text/plain") and plain.content.startswith(b"iteration 0")
    assert "\nmap.mrc is written" in html(plain) and str(configuration().home) not in html(plain)
    Job.unscoped.filter(pk=job.pk).update(state=Job.State.DONE)
    assert owner.client.get(f"/jobs/{job.pk}/live/")["HX-Refresh"] == "true"
    assert "sse-connect" not in html(owner.client.get(f"/jobs/{job.pk}/"))


def test_notes_are_kept_as_written(owner, laboratory):
    path = f"/jobs/{laboratory.failed.pk}/"
    owner.client.post(f"{path}notes/", {"notes": "ice too thick\r\n<i>try grid 4</i>"})
    assert "ice too thick\n&lt;i&gt;try grid 4&lt;/i&gt;" in html(owner.client.get(path))


def test_cancel_and_retry_from_the_page_and_too_late(owner, laboratory):
    queued = Job.unscoped.get(project=laboratory.project, state=Job.State.QUEUED)
    assert "Cancelled" in words(owner.client.post(f"/jobs/{queued.pk}/cancel/", follow=True))
    late = words(owner.client.post(f"/jobs/{queued.pk}/cancel/", follow=True))
    assert "has ended already" in late
    assert "Waiting for a free slot" in words(owner.client.post(f"/jobs/{queued.pk}/retry/", follow=True))
    assert "has ended already" in words(owner.client.post(f"/runs/{laboratory.run.pk}/cancel/", follow=True))
    assert Run.unscoped.get().state == Run.State.DONE


def test_results_lead_to_forms_that_have_them_chosen(owner, laboratory):
    page = html(owner.client.get(f"/jobs/{laboratory.jobs[8].pk}/"))
    links = re.findall(r'href="(/projects/[^"]+/jobs/(\w+)/new/\?input-[^"]+)"', page)
    assert {name for _, name in links} >= {"class2d", "abinitio", "refine"}
    reference = f"job:{laboratory.jobs[8].pk}/particles.star"
    for url, name in links:
        form = html(owner.client.get(url))
        assert f'<option value="{reference}" selected>' in form, name
        assert "as chosen on the page before" not in form, name


def test_two_jobs_side_by_side_with_differences_first(owner, laboratory):
    one, other = laboratory.jobs[9], laboratory.jobs[12]
    page = html(owner.client.get(f"/compare/?a={one.pk}&b={other.pk}"))
    assert "4.02 Å" in page and "17.2 Å" in page
    assert page.count("data-differs") == 1
    assert f"/jobs/{one.pk}/plots/" in page and f"/jobs/{other.pk}/plots/" in page
    assert owner.client.get("/compare/").status_code == 404
    assert owner.client.get(f"/compare/?a={one.pk}&b=nothing").status_code == 404
