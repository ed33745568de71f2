"""A file arrives byte for byte although connections drop at random and the server is killed in the middle."""

from __future__ import annotations

import hashlib
import random
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from django.db import connection

from cryocloud.web.core import places
from cryocloud.web.data.models import DatasetFile
from cryocloud.web.data.partial_file import hash_of_file
from platform_server import Served, serving
from web_data import Tus, reset, run_tasks

MIB = 1 << 20
MEMORY_MAX_MIB = 200


class Source:
    """A file that is not on disk: block n is the SHAKE of its number, so any range can be made again."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.blocks = [hashlib.shake_256(b"%d" % number).digest(MIB) for number in range(16)]

    def read(self, begin: int, length: int) -> Iterator[bytes]:
        end = min(self.size, begin + length)
        while begin < end:
            number, within = divmod(begin, MIB)
            # The number of the block is part of it, so that a block in the wrong place is noticed.
            block = number.to_bytes(8, "big") + self.blocks[number % 16][8:]
            piece = block[within : within + end - begin]
            yield piece
            begin += len(piece)

    def sha256(self) -> str:
        digest = hashlib.sha256()
        for piece in self.read(0, self.size):
            digest.update(piece)
        return digest.hexdigest()


def peak_memory_mib(process_id: int) -> float:
    status = Path(f"/proc/{process_id}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) / 1024


class Journey:
    """Sends chunks as a browser does; some are broken off on the way, and twice the server is killed."""

    def __init__(self, home: Path, secret: str, source: Source, seed: int) -> None:
        self.home, self.secret, self.source = home, secret, source
        self.random = random.Random(seed)
        self.stack = ExitStack()
        self.peaks_mib: list[float] = []
        self.drops = self.kills = 0
        self.start()

    def start(self) -> None:
        self.served: Served = self.stack.enter_context(
            serving(self.home, str(connection.settings_dict["NAME"]))
        )
        self.tus = Tus(self.served.address, self.secret)

    def send(self, url: str, chunk_bytes: int) -> None:
        kills_at = [self.source.size // 3, 2 * self.source.size // 3]
        while (offset := self.tus.offset(url)) < self.source.size:
            length = min(chunk_bytes, self.source.size - offset)
            if kills_at and offset + length > kills_at[0]:
                kills_at.pop(0)
                self._kill_during(url, offset, length)
            elif self.random.random() < 0.3:
                self._drop_during(url, offset, length)
            else:
                self._send_whole(url, offset, length)
        self.note_memory()

    def _send_whole(self, url: str, offset: int, length: int) -> None:
        headers = {
            "Upload-Offset": str(offset),
            "Content-Type": "application/offset+octet-stream",
            "Content-Length": str(length),
        }
        answer = self.tus.http.patch(url, content=self.source.read(offset, length), headers=headers)
        assert answer.status_code in (204, 409, 423), answer.text

    def _drop_during(self, url: str, offset: int, length: int) -> None:
        line = self.tus.begin_patch(url, offset, length)
        for piece in self.source.read(offset, self.random.randrange(length)):
            line.sendall(piece)
        reset(line)
        self.drops += 1

    def _kill_during(self, url: str, offset: int, length: int) -> None:
        self.note_memory()
        line = self.tus.begin_patch(url, offset, length)
        for piece in self.source.read(offset, length // 2):
            line.sendall(piece)
        self.served.process.kill()
        self.served.process.wait()
        line.close()
        self.kills += 1
        self.start()

    def note_memory(self) -> None:
        self.peaks_mib.append(peak_memory_mib(self.served.process.pid))


def survive(home: Path, owner, dataset, size: int, chunk_bytes: int) -> Journey:
    source = Source(size)
    journey = Journey(home, owner.secret, source, seed=size)
    with journey.stack:
        url = journey.tus.created(dataset, "movie.mrcs", size)
        began_s = time.monotonic()
        journey.send(url, chunk_bytes)
        print(
            f"{size / MIB:.0f} MiB in {time.monotonic() - began_s:.1f} s, {journey.drops} drops, "
            f"{journey.kills} kills, peaks {[round(one) for one in journey.peaks_mib]} MiB"
        )
        run_tasks()
        file = DatasetFile.unscoped.select_related("stored").get()
        expected = source.sha256()
        assert file.stored.sha256 == expected
        assert hash_of_file(places.blob_file(file.stored.key)) == expected
        _check_download(journey, file.pk, expected)
    assert journey.kills == 2
    assert journey.drops > 0
    assert max(journey.peaks_mib) < MEMORY_MAX_MIB
    return journey


def _check_download(journey: Journey, file_id: str, expected: str) -> None:
    digest = hashlib.sha256()
    headers = {"Authorization": f"Bearer {journey.secret}"}
    address = f"{journey.served.address}/api/v1/files/{file_id}/content"
    with httpx.stream("GET", address, headers=headers, timeout=60) as answer:
        assert answer.status_code == 200
        for piece in answer.iter_bytes():
            digest.update(piece)
    assert digest.hexdigest() == expected
    journey.note_memory()


def test_64_mib_survive_drops_and_kills(transactional_db, home, owner, dataset):
    survive(home, owner, dataset, 64 * MIB + 12345, 4 * MIB)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.requirement("OWN-04")
def test_2_gib_survive_drops_and_kills_within_200_mib(transactional_db, home, owner, dataset):
    survive(home, owner, dataset, 2048 * MIB, 16 * MIB)
