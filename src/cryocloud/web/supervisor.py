"""``cryocloud up``: prepares the home, then keeps its processes alive: web, scheduler, worker, and the inbox if wanted.

It holds the listening socket, so that a request that comes while the web process restarts waits instead of failing,
and a lock on the home. Jobs run in sessions of their own and are left alone when it ends.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import http.client
import json
import logging
import logging.handlers
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from cryocloud.compute.isolation.cells import settle
from cryocloud.web.children import Child, end_all
from cryocloud.web.configuration import PREFIX, Configuration, keep_secret_key, read_configuration
from cryocloud.web.core.log_format import JsonFormatter

BACKLOG = 512
BAD_INPUT = 2
FAILED = 1
PORT_WAIT_S = 8.0
ANSWER_WAIT_S = 60.0
POLL_S = 0.2
OLDER_LOGS = 4

_log = logging.getLogger("cryocloud.up")


class CannotStart(Exception):
    """Why the platform cannot start here, and what to do."""


def up(arguments: list[str]) -> int:
    """Start everything and stay until SIGTERM or SIGINT."""
    options = _options(arguments)
    for name in ("home", "port"):
        if getattr(options, name) is not None:
            os.environ[PREFIX + name.upper()] = str(getattr(options, name))
    settings = read_configuration(os.environ)
    settle()
    try:
        with _locked_home(settings.home), _listening(settings.port) as listener:
            _run(settings, listener, log_to_stderr=options.log_to_stderr)
    except CannotStart as reason:
        print(f"cryocloud up: {reason}", file=sys.stderr)
        return FAILED
    return 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="cryocloud up", description="Start the platform: web pages, scheduler and worker."
    )
    parser.add_argument("--home", metavar="DIR", help="folder for everything it keeps (CRYOCLOUD_HOME)")
    parser.add_argument("--port", type=int, metavar="N", help="port on 127.0.0.1 (CRYOCLOUD_PORT)")
    parser.add_argument(
        "--log-to-stderr", action="store_true", help="logs go to standard error instead of HOME/logs"
    )
    return parser.parse_args(arguments)


def _run(settings: Configuration, listener: socket.socket, *, log_to_stderr: bool) -> None:
    stop: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _: stop.append(number))
    _write_own_log(settings, log_to_stderr)
    with _log_of("up", settings, log_to_stderr) as stream:
        first_link = _prepare(settings, stream)
    children = _children(settings, listener, log_to_stderr)
    try:
        for child in children:
            child.start()
        _announce(settings, first_link, stop)
        while not stop:
            for child in children:
                child.keep_alive()
            time.sleep(POLL_S)
        _log.info("stopping")
    finally:
        end_all(children)


def _children(settings: Configuration, listener: socket.socket, log_to_stderr: bool) -> list[Child]:
    def child(name: str, *arguments: str, keep: tuple[int, ...] = ()) -> Child:
        command = [sys.executable, "-m", "cryocloud.web", name, *arguments]
        return Child(
            name,
            command,
            lambda: _log_of(name, settings, log_to_stderr),
            frozen_after_s=settings.frozen_after_s,
            keep=keep,
        )

    descriptor = listener.fileno()
    web = child("serve", "--descriptor", str(descriptor), keep=(descriptor,))
    inbox = [] if settings.inbox_port is None else [child("inbox")]
    return [web, child("scheduler"), child("worker"), *inbox]


def _prepare(settings: Configuration, log: IO[bytes]) -> str:
    """Bring home and database up to date; the path of the first administrator's link while there is none."""
    command = [sys.executable, "-m", "cryocloud.web", "prepare"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    log.write(done.stderr.encode())
    log.flush()
    if done.returncode:
        sys.stderr.write(done.stderr)
        raise CannotStart(f"the home {settings.home} could not be prepared; the reason stands above")
    told = json.loads(done.stdout.splitlines()[-1])
    for warning in told["warnings"]:
        _log.error(warning)
        print(f"Warning: {warning}", file=sys.stderr)
    return str(told["first_link"])


def _announce(settings: Configuration, first_link: str, stop: list[int]) -> None:
    """Say where it is, once it answers."""
    deadline_s = time.monotonic() + ANSWER_WAIT_S
    while not stop and not _answers(settings.port):
        if time.monotonic() > deadline_s:
            raise CannotStart(f"the web process does not answer; see {settings.home}/logs/serve.log")
        time.sleep(POLL_S)
    if stop:
        return
    print(f"CryoCloud is at {settings.address}/")
    if first_link:
        print(f"Make the first administrator (this link works once): {settings.address}{first_link}")
    if not settings.smtp_url:
        print(
            f"There is no mail server (CRYOCLOUD_SMTP_URL): codes and other mails lie in {settings.mail_folder}"
        )
    print("Ctrl-C stops it; jobs that run go on.", flush=True)
    _log.info("up", extra={"address": settings.address})


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_WAIT_S)
    try:
        connection.request("GET", "/health/live")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


@contextlib.contextmanager
def _locked_home(home: Path) -> Iterator[None]:
    """Only one platform to a home; the lock goes with the process, however it ends."""
    try:
        keep_secret_key(read_configuration({PREFIX + "HOME": str(home)}))
        lock = (home / "up.lock").open("a")
    except OSError as error:
        raise CannotStart(f"{home} cannot be written ({error.strerror}); choose another --home") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CannotStart(f"it already runs in {home}; stop that one, or choose another --home") from None
        yield


@contextlib.contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    """The socket for the web process; the one of a platform that is just ending is waited for."""
    deadline_s = time.monotonic() + PORT_WAIT_S
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        while True:
            try:
                listener.bind(("127.0.0.1", port))
                break
            except OSError as error:
                if time.monotonic() > deadline_s:
                    words = (
                        f"port {port} on 127.0.0.1 cannot be used ({error.strerror}); choose another --port"
                    )
                    raise CannotStart(words) from None
                time.sleep(POLL_S)
        listener.listen(BACKLOG)
        yield listener


def _log_of(name: str, settings: Configuration, to_stderr: bool) -> IO[bytes]:
    """Where a process writes its log; it sets a large file aside by itself."""
    if to_stderr:
        return os.fdopen(os.dup(2), "ab", buffering=0)
    path = settings.home / "logs" / f"{name}.log"
    path.parent.mkdir(exist_ok=True, mode=0o700)
    return path.open("ab", buffering=0)


def _write_own_log(settings: Configuration, to_stderr: bool) -> None:
    handler: logging.Handler = logging.StreamHandler()
    if not to_stderr:
        folder = settings.home / "logs"
        folder.mkdir(exist_ok=True, mode=0o700)
        handler = logging.handlers.RotatingFileHandler(
            folder / "up.log", maxBytes=settings.log_bytes_max, backupCount=OLDER_LOGS
        )
    plain = logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s")
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else plain)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
