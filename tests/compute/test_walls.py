"""Walls one by one: which are chosen, what each refuses, and what is said where one is missing."""

from __future__ import annotations

import os
import platform
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cryocloud.compute.isolation import cells, landlock, seccomp, walls
from cryocloud.compute.isolation.confine import Confinement, own_status, start_confined
from cryocloud.compute.sandbox import run_tool

Tool = Callable[..., dict[str, Any]]
HEADERS = {
    "x86_64": "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
    "aarch64": "/usr/include/asm-generic/unistd.h",
}
NAMES = [
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "process_madvise",
    "pidfd_getfd",
    "kcmp",
    "mount",
    "umount2",
    "pivot_root",
    "chroot",
    "unshare",
    "setns",
    "open_tree",
    "move_mount",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "mount_setattr",
    "add_key",
    "request_key",
    "keyctl",
    "bpf",
    "perf_event_open",
    "kexec_load",
    "kexec_file_load",
    "init_module",
    "finit_module",
    "delete_module",
    "userfaultfd",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "name_to_handle_at",
    "open_by_handle_at",
    "swapon",
    "swapoff",
    "reboot",
    "sethostname",
    "setdomainname",
    "settimeofday",
    "clock_settime",
    "clock_adjtime",
    "adjtimex",
    "acct",
    "quotactl",
    "quotactl_fd",
    "syslog",
    "vhangup",
    "fanotify_init",
    "lookup_dcookie",
    "migrate_pages",
    "move_pages",
    "memfd_create",
    "memfd_secret",
    "shmget",
    "msgget",
    "semget",
    "mq_open",
]


def confinement(kind: walls.Kind, **more: Any) -> Confinement:
    return Confinement(
        kind=kind, readable=(), writable=(), scratch="", hidden="", memory_bytes=512 << 20, **more
    )


@pytest.fixture(params=["namespaces", "landlock"])
def kind(request: pytest.FixtureRequest) -> walls.Kind:
    reason = walls.namespaces_problem() if request.param == "namespaces" else ""
    if reason or not (request.param == "namespaces" or landlock.version()):
        pytest.skip(f"{request.param}: {reason or 'not in this kernel'}")
    found: walls.Kind = request.param
    return found


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    """``run(kind, source, order)``: the answer of a tool with this source."""
    folder = tmp_path / "code"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)

    def call(around: Confinement, source: str, **order: Any) -> dict[str, Any]:
        head = "import json, os, signal, socket, sys\ngiven = json.load(sys.stdin)\n"
        (folder / "strange_tool.py").write_text(f"{head}{source}\nprint(json.dumps(found))\n")
        return run_tool("strange_tool", order, timeout_s=30, confinement=around)

    return call


def test_a_tool_reads_what_it_was_given_and_nothing_else(run: Tool, kind: walls.Kind, tmp_path: Path) -> None:
    given, other = tmp_path / "given", tmp_path / "other"
    given.write_text("mine")
    other.write_text("theirs")
    source = (
        "found = {}\n"
        "for name in ('given', 'other'):\n"
        "    try: found[name] = open(given[name]).read()\n"
        "    except OSError: found[name] = None\n"
    )
    around = replace(confinement(kind), readable=(str(given),))
    assert run(around, source, given=str(given), other=str(other)) == {"given": "mine", "other": None}


def test_a_tool_writes_into_its_folder_only(run: Tool, kind: walls.Kind, tmp_path: Path) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    out.mkdir()
    other.mkdir()
    source = (
        "found = {}\n"
        "for name in ('out', 'other'):\n"
        "    try: found[name] = open(given[name] + '/new', 'w').write('x')\n"
        "    except OSError: found[name] = 0\n"
    )
    around = replace(confinement(kind), writable=(str(out),))
    assert run(around, source, out=str(out), other=str(other)) == {"out": 1, "other": 0}
    assert not (other / "new").exists()


