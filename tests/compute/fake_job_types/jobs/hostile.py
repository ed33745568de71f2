"""Escapes from a job process. Each returns what it got; nothing, or an error, means that the wall held."""

import ctypes
import fcntl
import json
import os
import resource
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import termios
import time
from pathlib import Path

from cryocloud.compute.context import JobContext
from cryocloud.jobs import hostile_alone

libc = ctypes.CDLL(None, use_errno=True)


def run(job: JobContext) -> None:
    facts = job.parameters.facts | {"out": str(job.out), "attempt": str(job.out.parent)}
    found = {}
    for name in job.parameters.escapes:
        try:
            found[name] = repr(ESCAPES[name](facts) or "")[:200].strip("'\"")
        except Exception:
            found[name] = ""
        (job.out / "escapes.json").write_text(json.dumps(found))
    job.metrics(tried=len(found))


def called(number, *arguments):
    """What a system call got, if it got anything."""
    answer = libc.syscall(number, *arguments)
    return f"answered {answer}" if answer >= 0 else ""


def opened_for_writing(path):
    with open(path, "ab"):
        return f"{path} opened"


def listened(path, family=socket.AF_INET, kind=socket.SOCK_STREAM):
    with socket.socket(family, kind) as line:
        line.settimeout(2)
        line.connect(path)
        line.send(b"hello")
        return "connected"


# --- files of the platform and of others


def read_secret_key(facts):
    return Path(facts["home"], "secret-key").read_text()


def read_foreign_dataset(facts):
    return Path(facts["foreign"]).read_bytes()


def read_foreign_by_proc_root(facts):
    return next((p.read_bytes() for p in Path("/proc").glob(f"*/root{facts['foreign']}")), "")


def read_blobs(facts):
    return os.listdir(Path(facts["home"], "blobs"))


def list_home(facts):
    seen = set(os.listdir(facts["home"])) - {"attempts", "datasets", "results"}
    return sorted(seen)


def list_datasets(facts):
    return len(os.listdir(Path(facts["home"], "datasets"))) > 1


def read_database(facts):
    return Path(facts["database"]).read_bytes()[:16]


def write_database(facts):
    with sqlite3.connect(facts["database"]) as database:
        return database.execute("select count(*) from sqlite_master").fetchall()


def read_passwords(facts):
    return Path("/etc/shadow").read_text()


def read_people(facts):
    return Path("/etc/passwd").read_text()


def read_keys_of_people(facts):
    return [str(p) for p in Path(facts["person_home"]).glob(".ssh/*")]


def write_spec(facts):
    return opened_for_writing(f"{facts['attempt']}/spec.json")


def forge_exit(facts):
    return opened_for_writing(f"{facts['attempt']}/exit.json")


def forge_heartbeat(facts):
    return opened_for_writing(f"{facts['attempt']}/hb.json")


def forge_started(facts):
    os.replace(f"{facts['out']}/escapes.json", f"{facts['attempt']}/started.json")
    return "started.json replaced"


def remove_claim(facts):
    os.unlink(f"{facts['attempt']}/claim")
    return "claim removed"


def replace_out(facts):
    os.rename(facts["out"], f"{facts['attempt']}/gone")
    return "out replaced"


def write_code(facts):
    import cryocloud

    return opened_for_writing(cryocloud.__file__)


def write_interpreter(facts):
    return opened_for_writing(Path(sys.prefix, "lib", "sitecustomize.py"))


def write_programs(facts):
    return opened_for_writing("/usr/local/bin/hello")


def write_root(facts):
    return opened_for_writing("/hello")


def write_devices(facts):
    return opened_for_writing("/dev/hello")


def write_input(facts):
    return [opened_for_writing(p) for p in Path(facts["own"]).iterdir()]


def link_blob(facts):
    os.link(facts["foreign"], f"{facts['out']}/stolen")
    return "linked"


def link_own_input(facts):
    first = next(Path(facts["own"]).iterdir())
    os.link(first, f"{facts['out']}/own")
    return "linked"


def open_by_handle(facts):
    return called(304, -100, ctypes.create_string_buffer(64), 0)


def make_device(facts):
    os.mknod(f"{facts['out']}/disk", stat.S_IFBLK | 0o600, os.makedev(254, 0))
    return "made"


def read_disk(facts):
    return [
        open(p, "rb").read(16)
        for p in ("/dev/vda", "/dev/sda", "/dev/nvme0n1", "/dev/mem")
        if Path(p).exists()
    ]


def read_kernel_log(facts):
    return open("/dev/kmsg", "rb").read(16)


# --- processes


def read_environments(facts):
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if b"CRYOCLOUD_SECRET_KEY=" in path.read_bytes():
                return str(path)
        except OSError:
            continue
    return ""


def see_processes(facts):
    seen = [p.name for p in Path("/proc").glob("[0-9]*")]
    return seen if len(seen) > 10 else ""


