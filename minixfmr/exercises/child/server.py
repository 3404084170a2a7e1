"""A process that has loaded NumPy and forks a child for each exercise, so that none waits for the import.

It runs no student's code itself. Where the marker ends, by whatever signal, this process and its child end too.
"""

import contextlib
import importlib
import os
import signal
import socket
import sys
import time

from .channel import Channel
from .confine import die_with_parent, hide_memory
from .student import work


def main(arguments: list[str]) -> None:
    """["fork", fd, module ...]: serve on this socket, with the modules loaded. ["once", port, token]: one exercise."""
    die_with_parent()
    kind, where, *more = arguments
    if kind == "fork":
        hide_memory()
        for name in more:
            importlib.import_module(name)
        _serve(socket.socket(fileno=int(where)))
    else:  # no fork on this system
        connection = socket.create_connection(("127.0.0.1", int(where)))
        connection.sendall(more[0].encode())
        work(Channel(connection))


def _serve(control):
    """b"s" and a socket: start a child there, answer its pid. b"e": end it, answer its status."""
    pid = 0
    while True:
        message, sockets, _, _ = socket.recv_fds(control, 1, 1)
        if message == b"s":
            pid = os.fork()
            if not pid:
                _child(control, sockets[0])
            os.close(sockets[0])
            control.sendall(b"%d\n" % pid)
        elif pid:
            status = _end(pid, patience=0 if not message else 1)
            pid = 0
            if message:
                control.sendall(b"%d\n" % status)
        if not message:  # the marker is gone
            os._exit(0)


def _child(control, connection):
    parent = os.getppid()
    os.setsid()
    die_with_parent()
    if os.getppid() != parent:  # it ended in between
        os._exit(1)
    control.close()
    channel = Channel(socket.socket(fileno=connection))
    try:
        work(channel)
    finally:
        os._exit(0)  # whatever threads the student's code has left behind


def _end(pid, patience):
    """Give it a moment to end by itself, then end it and its group. → its exit status, negative for a signal"""
    end = time.monotonic() + patience
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            break
        if time.monotonic() >= end:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            break
        time.sleep(0.002)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)  # whatever it has started
    return os.waitstatus_to_exitcode(status)


if __name__ == "marker.server":
    main(sys.argv[2:])
