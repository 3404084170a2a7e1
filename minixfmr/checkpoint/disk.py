"""Bytes from and to the disk: of regular files alone, whole or not at all."""

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LONGEST = 4000  # characters of a message: a value from a damaged file may have millions
TEXT = 1 << 26  # bytes of the longest text that is read


class CheckpointError(ValueError):
    """A checkpoint cannot be written, read, or does not fit; the message names the file and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(message if len(message) <= LONGEST else message[:LONGEST] + " ...")


def as_path(path: Any) -> Path:
    """The Path that is meant. Raises CheckpointError for what is none."""
    if not isinstance(path, str | os.PathLike) or "\0" in os.fsdecode(path):
        raise CheckpointError(f"the name of a file or folder must be a text or a pathlib.Path, got {path!r}")
    return Path(os.fsdecode(path))


def is_there(path: Path) -> bool:
    """Whether there is something of this name that can be looked at, be it a file or not."""
    try:
        path.stat()
    except (OSError, ValueError):  # the latter for a name that no file can have
        return False
    return True


def check_regular(path: Path) -> None:
    """Raise CheckpointError unless it is a file: a pipe or a device would never end."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise CheckpointError(f"cannot read {path}: there is no file {path}; check the path") from None
    except (OSError, ValueError) as error:  # the latter for a name that no file can have
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"cannot read {str(path)!r}: {reason}; check the path") from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise CheckpointError(f"cannot read {path}: it is not a regular file but {kind}; name a file")


def read_file(path: Path, most: int = TEXT) -> bytes:
    """All bytes of a file. Raises CheckpointError if there is none, or if it has more bytes than `most`."""
    check_regular(path)
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(size) if size <= most else b""
    except OSError as error:
        raise CheckpointError(
            f"cannot read {path}: {error.strerror or error}; check the path and its rights"
        ) from error
    if size > most:
        raise CheckpointError(f"cannot read {path}: it has {size:,} bytes, more than {most:,}; is it another file?")
    return data


def write_file(path: str | Path, data: bytes | Sequence[bytes | memoryview]) -> None:
    """Replace the file by these bytes, or parts in a row, or fail with CheckpointError and leave it as it was.

    Any number of processes may write one path: it always holds what one of them wrote, whole.
    """
    write_files({as_path(path): data})


def write_files(files: Mapping[Path, bytes | Sequence[bytes | memoryview]]) -> None:
    """The same with several files: none of them is replaced before all bytes are on the disk."""
    temporary: dict[Path, Path] = {}
    path = next(iter(files))
    try:
        for path, data in files.items():
            _check_target(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary[path] = path.with_name(f".{secrets.token_hex(8)}.tmp")  # nobody else's
            with open(temporary[path], "xb") as file:
                file.writelines([data] if isinstance(data, bytes) else data)
                file.flush()
                os.fsync(file.fileno())
        for path, new in temporary.items():
            os.replace(new, path)
    except BaseException as error:
        for new in temporary.values():
            with contextlib.suppress(OSError):
                new.unlink()
        if not isinstance(error, OSError):  # such as Ctrl-C
            raise
        raise CheckpointError(f"cannot write {path}: {error.strerror or error}; {_kept(path)}") from error


def _kept(path):
    """What became of what was there: nothing, whatever it was."""
    if not is_there(path):
        return "nothing was written"
    return f"{'the file that' if path.is_file() else 'what'} was there is unchanged"


def _check_target(path):
    """Raise OSError for what must not be replaced: it is no file, or somebody made it read-only."""
    if not is_there(path):
        return
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder: choose another name")
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is a pipe or a device: choose another name")
    if not mode & 0o222:
        raise PermissionError(errno.EACCES, "it is read-only: choose another name, or make it writable")
