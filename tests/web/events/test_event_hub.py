"""Event streams of a real server process: who may read, what arrives, and what a reader missed."""

import json
import socket
import time

import httpx
import pytest
from django.db import connection

from cryocloud.web.core.events import job_topic, project_topic, publish
from cryocloud.web.core.models import Event
from cryocloud.web.organizations.models import Membership
from cryocloud.web.projects.models import Project
from platform_server import serving

SHORT = """
import django, os
django.setup()
from cryocloud.web import event_hub
event_hub.HEARTBEAT_S = 0.5
event_hub.POLL_S = 0.1
event_hub.STREAMS_PER_USER = 3
event_hub.QUEUE_LENGTH = 50
event_hub.BACKLOG = 20
"""


@pytest.fixture(scope="module")
def served_home(tmp_path_factory):
    """One home for the server process and the tests of this module."""
    return tmp_path_factory.mktemp("home")


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
def project(owner):
    return Project.unscoped.create(
        organization=owner.organization, name="apoferritin", created_by_id=owner.user.id
    )


class Reader:
    """Reads one stream, event by event."""

    def __init__(self, server, path, **headers):
        self.client = httpx.Client(base_url=server.address, timeout=100)
        self.opened = self.client.stream("GET", path, headers=headers)
        self.response = self.opened.__enter__()
        self.lines = self.response.iter_lines()

    def block(self):
        """The lines up to the next empty one; None at the end of the stream."""
        lines = []
        for line in self.lines:
            if not line:
                return lines
            lines.append(line)
        return None

    def event(self):
        """The next event as (id, kind, content), over comments and greetings."""
        while (lines := self.block()) is not None:
            fields = dict(line.split(": ", 1) for line in lines if not line.startswith(":"))
            if "event" in fields:
                return int(fields.get("id", 0)), fields["event"], json.loads(fields["data"])
        return None

    def close(self):
        self.opened.__exit__(None, None, None)
        self.client.close()


@pytest.fixture
def read(server):
    readers = []

    def start(path, **headers):
        readers.append(Reader(server, path, **headers))
        return readers[-1]

    yield start
    for reader in readers:
        reader.close()


def bearer(member):
    return {"Authorization": f"Bearer {member.secret}"}


def say(project, number):
    topics = [project_topic(project.id), job_topic("j" * 26)]
    publish(project.organization_id, topics, "job", {"number": number, "message": "line\nbreak"})


def test_events_arrive_in_order_with_their_content(owner, project, read):
    stream = read(f"/events/projects/{project.id}", **bearer(owner))
    assert stream.response.status_code == 200
    assert stream.response.headers["content-type"] == "text/event-stream"
    assert stream.block()[0].startswith("retry: ")
    for number in range(30):
        say(project, number)
    got = [stream.event() for _ in range(30)]
    assert [content["number"] for _, _, content in got] == list(range(30))
    assert {kind for _, kind, _ in got} == {"job"}
    assert got[0][2]["message"] == "line\nbreak"


def test_the_cookie_of_a_browser_opens_a_stream_too(owner, project, read):
    cookie = f"session={owner.client.cookies['session'].value}"
    stream = read(f"/events/projects/{project.id}", Cookie=cookie)
    assert stream.response.status_code == 200


def test_a_reader_that_comes_back_gets_what_it_missed_and_nothing_twice(owner, project, read):
    first = read(f"/events/projects/{project.id}", **bearer(owner))
    first.block()
    say(project, 1)
    last_id, _, _ = first.event()
    first.close()
    say(project, 2)
    say(project, 3)
    headers = bearer(owner) | {"Last-Event-ID": str(last_id)}
    second = read(f"/events/projects/{project.id}", **headers)
    say(project, 4)
    assert [second.event()[2]["number"] for _ in range(3)] == [2, 3, 4]


def test_a_page_names_the_last_event_that_it_knows(owner, project, read):
    say(project, 1)
    known = Event.objects.latest("id").id
    say(project, 2)
    stream = read(f"/events/projects/{project.id}?after={known}", **bearer(owner))
    assert stream.event()[2]["number"] == 2


def test_who_missed_too_much_is_told_to_ask_for_the_state(owner, project, read):
    for number in range(40):
        say(project, number)
    first = Event.objects.earliest("id").id
    stream = read(f"/events/projects/{project.id}", **bearer(owner) | {"Last-Event-ID": str(first)})
    assert stream.event()[1] == "reset"
    say(project, 99)
    assert stream.event()[2]["number"] == 99


