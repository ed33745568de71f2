"""Two tenants' folders, names that lead from one to the other, and eyes on everything that is outside."""

from __future__ import annotations

import base64
import ctypes
import os
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cryocloud.engine.io.mrc import write_mrc

CANARY = "k7Qz-canary-93Vw"
CANARY_PIXELS = np.array([4711.25, -8123.5, 3.0517578125e-05, 60661.0], dtype=np.float32)
ROWS, COLUMNS = 37, 41
PIXEL_ANGSTROM = 1.375
SECRET, ABSENT = "secret", "absent"
_IN_ACCESS, _IN_OPEN = 0x1, 0x20
_CALLS = ("stat", "lstat", "readlink", "open", "access", "listdir", "scandir")


@dataclass(frozen=True)
class World:
    """``own`` is the folder of the table, ``other`` of somebody else; ``SECRET`` is there, ``ABSENT`` is not."""

    own: Path
    other: Path

    @property
    def home(self) -> Path:
        return self.other.parents[2]


def make_world(home: Path) -> World:
    world = World(home / "datasets" / "own" / "files", home / "datasets" / "other" / "files")
    for folder in (world.own / "sub", world.other):
        folder.mkdir(parents=True)
    pixels = np.resize(CANARY_PIXELS, (ROWS, COLUMNS))
    write_mrc(world.other / f"{SECRET}.mrc", pixels, PIXEL_ANGSTROM)
    write_mrc(world.other / f"{SECRET}.mrcs", pixels[None, :COLUMNS, :ROWS], PIXEL_ANGSTROM, stack=True)
    with (world.other / f"{SECRET}.mrc").open("ab") as stream:
        stream.write(CANARY.encode())
    (world.other / f"{SECRET}.txt").write_text(CANARY)
    for name in (SECRET, ABSENT):
        for suffix in ("mrc", "mrcs", "txt"):
            (world.own / f"{name}_link.{suffix}").symlink_to(world.other / f"{name}.{suffix}")
    (world.own / "neighbor").symlink_to("../../other")
    (world.own / "sub" / "root").symlink_to("/")
    return world


def _relative_root(world: World, file: str) -> str:
    return "../" * 40 + str(world.other / file).lstrip("/")


def _link(world: World, file: str) -> str:
    return file.replace(".", "_link.")


FORMS: dict[str, Callable[[World, str], str]] = {
    "relative": lambda world, file: f"../../other/files/{file}",
    "link": _link,
    "absolute": lambda world, file: str(world.other / file),
    "linked-folder": lambda world, file: f"neighbor/files/{file}",
    "linked-root": lambda world, file: f"sub/root{world.other / file}",
    "up-to-the-root": _relative_root,
    "down-and-up": lambda world, file: f"./sub/.././..//..//other/./files/{file}",
    "through-the-neighbor": lambda world, file: f"../../other/../own/../other/files/{file}",
    "proc": lambda world, file: f"/proc/self/root{world.other / file}",
    "percent": lambda world, file: f"%2e%2e/%2e%2e/other/files/{file}",
    "backslash": lambda world, file: f"..\\..\\other\\files\\{file}",
    "unicode-dots": lambda world, file: f"\u2024\u2024/\u2024\u2024/other/files/{file}",
    "marked": lambda world, file: f">../../other/files/{file}",
    "section": lambda world, file: f"1@../../other/files/{file}",
    "nul": lambda world, file: f"../../other/files/{file}\0.{file}",
    "long": lambda world, file: "./" * 3000 + f"../../other/files/{file}",
}


@dataclass
class Sightings:
    """What was looked at or opened outside."""

    paths: list[str] = field(default_factory=list)
    watched: str = ""


_sightings = Sightings()


_readlink = os.readlink


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if _sightings.watched and event in ("open", "os.listdir", "os.scandir"):
        _note(event, arguments[0])