def test_a_tool_reaches_neither_network_nor_processes(run: Tool, kind: walls.Kind) -> None:
    source = (
        "found = {}\n"
        "def tried(name, act):\n"
        "    try: act(); found[name] = True\n"
        "    except OSError: found[name] = False\n"
        "tried('network', lambda: socket.create_connection(('127.0.0.1', given['port']), 2))\n"
        "tried('signal', lambda: os.kill(given['pid'], 0))\n"
        "tried('environment', lambda: open(f\"/proc/{given['pid']}/environ\").read())\n"
        "tried('namespace', lambda: os.unshare(0x10000000) if hasattr(os, 'unshare') else open('/proc/1/ns/mnt'))\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as door:
        found = run(confinement(kind), source, port=door.getsockname()[1], pid=os.getpid())
    expected = {"network": False, "environment": False}
    if kind == "namespaces" or landlock.holds_signals():
        expected["signal"] = False
    assert {name: found[name] for name in expected} == expected


def test_landlock_leaves_nothing_of_what_it_does_not_see(run: Tool, tmp_path: Path) -> None:
    """Modes, owners, times, sockets with a path, limits and priorities of others, inputs through their descriptors."""
    if not landlock.version():
        pytest.skip("not in this kernel")
    other, given = tmp_path / "other", tmp_path / "given"
    for file in (other, given):
        file.write_text("theirs")
    source = (
        "import ctypes, resource, subprocess\n"
        "libc, found, other = ctypes.CDLL(None), [], given['other']\n"
        "def tried(name, act):\n"
        "    try: found.append(name) if act() != -1 else None\n"
        "    except OSError: pass\n"
        "held = (ctypes.c_uint32 * 6)()\n"
        "libc.capget((ctypes.c_uint32 * 2)(0x20080522, 0), held)\n"
        "tried('powers', lambda: 1 if any(one & ~4 for one in held) else -1)\n"
        "tried('mode', lambda: os.chmod(other, 0o777))\n"
        "tried('mode of an input', lambda: os.fchmod(os.open(given['given'], os.O_RDONLY), 0o777))\n"
        "tried('owner', lambda: os.chown(other, os.getuid(), os.getgid()))\n"
        "tried('time', lambda: os.utime(other, (1, 1)))\n"
        "tried('attribute', lambda: os.setxattr(other, 'user.x', b'1'))\n"
        "tried('length', lambda: os.truncate(other, 0))\n"
        "tried('socket', lambda: socket.socket(socket.AF_UNIX).connect(given['socket']))\n"
        "tried('limits', lambda: resource.prlimit(given['pid'], resource.RLIMIT_CORE, (0, 0)))\n"
        "tried('processors', lambda: os.sched_setaffinity(given['pid'], os.sched_getaffinity(0)))\n"
        "tried('priority', lambda: os.setpriority(os.PRIO_PROCESS, given['pid'], 19))\n"
        "tried('watch', lambda: libc.inotify_add_watch(libc.inotify_init(), os.path.dirname(other).encode(), 4095))\n"
        "tried('group', lambda: subprocess.run(['true'], start_new_session=True).returncode)\n"
        "tried('own limits', lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)))\n"
        "found = {'got': found}\n"
    )
    with socket.socket(socket.AF_UNIX) as door, subprocess.Popen(["sleep", "20"]) as neighbor:
        place = f"{tempfile.mkdtemp()}/door"
        door.bind(place)
        door.listen()
        around = replace(confinement("landlock"), readable=(str(given),))
        found = run(around, source, other=str(other), given=str(given), pid=neighbor.pid, socket=place)
        neighbor.kill()
    assert found == {"got": ["own limits"]}


def test_a_job_with_a_gpu_sees_no_groups_of_others(run: Tool) -> None:
    if walls.namespaces_problem():
        pytest.skip(walls.namespaces_problem())
    source = "found = {'devices': len(os.listdir('/sys/devices')) > 0, 'groups': os.listdir('/sys/fs')}\n"
    assert run(confinement("namespaces", gpu=True), source) == {"devices": True, "groups": []}


def test_an_old_kernel_leaves_signals_to_the_own_group_only() -> None:
    """Landlock holds signals from version 6 on."""
    source = (
        "import os, signal, sys\n"
        "from cryocloud.compute.isolation import seccomp\n"
        "seccomp.restrict_self(with_signals=False)\n"
        "for act in (lambda: os.kill(os.getppid(), 0), lambda: os.kill(-1, 0), lambda: os.kill(1, 0),\n"
        "            lambda: signal.pidfd_send_signal(os.pidfd_open(os.getppid()), 0)):\n"
        "    try: act(); sys.exit(1)\n"
        "    except PermissionError: pass\n"
        "os.kill(0, signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", source], check=False, process_group=0)
    assert ended.returncode == -signal.SIGKILL


