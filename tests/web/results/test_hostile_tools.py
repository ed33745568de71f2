"""Somebody got into the process that reads uploads or draws previews: nothing of what it leaves stays."""

from __future__ import annotations

import os

import pytest

from cryocloud.web.core import places
from cryocloud.web.data import inspection
from cryocloud.web.results import tasks, viewers
from cryocloud.web.results.files import job_folder, preview_folder_of
from cryocloud.web.results.tasks import make_previews
from platform_orders import make_dataset
from web.results import examples
from web_data import add_file, run_tasks

LEAVES = (
    "import json, os, sys\n"
    "order = json.load(sys.stdin)\n"
    "out = order.get('out') or os.path.dirname(order['files'][0]['previews']['thumb'])\n"
    "os.chdir(out)\n"
    "open('large', 'wb').write(bytes(1 << 20)); open('.hidden', 'w').write('x')\n"
    "open('huge.png', 'wb').truncate(1 << 31)\n"
    "os.symlink('/etc/passwd', 'linked.png'); os.mkfifo('pipe.png')\n"
    "for one in order.get('files', []): os.symlink('/etc/passwd', one['previews']['thumb'])\n"
    "for _ in range(1500): os.mkdir('d'); os.chdir('d')\n"
    "print(json.dumps({'files': [{'state': 'read', 'header': {}, 'problem': '', 'has_preview': True}]}))\n"
)


@pytest.fixture
def taken_over(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    code = tmp_path_factory.mktemp("code")
    (code / "taken_over.py").write_text(LEAVES)
    monkeypatch.setenv("PYTHONPATH", str(code), prepend=os.pathsep)
    monkeypatch.setattr(tasks, "TOOL", "taken_over")
    monkeypatch.setattr(inspection, "TOOL", "taken_over")


def test_nothing_stays_of_who_reads_an_upload(owner, taken_over):
    dataset = make_dataset(owner, {})
    file = add_file(owner, dataset, "a.mrc", b"pixels")
    run_tasks()
    file.refresh_from_db()
    assert file.state == "read", file.problem
    assert list(places.preview_folder(dataset.pk).iterdir()) == []
    assert owner.client.get(f"/files/{file.pk}/preview/thumb/").status_code == 404


def test_nothing_stays_of_who_draws_previews(owner, taken_over):
    job = examples.publish(
        owner.organization, owner.user, "refine", lambda folder: (folder / "map.mrc").touch()
    )
    make_previews.func(job.pk, organization_id=job.organization_id)
    assert viewers.preview_index(job)["problems"] == []
    assert [path.name for path in preview_folder_of(job).iterdir()] == ["index.json"]


@pytest.mark.parametrize(
    "answer",
    [
        {"charts": [{"x": [1]}]},
        {"orientations": {"heights": 3, "azimuths": 1, "counts": []}},
        {"problems": 7},
        {"maps": [{"true_pixel_size_angstrom": "fine"}]},
    ],
    ids=["chart", "orientations", "problems", "maps"],
)
def test_pages_show_what_they_can_of_a_strange_answer(owner, tmp_path_factory, monkeypatch, answer):
    code = tmp_path_factory.mktemp("code")
    (code / "strange.py").write_text(f"import json; print(json.dumps({answer!r}))\n")
    monkeypatch.setenv("PYTHONPATH", str(code), prepend=os.pathsep)
    monkeypatch.setattr(tasks, "TOOL", "strange")
    job = examples.publish(
        owner.organization, owner.user, "refine", lambda folder: (folder / "map.mrc").touch()
    )
    make_previews.func(job.pk, organization_id=job.organization_id)
    assert viewers.preview_index(job)["problems"]
    for viewer in ("curves", "orientations", "map"):
        assert owner.client.get(f"/jobs/{job.pk}/look/{viewer}/").status_code == 200
    assert owner.client.get(f"/jobs/{job.pk}/").status_code == 200


def test_a_page_looks_at_some_plots_of_millions(owner, monkeypatch):
    monkeypatch.setattr(viewers, "PLOTS_LOOKED_AT", 50)
    job = examples.publish(
        owner.organization, owner.user, "refine", lambda folder: (folder / "plots").mkdir()
    )
    for number in range(300):
        (job_folder(job) / f"plots/{number}.png").touch()
    assert len(viewers.plots_of(job)) == 50
