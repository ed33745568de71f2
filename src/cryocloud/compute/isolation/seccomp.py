"""A filter of system calls (classic BPF) for processes that touch users' bytes.

It refuses what no job needs and what break-outs begin with: mounts and namespaces, tracing, kernel keys, modules, BPF,
io_uring, handles that bypass paths, memory that no limit sees, and every socket but those of the Unix domain.
Numbers of calls are those of the kernel's ``unistd.h``.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct

_REFUSED = {
    "x86_64": (
        101, 310, 311, 440, 438, 312,  # ptrace, process_vm_*, process_madvise, pidfd_getfd, kcmp
        165, 166, 155, 161, 272, 308,  # mount, umount2, pivot_root, chroot, unshare, setns
        428, 429, 430, 431, 432, 433, 442, 467,  # open_tree ... mount_setattr, open_tree_attr
        248, 249, 250, 321, 298,  # add_key, request_key, keyctl, bpf, perf_event_open
        246, 320, 175, 313, 176,  # kexec_load, kexec_file_load, init_module, finit_module, delete_module
        323, 425, 426, 427, 303, 304,  # userfaultfd, io_uring_*, name_to_handle_at, open_by_handle_at
        167, 168, 169, 170, 171, 164, 227, 305, 159,  # swapon ... reboot, names of the host, clocks
        163, 179, 443, 103, 153, 300, 212,  # acct, quotactl*, syslog, vhangup, fanotify_init, lookup_dcookie
        172, 173, 154, 256, 279,  # iopl, ioperm, modify_ldt, migrate_pages, move_pages
        319, 447, 29, 68, 64, 240,  # memfd_create, memfd_secret, shmget, msgget, semget, mq_open
    ),
    "aarch64": (
        117, 270, 271, 440, 438, 272, 40, 39, 41, 51, 97, 268, 428, 429, 430, 431, 432, 433, 442, 467, 217, 218, 219,
        280, 241, 104, 294, 105, 273, 106, 282, 425, 426, 427, 264, 265, 224, 225, 142, 161, 162, 170, 112, 266,
        171, 89, 60, 443, 116, 58, 262, 18, 238, 239, 279, 447, 194, 186, 190, 180,
    ),
}  # fmt: skip
# What only namespaces hold: modes, owners, times and lengths of files elsewhere, sockets with a path, other process
# groups, and the priority and processors of others.
_REFUSED_IN_SIGHT = {
    "x86_64": (
        90, 91, 268, 452, 92, 93, 94, 260,  # chmod, fchmod, fchmodat*, chown, fchown, lchown, fchownat
        188, 189, 190, 197, 198, 199, 463, 466, 469,  # *setxattr*, *removexattr*, file_setattr
        132, 235, 261, 280, 76, 41, 109, 112,  # utime, utimes, futimesat, utimensat, truncate, socket, setpgid, setsid
        141, 142, 144, 314, 203, 251, 253, 294,  # setpriority, sched_set*, ioprio_set, inotify_init*
    ),
    "aarch64": (
        52, 53, 452, 54, 55, 5, 6, 7, 14, 15, 16, 463, 466, 469, 88, 45, 198, 154, 157, 140, 118, 119, 274, 122, 30, 26,
    ),
}  # fmt: skip
# Calls whose first argument is a process, 0 for the caller or its group.
_ABOUT_OTHERS = {"x86_64": (302,), "aarch64": (261,)}  # prlimit64
_SIGNALS = {"x86_64": (62,), "aarch64": (129,)}  # kill
_MORE_SIGNALS = {  # tkill, tgkill, rt_sigqueueinfo, rt_tgsigqueueinfo, pidfd_send_signal
    "x86_64": (200, 234, 129, 297, 424),
    "aarch64": (130, 131, 138, 240, 424),
}
_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_CLONE = {"x86_64": 56, "aarch64": 220}
_SOCKET = {"x86_64": 41, "aarch64": 198}
_CLONE3 = 435
_X32 = 0x40000000
_NEW_NAMESPACES = 0x7E020000  # CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET
_AF_UNIX = 1

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENT_AT = 0, 4, 16
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2


def is_supported() -> bool:
    """Whether numbers of system calls are known for this processor."""
    return platform.machine() in _REFUSED


def program(*, in_sight: bool = False, with_signals: bool = True) -> bytes:
    """The filter as the kernel and bubblewrap take it.

    ``in_sight`` of files and processes of others, where no namespaces hide them. Without signals a process reaches its
    own group only.
    """
    machine = platform.machine()
    refuse = _errno(errno.EPERM)
    refused = (*_REFUSED[machine], *(_REFUSED_IN_SIGHT[machine] if in_sight else ()))
    about_others = _ABOUT_OTHERS[machine] if in_sight else ()
    if not with_signals:
        refused, about_others = (*refused, *_MORE_SIGNALS[machine]), (*about_others, *_SIGNALS[machine])
    steps = [
        _step(_LOAD, _ARCHITECTURE_AT),
        _step(_EQUAL, _ARCHITECTURE[machine], 1, 0),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER_AT),
        _step(_AT_LEAST, _X32, 0, 1),
        refuse,
    ]
    for number in refused:
        steps += [_step(_EQUAL, number, 0, 1), refuse]
    for number in about_others:
        steps += [_step(_EQUAL, number, 0, 4), _step(_LOAD, _ARGUMENT_AT)]
        steps += [_step(_EQUAL, 0, 1, 0), refuse, _step(_RETURN, _ALLOW)]
    # The C library falls back to clone, whose flags can be seen; those of clone3 lie behind a pointer.
    steps += [_step(_EQUAL, _CLONE3, 0, 1), _errno(errno.ENOSYS)]
    steps += [_step(_EQUAL, _CLONE[machine], 0, 4), _step(_LOAD, _ARGUMENT_AT)]
    steps += [_step(_ANY_BIT, _NEW_NAMESPACES, 0, 1), refuse, _step(_RETURN, _ALLOW)]
    steps += [_step(_EQUAL, _SOCKET[machine], 0, 3), _step(_LOAD, _ARGUMENT_AT)]
    steps += [_step(_EQUAL, _AF_UNIX, 1, 0), refuse]
    return b"".join([*steps, _step(_RETURN, _ALLOW)])


def restrict_self(*, with_signals: bool) -> None:
    """Without namespaces: put the calling thread, and all that it starts, behind the filter for good."""

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))

    steps = program(in_sight=True, with_signals=with_signals)
    libc = ctypes.CDLL(None, use_errno=True)
    filter_ = Program(len(steps) // 8, steps)
    for call in (
        (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(filter_), 0, 0),
    ):
        if libc.prctl(*call) != 0:
            raise OSError(ctypes.get_errno(), "the filter of system calls could not be set")


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _errno(number: int) -> bytes:
    return _step(_RETURN, 0x00050000 | number)
