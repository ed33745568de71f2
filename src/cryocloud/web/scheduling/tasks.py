"""Compiled kernels for confined jobs, where none came with the installation."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from datetime import timedelta

from django_tasks import task

from cryocloud.compute.warm import ATTACHED, is_warm
from cryocloud.web.core.models import BackgroundTask
from cryocloud.web.core.periodic import every
from cryocloud.web.core.places import warm_folder

TIMEOUT_S = 3600
NICENESS = 10


@every(timedelta(hours=24))
def order_warming() -> None:
    """At the first start, and after the kernels have changed."""
    if is_warm(warm_folder()) or importlib.util.find_spec("torch") is None:
        return
    waiting = BackgroundTask.objects.filter(path=warm_kernels.module_path)
    if not waiting.filter(state__in=(BackgroundTask.State.READY, BackgroundTask.State.RUNNING)).exists():
        warm_kernels.enqueue()


@task(priority=-60)
def warm_kernels() -> None:
    """Jobs that start meanwhile compile for themselves."""
    command = ["nice", "-n", str(NICENESS), sys.executable, "-m", "cryocloud.compute.warm"]
    with subprocess.Popen([*command, str(warm_folder()), ATTACHED], stdin=subprocess.PIPE) as warming:
        try:
            code = warming.wait(TIMEOUT_S)
        finally:
            warming.terminate()
    if code:
        raise RuntimeError(f"the kernels were not compiled: it ended with code {code}")