def _note(call: str, path: object) -> None:
    if not isinstance(path, str | bytes | os.PathLike):
        return
    true = _leads_to(os.fsdecode(os.fspath(path)), follows_last=call not in ("lstat", "readlink"))
    if f"{true}/".startswith(f"{_sightings.watched}/"):
        _sightings.paths.append(f"{call} {true}")


def _leads_to(path: str, *, follows_last: bool) -> Path:
    """What the kernel would look at."""
    here, ahead = Path("/"), list(Path(path).absolute().parts[:0:-1])
    for _ in range(10_000):
        if not ahead:
            break
        part = ahead.pop()
        here = here.parent if part == ".." else here / part
        if part != ".." and (ahead or follows_last):
            try:
                target = Path(_readlink(here))
            except (OSError, ValueError):
                continue
            here = Path("/") if target.is_absolute() else here.parent
            ahead += [part for part in target.parts[::-1] if part != "/"]
    return here


sys.addaudithook(_audit)


@contextmanager
def watched(world: World, monkeypatch) -> Iterator[Sightings]:
    """Notes each call of Python for a path outside, and each opening of a file there by whatever code."""
    _sightings.paths, _sightings.watched = [], str(world.other.parent)
    with monkeypatch.context() as patch, opened_files(world.other) as opened:
        for call in _CALLS:
            original = getattr(os, call)

            def noting(*arguments, _call=call, _original=original, **options):
                _note(_call, arguments[0] if arguments else ".")
                return _original(*arguments, **options)

            patch.setattr(os, call, noting)
        yield _sightings
        _sightings.watched = ""
        _sightings.paths += opened()


@contextmanager
def opened_files(folder: Path) -> Iterator[Callable[[], list[str]]]:
    """Openings and readings in a folder by any process since the beginning (inotify)."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    assert descriptor >= 0
    assert libc.inotify_add_watch(descriptor, os.fsencode(folder), _IN_ACCESS | _IN_OPEN) >= 0

    def events() -> list[str]:
        try:
            raw = os.read(descriptor, 1 << 16)
        except BlockingIOError:
            return []
        names, start = [], 0
        while start < len(raw):
            _, mask, _, length = struct.unpack_from("iIII", raw, start)
            names.append(f"inotify {mask:#x} {raw[start + 16 : start + 16 + length].rstrip(bytes(1))!r}")
            start += 16 + length
        return names

    try:
        yield events
    finally:
        os.close(descriptor)


def traces_of_the_secret(folders: list[Path], texts: list[str]) -> list[str]:
    """Where the outside file's text, pixels or facts appear in files or texts."""
    contents = {f"text {number}": text.encode() for number, text in enumerate(texts)}
    for folder in folders:
        contents |= {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return [
        f"{what} in {where}"
        for where, content in contents.items()
        for what, trace in _traces().items()
        if trace in content
    ]


def _traces() -> dict[str, bytes]:
    token, pixels = CANARY.encode(), CANARY_PIXELS.tobytes()
    plain = {"token": token, "pixels": pixels, "swapped pixels": CANARY_PIXELS.byteswap().tobytes()}
    numbers = {f"pixel {value:g}": f"{value:g}".encode() for value in CANARY_PIXELS.tolist()}
    size_bytes = 1024 + ROWS * COLUMNS * 4
    facts = {
        "shape": f"{COLUMNS} x {ROWS}".encode(),
        "size": f"{size_bytes:,}".encode(),
        "size with token": f"{size_bytes + len(token):,}".encode(),
        "pixel size": f"{PIXEL_ANGSTROM}".encode(),
    }
    hexed = {f"{name} in hex": value.hex().encode() for name, value in plain.items()}
    packed = {
        f"{name} in base64 from {skipped}": base64.b64encode(bytes(skipped) + value)[4:-4]
        for name, value in plain.items()
        for skipped in range(3)
    }
    return plain | numbers | facts | hexed | packed
