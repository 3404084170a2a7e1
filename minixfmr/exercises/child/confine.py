"""What a process gives up before it runs a student's code: memory, time, files, other processes.

Each limit that the system does not have is returned as a sentence, for the one who marks.
"""

import contextlib
import ctypes
import os
import platform
import signal
import struct
import sys

try:  # now, for later it may not be readable
    import resource
except ImportError:  # no such limits on this system
    resource = None  # type: ignore[assignment]

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38

# calls by number: x86-64, and the generic table of arm64 and riscv64
_CALLS = {
    "x86_64": (0xC000003E, dict(fork=57, vfork=58, clone=56, clone3=435, ptrace=101, kill=62, tkill=200, tgkill=234,
                                rt_sigqueueinfo=129, rt_tgsigqueueinfo=297, pidfd_open=434, pidfd_send_signal=424,
                                process_vm_readv=310, process_vm_writev=311, prlimit64=302, setpriority=141)),
    "aarch64": (0xC00000B7, dict(clone=220, clone3=435, ptrace=117, kill=129, tkill=130, tgkill=131,
                                 rt_sigqueueinfo=138, rt_tgsigqueueinfo=240, pidfd_open=434, pidfd_send_signal=424,
                                 process_vm_readv=270, process_vm_writev=271, prlimit64=261, setpriority=140)),
}  # fmt: skip


def die_with_parent() -> None:
    """Let the system end this process when the thread that started it ends, however that comes about."""
    if sys.platform == "linux":
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def hide_memory() -> None:
    """Let no other process of this account read or write this one's memory."""
    if sys.platform == "linux":
        _prctl(_PR_SET_DUMPABLE, 0)


def become(user: int, group: int) -> None:
    """Take the rights of another user, for good."""
    os.setgroups([])
    os.setgid(group)
    os.setuid(user)
    die_with_parent()  # a change of user has ended that


def confine(megabytes: float, seconds: float, readable: list[str], writable: str) -> list[str]:
    """Give up all that the code of an exercise does not need. → what this system cannot limit, in sentences."""
    missing = _limit_resources(megabytes, seconds)
    if sys.platform != "linux" or _prctl(_PR_SET_NO_NEW_PRIVS, 1):
        return [*missing, "processes and signals are not limited", "files are not limited"]
    if not _limit_files(readable, writable):  # before the calls: it needs none of those that are about to go
        missing.append("files are not limited: what is installed, and other students' folders, can be read")
    if not _limit_calls():
        missing.append("processes and signals are not limited")
    return missing


# --- memory and time


def _limit_resources(megabytes, seconds):
    if resource is None:
        return ["memory is not limited", "CPU time is limited by the clock alone"]
    missing = []
    wanted = {"RLIMIT_CPU": int(seconds + 1), "RLIMIT_FSIZE": 1 << 26, "RLIMIT_CORE": 0}
    try:
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[0])  # what the interpreter and NumPy take already
        wanted["RLIMIT_AS"] = pages * resource.getpagesize() + int(megabytes * 2**20)
    except OSError:
        missing.append("memory is not limited")
    for name, value in wanted.items():
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(getattr(resource, name), (value, value + (name == "RLIMIT_CPU")))
            continue
        missing.append(f"{name} is not limited")
    return missing


# --- other processes: no new one, and no signal to any but itself


def _limit_calls():
    architecture, calls = _CALLS.get(platform.machine(), (0, {}))
    if not calls or sys.byteorder != "little":
        return False

    def step(code, k, yes=0, no=0):
        return struct.pack("HBBI", code, yes, no, k)

    load, equal, any_bit, give = 0x20, 0x15, 0x45, 0x06  # of the classic packet filter
    refuse, pretend, allow, kill = 0x00050001, 0x00050000 | 38, 0x7FFF0000, 0x80000000  # EPERM, ENOSYS
    program = [step(load, 4), step(equal, architecture, 1), step(give, kill), step(load, 0)]
    if platform.machine() == "x86_64":  # the second table of the same machine
        program += [step(any_bit, 0x40000000, 0, 1), step(give, refuse)]
    for name, number in calls.items():
        if name == "clone":  # threads are allowed: they share the process
            body = [step(load, 16), step(any_bit, 0x00010000, 1), step(give, refuse), step(load, 0)]
        elif name in ("kill", "tgkill"):
            body = [step(load, 16), step(equal, os.getpid(), 1), step(give, refuse), step(load, 0)]
        elif name == "prlimit64":  # of itself is pid 0
            body = [step(load, 16), step(equal, 0, 1), step(give, refuse), step(load, 0)]
        else:
            body = [step(give, pretend if name == "clone3" else refuse)]
        program += [step(equal, number, 0, len(body)), *body]
    program.append(step(give, allow))
    code = ctypes.create_string_buffer(b"".join(program))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(code)))
    return not _prctl(_PR_SET_SECCOMP, 2, ctypes.addressof(header))


# --- files: Landlock, Linux 5.13 and later


def _limit_files(readable, writable):
    """Reading below `readable` alone, writing below `writable` alone. → whether the system can"""
    call = ctypes.CDLL(None, use_errno=True).syscall
    version = call(444, None, 0, 1)
    if version < 1:
        return False
    reading = 0b1101  # execute, read a file, read a folder
    writing = 0b1_1111_1111_0010 | (1 << 14 if version >= 3 else 0)
    rules = struct.pack("QQQ", reading | writing, 0, 0b10 if version >= 6 else 0)  # the last: signals
    rules = rules[: 24 if version >= 6 else 16 if version >= 4 else 8]
    ruleset = call(444, ctypes.create_string_buffer(rules, len(rules)), len(rules), 0)
    if ruleset < 0:
        return False
    for path, allowed in [*((path, reading) for path in readable), (writable, reading | writing), (os.devnull, 0b110)]:
        with contextlib.suppress(OSError):
            opened = os.open(path, os.O_PATH)
            allowed &= reading | writing if os.path.isdir(path) else 0b111 | 1 << 14
            rule = struct.pack("=Qi", allowed & (reading | writing), opened)
            call(445, ruleset, 1, ctypes.create_string_buffer(rule, len(rule)), 0)
            os.close(opened)
    done = call(446, ruleset, 0) == 0
    os.close(ruleset)
    return done


def _prctl(option, value, pointer=0):
    arguments = (ctypes.c_ulong(value), ctypes.c_ulong(pointer), ctypes.c_ulong(0), ctypes.c_ulong(0))
    return ctypes.CDLL(None, use_errno=True).prctl(option, *arguments)
