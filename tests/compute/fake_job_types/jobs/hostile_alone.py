"""Attacks that are tried alone, because they use something up, destroy it, or end the process."""

import json
import mmap
import os
import signal
import threading
import time
from pathlib import Path


def fork_bomb(facts):
    while True:
        try:
            os.fork()
        except OSError:
            time.sleep(0.01)


def thread_bomb(facts):
    while True:
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()


def eat_memory(facts):
    kept = []
    while True:
        kept.append(bytearray(os.urandom(1 << 20)) * 64)


def eat_memory_together(facts):
    size_bytes = facts["memory_bytes"] // 8
    for _ in range(12):
        if os.fork() == 0:
            kept = bytearray(size_bytes)
            for place in range(0, size_bytes, mmap.PAGESIZE):
                kept[place] = 1
            time.sleep(600)
    time.sleep(600)


def eat_shared_memory(facts):
    with open("/dev/shm/big", "wb") as file:
        for _ in range(1024):
            file.write(bytes(1 << 20))
    return "a gigabyte"


def huge_file(facts):
    os.truncate(os.open(f"{facts['out']}/huge", os.O_WRONLY | os.O_CREAT), 1 << 42)
    return "four terabytes"


def ignore_the_end(facts):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.close(0)
    while True:
        pass


def stop_the_runner(facts):
    os.kill(0, signal.SIGSTOP)
    time.sleep(600)


def deep_folders(facts):
    os.chdir(facts["out"])
    for _ in range(3000):
        os.mkdir("d")
        os.chdir("d")


def strange_names(facts):
    out = facts["out"].encode()
    for name in (b"\xff\xfe", b"a\nb", b"c\x1b[31md", "\u202egnp.exe".encode(), b".hidden", b"\xed\xa0\x80"):
        Path(os.fsdecode(out + b"/" + name)).write_text("x")


def links_everywhere(facts):
    out = Path(facts["out"])
    (out / "log.txt").unlink()
    (out / "log.txt").symlink_to(f"{facts['home']}/secret-key")
    (out / "job.json").symlink_to(f"{facts['home']}/secret-key")
    (out / "stolen.txt").symlink_to(facts["foreign"])
    for path in (out / "plots").iterdir():
        path.unlink()
    (out / "plots").rmdir()
    (out / "plots").symlink_to(facts["home"])
    (out / ".checkpoint").symlink_to(facts["home"])
    (out / ".job.json.1.partial").symlink_to(f"{facts['home']}/secret-key")


def pipes_everywhere(facts):
    out = Path(facts["out"])
    for name in ("metrics.json", "job.json", "log.txt", "exceptions.csv", "more"):
        (out / name).unlink(missing_ok=True)
        os.mkfifo(out / name)
    events = Path(facts["attempt"], "handover/events.jsonl")
    events.unlink(missing_ok=True)
    os.mkfifo(events)
    os.mkfifo(Path(facts["attempt"], "handover/outcome.json"))
    os._exit(0)


def fill_unseen(facts):
    """A file that no folder names any more."""
    with open(f"{facts['out']}/unseen", "wb") as file:
        os.unlink(file.name)
        for _ in range(32):
            file.write(os.urandom(1 << 20))
        os.fsync(file.fileno())
        wait_for_the_end(facts)


def fill_deep(facts):
    os.chdir(facts["out"])
    for _ in range(20):
        os.mkdir("d" * 250)
        os.chdir("d" * 250)
    Path("large").write_bytes(os.urandom(32 << 20))
    os.chdir("/")
    wait_for_the_end(facts)


def fill_closed(facts):
    os.mkdir(f"{facts['out']}/closed")
    Path(facts["out"], "closed/large").write_bytes(os.urandom(32 << 20))
    os.chmod(f"{facts['out']}/closed", 0)
    wait_for_the_end(facts)


def fill_handover(facts):
    Path(facts["attempt"], "handover/large").write_bytes(os.urandom(32 << 20))
    wait_for_the_end(facts)


def wait_for_the_end(facts):
    Path(facts["out"], "filled").write_text("")
    time.sleep(600)


def many_links(facts):
    for number in range(3000):
        os.symlink("/etc/passwd", f"{facts['out']}/link{number}")


def many_folders(facts):
    for number in range(3000):
        os.mkdir(f"{facts['out']}/folder{number}")


def names_that_break_archives(facts):
    for name in ("SHA256SUMS", "..\\..\\evil.exe"):
        Path(facts["out"], name).write_text("x")


def closed_scratch(facts):
    os.makedirs("/tmp/inner/deep")
    os.chmod("/tmp/inner/deep", 0)
    os.chmod("/tmp/inner", 0)


def closed_folders(facts):
    out = Path(facts["out"])
    (out / "inner").mkdir()
    (out / "inner/file").write_text("x")
    (out / "inner").chmod(0)
    Path(facts["attempt"], "handover").chmod(0)
    out.chmod(0)
    os._exit(0)


def numbers_that_are_none(facts):
    out = Path(facts["out"])
    (out / "metrics.json").write_text('{"resolution_angstrom": NaN, "particles": 1e999}')
    forge(facts, {"code": 0, "message": "", "device": "cpu", "decisions": [], "exceptions": 0})


def negative_seconds(facts):
    forge(facts, {"code": 0, "wall_s": -1e9, "cpu_s": -1e9, "peak_memory_bytes": -1, "exceptions": -5})


def empty_record(facts):
    forge(facts, {})


def code_of_the_future(facts):
    forge(facts, {"code": 10**30, "message": "x" * 10**6, "decisions": [[[[]]]]})


def endless_events(facts):
    with open(f"{facts['attempt']}/handover/events.jsonl", "ab") as events:
        events.write(b"{" * (8 << 20) + b"\n")
        events.write(b'{"event": "progress", "fraction": NaN, "message": "a"}\n' * 1000)
        events.write(b'{"event": "progress", "fraction": 1e400, "message": "a"}\n')
        events.write(b"[" * 100_000 + b"\n")
        events.write(b"\xff\xfe\0\n")
    time.sleep(3)


def forge(facts, outcome):
    """End without our own last word, which would overwrite this one."""
    Path(facts["attempt"], "handover/outcome.json").write_text(json.dumps(outcome))
    os._exit(0)


ESCAPES = {name: value for name, value in list(globals().items()) if callable(value)}
