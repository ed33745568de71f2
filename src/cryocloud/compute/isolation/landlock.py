"""Landlock: a process takes from itself, for good, the files that it was not given.

The wall where a system forbids namespaces. It hides content; names, sizes and times of files elsewhere stay visible.
Constants are those of the kernel's ``landlock.h``.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_PR_SET_NO_NEW_PRIVS = 38
_ASK_VERSION = 1
_PATH_BENEATH = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_DEVICES = 1 << 6 | 1 << 11
_REFER, _TRUNCATE, _IOCTL_DEVICE = 1 << 13, 1 << 14, 1 << 15
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEVICE
_SIGNALS_SINCE = 6
_CAPABILITIES_VERSION = 0x20080522
_MAY_READ_ALL = 1 << 2  # CAP_DAC_READ_SEARCH
_libc = ctypes.CDLL(None, use_errno=True)


def version() -> int:
    """The ABI of this kernel, 0 where there is none. Signals to others are refused from 6 on, connections from 4 on."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, 0, _ASK_VERSION)))


def holds_signals() -> bool:
    """Whether a confined process cannot signal others."""
    return version() >= _SIGNALS_SINCE


def restrict_self(readable: Iterable[str], writable: Iterable[str]) -> None:
    """Leave the calling process reading and running below ``readable``, and everything below ``writable``.

    Of root's powers it keeps reading what Landlock leaves.
    """
    abi = version()
    every = _every_access(abi)
    ruleset = _create(abi, every)
    try:
        for path in readable:
            _allow(ruleset, path, every & (_EXECUTE | _READ_FILE | _READ_DIR))
        for path in writable:
            _allow(ruleset, path, every & ~_MAKE_DEVICES)
        if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or _libc.syscall(_RESTRICT_SELF, ruleset, 0):
            raise OSError(ctypes.get_errno(), "Landlock could not be put in force")
        _drop_capabilities()
    finally:
        os.close(ruleset)


def _drop_capabilities() -> None:
    """For good: without new privileges no program that root starts gets them back."""
    header, held = struct.pack("=Ii", _CAPABILITIES_VERSION, 0), (ctypes.c_uint32 * 6)()
    failed = _libc.capget(header, held)
    kept = (ctypes.c_uint32 * 6)(held[0] & _MAY_READ_ALL, held[1] & _MAY_READ_ALL)
    if failed or _libc.capset(header, kept):
        raise OSError(ctypes.get_errno(), "the powers of root could not be given up")


def _every_access(abi: int) -> int:
    newest = _REFER if abi >= 2 else _REFER >> 1
    newest = _TRUNCATE if abi >= 3 else newest
    newest = _IOCTL_DEVICE if abi >= 5 else newest
    return (newest << 1) - 1


def _create(abi: int, every: int) -> int:
    connections = 0b11 if abi >= 4 else 0
    abstract_sockets_and_signals = 0b11 if abi >= _SIGNALS_SINCE else 0
    attributes = struct.pack("=QQQ", every, connections, abstract_sockets_and_signals)
    size = 24 if abi >= _SIGNALS_SINCE else 16 if abi >= 4 else 8
    ruleset = int(_libc.syscall(_CREATE_RULESET, attributes, size, 0))
    if ruleset < 0:
        raise OSError(ctypes.get_errno(), "Landlock is not available")
    return ruleset


def _allow(ruleset: int, path: str, access: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            access &= _ON_FILES
        rule = struct.pack("=Qi", access, descriptor)
        if _libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0):
            raise OSError(ctypes.get_errno(), "Landlock refused a rule", path)
    finally:
        os.close(descriptor)
