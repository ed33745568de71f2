"""The client and its commands against a real server process: upload, order, watch, download."""

import hashlib
import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from django.db import connection

from cryocloud.client.platform import CryoCloud, Refusal, Unreachable
from cryocloud.client.platform.downloading import place_below
from cryocloud.web.accounts.models import ApiToken
from cryocloud.web.configuration import configuration
from cryocloud.web.core.places import result_folder
from cryocloud.web.data.models import Dataset, DatasetFile, Upload
from cryocloud.web.projects.models import Project
from cryocloud.web.results.models import Artifact
from cryocloud.web.runs.models import Attempt, Job, Run
from cryocloud.web.runs.notices import publish_job
from platform_server import serving

SHORT = "import django\ndjango.setup()\nfrom cryocloud.web import event_hub\nevent_hub.POLL_S = 0.1\n"


@pytest.fixture(scope="module")
def served_home(tmp_path_factory):
    """One home for the server process and the tests of this module."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def home(served_home, monkeypatch):
    fresh = configuration().model_copy(update={"home": served_home})
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: fresh)
    return served_home


@pytest.fixture(scope="module")
def running(served_home, django_db_setup, django_db_blocker):
    with serving(served_home, str(connection.settings_dict["NAME"]), prelude=SHORT) as served:
        yield served


@pytest.fixture
def server(transactional_db, running):
    return running


@pytest.fixture
def owner(transactional_db, make_member):
    return make_member()


@pytest.fixture
def cloud(server, owner):
    with CryoCloud(server.address, owner.secret) as found:
        yield found


@pytest.fixture
def project(owner):
    return Project.unscoped.create(
        organization=owner.organization, name="apoferritin", created_by_id=owner.user.id
    )


@pytest.fixture
def folder(tmp_path):
    """Files as a microscope leaves them, one of them hidden."""
    where = tmp_path / "micrographs"
    for name, size in {"a.mrc": 300_000, "grid 2/b.mrc": 5_000, "grid 2/ü.txt": 0, ".hidden": 9}.items():
        (where / name).parent.mkdir(parents=True, exist_ok=True)
        (where / name).write_bytes(os.urandom(size))
    return where


def make_job(project, state=Job.State.QUEUED, **more):
    return Job.unscoped.create(
        organization=project.organization,
        project=project,
        number=Job.unscoped.filter(project=project).count() + 1,
        job_type="pick",
        version=1,
        parameters={},
        inputs={},
        state=state,
        created_by_id="",
        **more,
    )


def leave_result(job, contents):
    attempt = Attempt.unscoped.create(
        organization=job.organization, job=job, number=1, fence=1, state=Attempt.State.SUCCEEDED
    )
    folder = result_folder(job.id, attempt.id)
    for path, content in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
        Artifact.unscoped.create(
            organization=job.organization,
            job=job,
            attempt=attempt,
            path=path,
            size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
        )
    return folder


def call(tmp_path, *arguments, stdin=""):
    environment = os.environ | {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    command = [sys.executable, "-m", "cryocloud.client.cli", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, input=stdin, timeout=120
    )


@pytest.fixture
def cryocloud(tmp_path, server, owner):
    """The command, logged in."""
    ended = call(tmp_path, "login", server.address, "--token-stdin", stdin=owner.secret + "\n")
    assert ended.returncode == 0, ended.stderr
    return lambda *arguments, **named: call(tmp_path, *arguments, **named)


def test_the_client_knows_who_it_is_and_makes_things(cloud, owner):
    assert cloud.who_am_i().user.email == "ada@lab.example"
    assert [one.id for one in cloud.organizations()] == [owner.organization.id]
    made = cloud.create_project("ribosome")
    assert [one.name for one in cloud.projects()] == ["ribosome"]
    assert cloud.project(made.id) == made


def test_refusals_carry_status_message_and_fields(cloud, server):
    with pytest.raises(Refusal, match="nothing here") as refused:
        cloud.job("a" * 26)
    assert refused.value.status == 404
    with CryoCloud(server.address, "cryo_wrong") as stranger, pytest.raises(Refusal) as refused:
        stranger.who_am_i()
    assert refused.value.status == 401


def test_a_folder_arrives_byte_by_byte_and_a_second_time_sends_nothing(cloud, folder, owner):
    dataset = cloud.create_dataset("grid", profile={"pixel_size_angstrom": 1.1})
    first = cloud.upload_folder(folder, dataset.id)
    assert (first.files, first.files_done, first.failures) == (3, 3, {})
    arrived = {file.path: file for file in cloud.files(dataset.id)}
    assert sorted(arrived) == ["a.mrc", "grid 2/b.mrc", "grid 2/ü.txt"]
    for path, file in arrived.items():
        assert file.sha256 == hashlib.sha256((folder / path).read_bytes()).hexdigest()
    second = cloud.upload_folder(folder, dataset.id)
    assert second.files_known == 3
    assert DatasetFile.unscoped.count() == 3


def test_an_upload_that_was_cut_goes_on_at_its_last_byte(cloud, folder, monkeypatch):
    dataset = cloud.create_dataset("grid")
    cut_at = 100_000
    content = (folder / "a.mrc").read_bytes()
    order = {"path": "a.mrc", "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    begun = cloud.connection.send("POST", f"/datasets/{dataset.id}/uploads", order)
    cloud.connection.http.patch(
        begun["url"],
        content=content[:cut_at],
        headers={
            "Tus-Resumable": "1.0.0",
            "Content-Type": "application/offset+octet-stream",
            "Upload-Offset": "0",
        },
    ).raise_for_status()
    first_news = []
    ended = cloud.upload_folder(
        folder / "a.mrc", dataset.id, watcher=lambda p: first_news.append(p.done_bytes)
    )
    assert first_news[0] == cut_at
    assert ended.files_done == 1
    assert next(cloud.files(dataset.id)).sha256 == order["sha256"]
    assert Upload.unscoped.filter(state=Upload.State.OPEN).count() == 0


def test_one_bad_file_does_not_stop_the_others(cloud, folder):
    dataset = cloud.create_dataset("grid")
    cloud.upload_folder(folder, dataset.id)
    (folder / "a.mrc").write_bytes(b"other")
    (folder / "new.mrc").write_bytes(b"new")
    ended = cloud.upload_folder(folder, dataset.id)
    assert list(ended.failures) == ["a.mrc"]
    assert ended.files_done == 3


def test_a_job_is_watched_through_events_until_it_ends(cloud, project):
    job = make_job(project)
    news = cloud.watch(job.id)
    assert next(news).state == "queued"
    seen = []

    def work():
        for fraction in (0.25, 0.5):
            Job.unscoped.filter(pk=job.pk).update(
                state="running", progress=fraction, progress_message="picking"
            )
            publish_job(Job.unscoped.get(pk=job.pk))
            # A state that is overtaken by the next is rightly never seen, so the next waits for the watcher.
            for _ in range(1000):
                if ("running", fraction) in seen:
                    break
                time.sleep(0.05)
        Job.unscoped.filter(pk=job.pk).update(state="done", progress=1.0)
        publish_job(Job.unscoped.get(pk=job.pk))
        connection.close()

    worker = threading.Thread(target=work)
    worker.start()
    for now in news:
        seen.append((now.state, now.progress))  # noqa: PERF401  # the worker looks at what has come so far
    worker.join()
    assert ("running", 0.25) in seen
    assert ("running", 0.5) in seen
    assert seen[-1] == ("done", 1.0)


def test_watching_survives_a_server_that_is_killed_and_comes_back(owner, project, home):
    job = make_job(project)
    database, ended = str(connection.settings_dict["NAME"]), []
    with serving(home, database, prelude=SHORT) as first:
        news = CryoCloud(first.address, owner.secret).watch(job.id)
        assert next(news).state == "queued"
        reader = threading.Thread(target=lambda: ended.extend(news))
        reader.start()
        time.sleep(1)
        first.process.kill()
        first.process.wait()
    Job.unscoped.filter(pk=job.pk).update(state="failed", message="no disk")
    with serving(home, database, prelude=SHORT, port=int(first.address.rsplit(":", 1)[1])):
        reader.join(timeout=60)
    assert not reader.is_alive()
    assert (ended[-1].state, ended[-1].message) == ("failed", "no disk")


def test_results_are_resumed_verified_and_fetched_once(cloud, project, tmp_path):
    job = make_job(project, Job.State.DONE)
    content = os.urandom(500_000)
    folder = leave_result(job, {"map.mrc": content, "plots/fsc.png": b"png"})
    artifacts = {one.path: one for one in cloud.artifacts(job.id)}
    target = tmp_path / "out"
    target.mkdir()
    (target / "map.mrc.part").write_bytes(content[:200_000])
    counted = []
    cloud.download(artifacts["map.mrc"], target, add=counted.append)
    assert (target / "map.mrc").read_bytes() == content
    assert sum(counted) == len(content)
    assert counted[0] == 200_000
    assert cloud.download(artifacts["plots/fsc.png"], target) == target / "plots" / "fsc.png"
    for path in folder.rglob("*.mrc"):
        path.unlink()
    assert cloud.download(artifacts["map.mrc"], target).read_bytes() == content


def test_bytes_with_a_wrong_checksum_are_not_kept(cloud, project, tmp_path):
    from cryocloud.client.platform.downloading import WrongChecksum

    job = make_job(project, Job.State.DONE)
    leave_result(job, {"map.mrc": b"the right bytes"})
    (tmp_path / "map.mrc.part").write_bytes(b"the wrong")
    artifact = next(cloud.artifacts(job.id))
    with pytest.raises(WrongChecksum):
        cloud.download(artifact, tmp_path)
    assert not list(tmp_path.glob("map.mrc*"))
    cloud.download(artifact, tmp_path)
    assert (tmp_path / "map.mrc").read_bytes() == b"the right bytes"


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "", "a\0b"])
def test_names_that_lead_out_of_the_folder_are_refused(name, tmp_path):
    with pytest.raises(ValueError, match="no relative path"):
        place_below(tmp_path, name)


def test_a_server_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr("cryocloud.client.platform.connection.FIRST_PAUSE_S", 0.01)
    with (
        CryoCloud("http://127.0.0.1:9", "cryo_x") as cloud,
        pytest.raises(Unreachable, match=r"127\.0\.0\.1:9"),
    ):
        cloud.who_am_i()


def test_login_is_verified_and_kept_for_its_owner_only(tmp_path, server, owner):
    refused = call(tmp_path, "login", server.address, "--token-stdin", stdin="cryo_wrong\n")
    assert refused.returncode == 2
    assert not (tmp_path / "config").exists()
    kept = call(tmp_path, "login", server.address, "--token-stdin", stdin=f"{owner.secret}\n")
    assert kept.returncode == 0, kept.stderr
    assert "ada@lab.example" in kept.stdout
    path = tmp_path / "config" / "cryocloud" / "login.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text()) == {"address": server.address, "token": owner.secret}
    assert owner.secret not in kept.stdout + kept.stderr
    assert call(tmp_path, "logout").returncode == 0
    assert not path.exists()
    again = call(tmp_path, "datasets")
    assert again.returncode == 2
    assert "cryocloud login ADDRESS" in again.stderr


def test_the_upload_command_names_the_dataset_and_can_be_repeated(cryocloud, folder, owner):
    first = cryocloud("upload", folder)
    assert first.returncode == 0, first.stderr
    dataset = Dataset.unscoped.get()
    assert dataset.name == "micrographs"
    assert first.stdout == f"dataset:{dataset.id}\n"
    again = cryocloud("upload", folder, "--name", "micrographs")
    assert again.stdout == first.stdout
    assert "3 of them were there already" in again.stderr
    assert dataset.id in cryocloud("datasets").stdout
    missing = cryocloud("upload", folder / "nothing")
    assert missing.returncode == 2
    assert "no such file" in missing.stderr


def test_jobs_are_ordered_with_the_options_of_the_catalog(cryocloud, folder, project):
    dataset = cryocloud("upload", folder).stdout.strip()
    options = ["--pixel-size-angstrom", "1.1", "--voltage-kv", "300"]
    optics = [*options, "--spherical-aberration-mm", "2.7", "--amplitude-contrast", "0.1"]
    ordered = cryocloud("run", "import_micrographs", "--project", project.id, "--input", dataset, *optics)
    assert ordered.returncode == 0, ordered.stderr
    job = Job.unscoped.get()
    assert ordered.stdout == f"job:{job.id}\n"
    assert job.inputs == {"input": dataset}
    assert job.parameters["pixel_size_angstrom"] == 1.1
    assert f"/jobs/{job.id}/" in ordered.stderr


def test_what_an_order_would_take_is_said_without_placing_it(cryocloud, project):
    asked = cryocloud("run", "simulate_map", "--project", project.id, "--model", "procedural", "--forecast")
    assert asked.returncode == 0, asked.stderr
    labels = [line.split()[0] for line in asked.stdout.splitlines()]
    assert labels == ["time", "compute", "memory", "disk"]
    assert not Job.unscoped.exists()


def test_a_workflow_is_ordered_too(cryocloud, folder, project):
    dataset = cryocloud("upload", folder).stdout.strip()
    arguments = ["--micrographs", dataset, "--particle-diameter-angstrom", "125", "--symmetry", "O"]
    optics = ["--pixel-size-angstrom", "1.1", "--voltage-kv", "300", "--spherical-aberration-mm", "2.7"]
    optics += ["--amplitude-contrast", "0.1"]
    ordered = cryocloud("workflow", "run", "spa", f"--project={project.id}", *arguments, *optics)
    assert ordered.returncode == 0, ordered.stderr
    assert ordered.stdout == f"run:{Run.unscoped.get().id}\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--input", "mics/*.mrc"], "dataset:ID"),
        (["--input", "dataset:" + "a" * 26], "nothing here"),
        (["--input", "dataset:x", "--pixel-size-angstrom", "-1"], "--pixel-size-angstrom"),
        ([], "--input"),
    ],
)
def test_bad_orders_are_refused_with_their_reason(cryocloud, project, arguments, complaint):
    ended = cryocloud("run", "import_micrographs", "--project", project.id, *arguments)
    assert ended.returncode == 2
    assert complaint in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not Job.unscoped.exists()


@pytest.mark.parametrize(
    ("state", "code"), [("done", 0), ("exceptions", 3), ("failed", 1), ("cancelled", 130)]
)
def test_the_end_of_a_watched_job_is_the_exit_code(cryocloud, project, state, code):
    job = make_job(project, state, message="why it ended", exceptions=2)
    ended = cryocloud("watch", f"job:{job.id}")
    assert ended.returncode == code, ended.stderr
    assert "001 pick" in ended.stderr


def test_results_and_datasets_are_downloaded_by_reference(cryocloud, project, folder, tmp_path):
    dataset = cryocloud("upload", folder).stdout.strip()
    job = make_job(project, Job.State.DONE)
    leave_result(job, {"picks.star": b"data_\n", "plots/a.png": b"png"})
    one = cryocloud("download", f"job:{job.id}/picks.star", "--out", tmp_path / "one")
    assert one.returncode == 0, one.stderr
    assert one.stdout.split() == [str(tmp_path / "one" / "picks.star")]
    cryocloud("download", job.id, "--out", tmp_path / "all")
    assert (tmp_path / "all" / "plots" / "a.png").read_bytes() == b"png"
    cryocloud("download", dataset, "--out", tmp_path / "data")
    assert (tmp_path / "data" / "a.mrc").read_bytes() == (folder / "a.mrc").read_bytes()
    for bad in ("dataset:x", "nonsense:1", f"job:{job.id}/other"):
        ended = cryocloud("download", bad)
        assert ended.returncode == 2
        assert "Traceback" not in ended.stderr


def test_a_reading_token_may_download_and_not_upload(tmp_path, server, make_member, folder):
    reader = make_member(scope=ApiToken.Scope.READ, name="rita")
    call(tmp_path, "login", server.address, "--token-stdin", stdin=reader.secret)
    ended = call(tmp_path, "upload", folder)
    assert ended.returncode == 2
    assert "only read" in ended.stderr
    assert call(tmp_path, "datasets").returncode == 0


def test_help_of_the_commands_needs_no_login(tmp_path):
    for command in ("login", "logout", "upload", "datasets", "projects", "watch", "download"):
        assert call(tmp_path, command, "--help").returncode == 0
    told = call(tmp_path, "run", "pick", "--project", "x", "--help")
    assert told.returncode == 0
    assert "--particle-diameter-angstrom" in told.stdout
    assert "REFERENCE" in told.stdout
    assert Path(tmp_path / "config").exists() is False


@contextmanager
def relay_that_loses_the_first_answer(address):
    """Passes connections on; of the first one the order reaches the server and the answer reaches nobody."""
    host, port = address.removeprefix("http://").split(":")
    lost = threading.Event()

    def pump(source, sink):
        with suppress(OSError):
            while part := source.recv(65536):
                sink.sendall(part)
            sink.shutdown(socket.SHUT_WR)

    def serve_one(line):
        with line, socket.create_connection((host, int(port))) as server:
            threading.Thread(target=pump, args=(line, server), daemon=True).start()
            if not lost.is_set():
                server.recv(16)
                lost.set()
                line.shutdown(socket.SHUT_RDWR)
                return
            pump(server, line)

    def accept():
        with suppress(OSError):
            while True:
                threading.Thread(target=serve_one, args=(listening.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", lost


def test_an_order_whose_answer_was_lost_is_given_again_and_counts_once(server, owner, project, monkeypatch):
    monkeypatch.setattr("cryocloud.client.platform.connection.FIRST_PAUSE_S", 0.05)
    with relay_that_loses_the_first_answer(server.address) as (address, lost):
        with CryoCloud(address, owner.secret) as cloud:
            job = cloud.create_job(
                project.pk,
                "simulate_map",
                inputs={"model": "procedural"},
                parameters={"pixel_size_angstrom": 2.5},
            )
        assert lost.is_set()
    assert [one.pk for one in Job.unscoped.filter(project=project)] == [job.id]
