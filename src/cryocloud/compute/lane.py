"""The local lane: prepares an output folder, runs one attempt on this machine and follows it.

``python -m cryocloud.compute.lane`` reads one JSON order on standard input; ``cryocloud run`` starts it. With
``--attached`` the order is one line, and the job is stopped when standard input closes: it ends with who ordered it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from cryocloud.compute import attempt as protocol
from cryocloud.compute.attempt import Attempt
from cryocloud.compute.display import Display, make_display
from cryocloud.compute.files import read_json
from cryocloud.compute.results_folder import Order, RefusedError, prepare

FOLLOW_S = 0.1

Event = dict[str, Any]


@dataclass(frozen=True)
class Ending:
    """How an attempt ended, as its ``exit.json`` says."""

    code: int
    message: str


def main() -> int:
    if "--attached" in sys.argv[1:]:
        order = Order(**json.loads(_read_line()))
        threading.Thread(target=_stop_when_owner_ends, daemon=True).start()
    else:
        order = Order(**json.load(sys.stdin))
    display = make_display(order.progress, order.job_type)
    try:
        ending = run(order, display)
    except RefusedError as refusal:
        display.error(str(refusal))
        return protocol.BAD_INPUT
    except KeyboardInterrupt:
        return protocol.CANCELLED
    except OSError as error:
        if error.errno not in protocol.DISK_FULL_ERRORS:
            raise
        display.error(disk_full_message(order.out))
        return protocol.INTERNAL_ERROR
    return command_line_code(ending.code)


def _read_line() -> bytes:
    """Without a buffer, in which the end of the input would be waited for."""
    line = bytearray()
    while not line.endswith(b"\n") and (piece := os.read(0, 1)):
        line += piece
    return bytes(line)


def _stop_when_owner_ends() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def command_line_code(code: int) -> int:
    """The exit code of the command line for the code of an attempt."""
    known = (protocol.DONE, protocol.BAD_INPUT, protocol.DONE_WITH_EXCEPTIONS, protocol.CANCELLED)
    return code if code in known else protocol.INTERNAL_ERROR


def run(order: Order, display: Display) -> Ending:
    """Run one job in ``order.out``, or go on with it, and show its life to the end."""
    attempt = prepare(order)
    command = [sys.executable, "-m", "cryocloud.compute.runner", str(attempt.folder), "--attached"]
    runner = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    with _signals_ask_to_stop(runner):
        for event in _events(attempt, runner):
            display.event(event)
        status = runner.wait()
    ending = _ending(attempt, status, order.out)
    display.finish(ending.code, ending.message, order.out)
    return ending


def _ending(attempt: Attempt, status: int, out: str) -> Ending:
    if attempt.exit_file.exists():
        ended = read_json(attempt.exit_file)
        return Ending(ended["code"], ended["message"])
    if status == protocol.DISK_FULL:
        return Ending(status, disk_full_message(out))
    if status == -signal.SIGTERM:
        return Ending(protocol.CANCELLED, "cancelled before it began")
    return Ending(protocol.INTERNAL_ERROR, f"the runner ended without a record (status {status})")


def disk_full_message(out: str) -> str:
    """For the case that not even the reason could be written down."""
    return f"disk full at {out}; free some space and run the same command again"


@contextmanager
def _signals_ask_to_stop(runner: subprocess.Popen[bytes]) -> Iterator[None]:
    def ask(number: int, frame: object) -> None:
        runner.terminate()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    former = {number: signal.signal(number, ask) for number in numbers}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _events(attempt: Attempt, runner: subprocess.Popen[bytes]) -> Iterator[Event]:
    """Events as they come, until the runner has ended and all are read."""
    position = 0
    while True:
        ended = runner.poll() is not None
        with suppress(FileNotFoundError), attempt.events_file.open("rb") as stream:
            os.lseek(stream.fileno(), position, os.SEEK_SET)
            fresh = stream.read()
            complete = fresh[: fresh.rfind(b"\n") + 1]
            position += len(complete)
            yield from (json.loads(line) for line in complete.splitlines())
        if ended:
            return
        time.sleep(FOLLOW_S)


if __name__ == "__main__":
    sys.exit(main())