def signal_scheduler(facts):
    os.kill(facts["scheduler_pid"], 0)
    name = Path(f"/proc/{facts['scheduler_pid']}/comm")
    return "it can be signalled" if not name.exists() else ""


def signal_everybody(facts):
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    os.kill(-1, signal.SIGUSR1)


def trace_parent(facts):
    return libc.ptrace(16, os.getppid(), 0, 0) == 0


def read_memory_of_parent(facts):
    return open(f"/proc/{os.getppid()}/mem", "rb").read(1)


def process_vm_readv(facts):
    return called(310, facts["scheduler_pid"], 0, 0, 0, 0, 0)


def take_descriptor(facts):
    return called(438, os.pidfd_open(os.getppid()), 0, 0)


def daemon_survives(facts):
    subprocess.Popen(
        ["/bin/sh", "-c", f"trap '' TERM HUP; sleep {facts['marker']}"], start_new_session=True
    )  # the test looks for it afterwards


def raise_limits(facts):
    resource.setrlimit(resource.RLIMIT_NOFILE, (1 << 20, 1 << 20))
    return "raised"


def raise_priority(facts):
    os.setpriority(os.PRIO_PROCESS, 0, -20)
    return "raised"


def real_time(facts):
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
    return "raised"


def become_root(facts):
    os.setuid(0 if os.getuid() else 1)
    return "became somebody else"


def setuid_program(facts):
    for program in ("/usr/bin/su", "/usr/bin/mount", "/usr/bin/newgrp"):
        said = subprocess.run(
            [program, "-c", "id"], check=False, capture_output=True, text=True, input="", timeout=5
        )
        if "uid=0" in said.stdout:
            return said.stdout
    return ""


def own_setuid_program(facts):
    copy = Path(facts["out"], "id")
    copy.write_bytes(Path("/usr/bin/id").read_bytes())
    copy.chmod(0o4755)
    os.chown(copy, 0, 0)
    said = subprocess.run([copy], check=False, capture_output=True, text=True)
    return said.stdout if "euid=0" in said.stdout else ""


# --- the kernel


def new_user_namespace(facts):
    return libc.unshare(0x10000000) == 0


def namespace_by_clone3(facts):
    return called(435, ctypes.create_string_buffer(b"\0\0\0\x10" + bytes(84)), 88)


def enter_namespace(facts):
    with open("/proc/1/ns/mnt") as space:
        return libc.setns(space.fileno(), 0) == 0


def mount_memory(facts):
    return libc.mount(b"none", b"/tmp", b"tmpfs", 0, None) == 0


def new_mount_calls(facts):
    return called(430, b"tmpfs", 0) or called(428, -100, b"/", 1)


def leave_root(facts):
    os.chroot("/tmp")
    return "changed"


def core_pattern(facts):
    Path("/proc/sys/kernel/core_pattern").write_text("core")
    return "written"


def sysrq(facts):
    Path("/proc/sysrq-trigger").write_text("h")
    return "written"


def kernel_keys(facts):
    return called(250, 0, -3, 0) or called(248, b"user", b"a", b"b", 1, -3)


def kernel_programs(facts):
    return called(321, 0, 0, 0) or called(298, 0, 0, -1, -1, 0)


def io_uring(facts):
    return called(425, 8, ctypes.create_string_buffer(120))


def fault_handler(facts):
    return called(323, 0)


def host_name(facts):
    socket.sethostname("mine")
    return "renamed"


def set_clock(facts):
    time.clock_settime(time.CLOCK_REALTIME, time.time() + 1)
    return "set"


def leave_control_group(facts):
    return [opened_for_writing(p) for p in Path("/sys/fs/cgroup").glob("**/cgroup.procs")]


def type_into_terminal(facts):
    for letter in b"id\n":
        fcntl.ioctl(open("/dev/tty", "wb"), termios.TIOCSTI, bytes([letter]))
    return "typed"


# --- network and memory of others


def tcp(facts):
    return listened(("127.0.0.1", facts["port"]))


def tcp_6(facts):
    return listened(("::1", facts["port"]), socket.AF_INET6)


def udp(facts):
    return listened(("127.0.0.1", facts["port"]), kind=socket.SOCK_DGRAM)


def abstract_socket(facts):
    return listened("\0" + facts["abstract"], socket.AF_UNIX)


def socket_in_home(facts):
    return listened(f"{facts['home']}/socket", socket.AF_UNIX)


def netlink(facts):
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)


def raw_packets(facts):
    return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3)


def to_the_host(facts):
    return socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)


def shared_memory(facts):
    return called(29, facts["shared_key"], 0, 0o600)


def message_queue(facts):
    return called(240, b"cryocloud", 0o102, 0o600, 0)


def leave_in_tmp(facts):
    Path("/tmp", facts["marker"]).write_text("here")
    Path("/dev/shm", facts["marker"]).write_text("here")  # the test looks for both outside


def memory_without_limit(facts):
    return called(319, b"big", 0)


ESCAPES = {name: value for name, value in list(globals().items()) if callable(value)} | hostile_alone.ESCAPES