def test_an_id_that_no_event_has_yet_hides_nothing(owner, project, read):
    stream = read(f"/events/projects/{project.id}", **bearer(owner) | {"Last-Event-ID": "999999999"})
    stream.block()
    say(project, 5)
    assert stream.event()[2]["number"] == 5


def test_a_quiet_stream_is_kept_alive(owner, project, read):
    stream = read(f"/events/projects/{project.id}", **bearer(owner))
    stream.block()
    assert stream.block() == [": still here"]


def test_the_stream_of_a_removed_member_ends(owner, project, read):
    stream = read(f"/events/projects/{project.id}", **bearer(owner))
    stream.block()
    Membership.unscoped.filter(user=owner.user).delete()
    assert stream.event() is None


def test_the_stream_of_an_ended_session_ends(owner, project, read):
    cookie = f"session={owner.client.cookies['session'].value}"
    stream = read(f"/events/projects/{project.id}", Cookie=cookie)
    stream.block()
    owner.client.logout()
    assert stream.event() is None


@pytest.mark.parametrize("area", ["projects", "jobs", "datasets"])
def test_strangers_get_the_answer_of_a_missing_thing(area, owner, project, make_member, server):
    stranger = make_member(name="eve")
    answers = [
        httpx.get(f"{server.address}/events/{area}/{wanted}", headers=bearer(stranger))
        for wanted in (project.id, "a" * 26)
    ]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].content == answers[1].content
    assert answers[0].headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer cryo_wrong"}, {"Authorization": "Basic eDp5"}, {"Cookie": "session=zzz"}],
)
def test_without_a_credential_there_is_no_stream(headers, project, server):
    answer = httpx.get(f"{server.address}/events/projects/{project.id}", headers=headers)
    assert answer.status_code == 401
    assert set(answer.json()) == {"error", "fields"}


@pytest.mark.parametrize("path", ["/events/", "/events/projects/", "/events/users/1", "/events/projects/a/b"])
def test_other_paths_are_not_there(path, owner, server):
    answer = httpx.get(server.address + path, headers=bearer(owner))
    assert answer.status_code == 404
    assert set(answer.json()) == {"error", "fields"}


def test_other_methods_are_refused(owner, project, server):
    answer = httpx.post(f"{server.address}/events/projects/{project.id}", headers=bearer(owner))
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET"


def test_a_person_opens_a_bounded_number_and_closing_one_makes_room(owner, project, read, server):
    path = f"/events/projects/{project.id}"
    streams = [read(path, **bearer(owner)) for _ in range(3)]
    assert httpx.get(server.address + path, headers=bearer(owner)).status_code == 429
    streams[0].close()
    deadline_s = time.monotonic() + 100
    while (again := read(path, **bearer(owner))).response.status_code != 200:
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
    assert again.response.status_code == 200


def test_who_reads_too_slowly_is_let_go_while_others_read_on(owner, project, read, server):
    port = int(server.address.rsplit(":", 1)[1])
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", port))
        request = f"GET /events/projects/{project.id} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        slow.sendall(f"{request}Authorization: Bearer {owner.secret}\r\n\r\n".encode())
        assert slow.recv(16)
        quick = read(f"/events/projects/{project.id}", **bearer(owner))
        quick.block()
        big = "x" * 200_000
        for first in range(0, 80, 20):
            for number in range(first, first + 20):
                publish(
                    project.organization_id, [project_topic(project.id)], "job", {"n": number, "text": big}
                )
            assert [quick.event()[2]["n"] for _ in range(20)] == list(range(first, first + 20))
        slow.settimeout(30)
        received = 0
        while part := slow.recv(1 << 20):
            received += len(part)
    assert received < 80 * len(big)


def test_the_server_survives_nonsense(owner, project, server):
    path = f"{server.address}/events/projects/{project.id}"
    for after in ("-1", "x", "9" * 40, "%00", "1.5"):
        headers = bearer(owner) | {"Last-Event-ID": after}
        with httpx.stream("GET", f"{path}?after={after}", headers=headers) as answer:
            assert answer.status_code == 200
            assert next(answer.iter_lines()).startswith("retry")
