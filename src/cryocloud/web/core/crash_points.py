"""Named places at which tests kill a process. Where there are no test seams, passing one does nothing."""

from __future__ import annotations

from cryocloud.web.configuration import configuration


def crash_point(name: str) -> None:
    if configuration().test_seams:
        from cryocloud.web.seams.crashes import reached

        reached(name)
