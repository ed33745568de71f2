"""What a tenant reads of a job's log and messages names no folder of the server."""

from __future__ import annotations

import pytest

from cryocloud.web.configuration import configuration
from cryocloud.web.runs.log import without_places


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{home}/datasets/d1/files/sub/m.mrc: damaged", "sub/m.mrc: damaged"),
        ("{home}/attempts/a1/out/log.txt", "log.txt"),
        ("see {home}/secret-key", "see secret-key"),
        ('File "/usr/lib/python3.11/json/decoder.py", line 3', 'File "decoder.py", line 3'),
        ("cannot open '/srv/other/home/blobs/ab/cdef'", "cannot open 'cdef'"),
        ("path=/srv/a/b.mrc,(/srv/c/d.mrc)", "path=b.mrc,(d.mrc)"),
        ("item /data/krios/m.mrc: missing", "item m.mrc: missing"),
        ("dose 1.2 e/px/s and 3 e⁻/Å²/frame, https://example.org/a/b", "dose 1.2 e/px/s and 3 e⁻/Å²/frame, https://example.org/a/b"),
        ("sub/m.mrc and ../Extract/a.mrcs, 20 / 30 / 40", "sub/m.mrc and ../Extract/a.mrcs, 20 / 30 / 40"),
    ],
)  # fmt: skip
def test_folders_of_the_server_are_left_out(text, shown):
    assert without_places(text.replace("{home}", str(configuration().home))) == shown