def test_processor_time_ends_with_its_own_signal(kind: walls.Kind, tmp_path: Path) -> None:
    (tmp_path / "busy.py").write_text("while True: pass")
    around = confinement(kind, cpu_s=1)
    around = replace(around, scratch=str(tmp_path), readable=(str(tmp_path),))
    stream: Any = subprocess.DEVNULL
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
        child = start_confined(around, cells.Cell(()), ["busy"], stdin=stream, stdout=stream, stderr=stream)
    assert own_status(around, child.wait(60)) == -signal.SIGXCPU


def test_compiled_kernels_are_a_copy(run: Tool, kind: walls.Kind, tmp_path: Path) -> None:
    warm = tmp_path / "warm"
    (warm / "numba").mkdir(parents=True)
    (warm / "numba/kernel.nbc").write_text("compiled")
    source = (
        "cache = os.environ['NUMBA_CACHE_DIR']\n"
        "found = {'read': open(cache + '/kernel.nbc').read()}\n"
        "open(cache + '/kernel.nbc', 'w').write('poisoned')\n"
    )
    assert run(replace(confinement(kind), warm=str(warm)), source) == {"read": "compiled"}
    assert (warm / "numba/kernel.nbc").read_text() == "compiled"


@pytest.mark.parametrize("machine", list(HEADERS))
def test_the_filter_refuses_the_calls_that_it_means(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    header = Path(HEADERS[machine])
    if not header.is_file():
        pytest.skip(f"{header} is not installed (apt-get install linux-libc-dev)")
    numbers = dict(re.findall(r"#define __NR(?:3264)?_(\w+) (\d+)", header.read_text()))
    monkeypatch.setattr(platform, "machine", lambda: machine)
    steps = [seccomp.program()[at : at + 8] for at in range(0, len(seccomp.program()), 8)]
    compared = {int.from_bytes(step[4:], "little") for step in steps if step[0] == 0x15}
    wanted = {int(numbers[name]) for name in NAMES if name in numbers}
    assert len(wanted) > 50 and wanted <= compared


def test_what_is_wished_for_and_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walls, "namespaces_problem", lambda: "bubblewrap is not installed")
    with pytest.raises(walls.NoWalls, match=r"not installed; install bubblewrap"):
        walls.chosen("namespaces")
    assert walls.chosen("off") == "none"
    monkeypatch.setattr(landlock, "version", lambda: 7)
    assert walls.chosen("auto") == "landlock"
    first = walls.report()[0]
    assert first.stands and "Landlock only" in first.meaning
    monkeypatch.setattr(landlock, "version", lambda: 0)
    assert walls.chosen("auto") == "none"
    assert not walls.report()[0].stands
    with pytest.raises(walls.NoWalls, match="CRYOCLOUD_SIGN_UP_OPEN=false"):
        walls.require_for_strangers("auto")
    walls.require_for_strangers("off")


def test_a_cell_of_version_2_holds_memory_and_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a made-up file system: what is written where, as the kernel's cgroup-v2 document has it."""
    own = tmp_path / "system.slice/cryocloud.service"
    (own / "platform").mkdir(parents=True)
    (tmp_path / "cgroup.controllers").write_text("memory pids")
    (own / "cgroup.subtree_control").write_text("memory pids")
    monkeypatch.setattr(cells, "ROOT", tmp_path)
    monkeypatch.setattr(cells, "_own_groups", lambda: {"": "/system.slice/cryocloud.service/platform"})
    cells._bases.cache_clear()
    try:
        cell = cells.make_cell("one", memory_bytes=1 << 30, processes=100)
        group = own / "cryocloud-one"
        assert cell.groups == (group,)
        assert (group / "memory.max").read_text() == str(1 << 30)
        assert (group / "pids.max").read_text() == "100"
        assert cells.limits() == ("memory", "pids")
        assert str(group) in cell.command(["true"])
    finally:
        cells._bases.cache_clear()
