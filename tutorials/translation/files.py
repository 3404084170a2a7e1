"""Text as it comes: plain, gzip, bzip2, xz or zip, from a file, a pipe or standard input."""

import bz2
import gzip
import io
import lzma
import os
import stat
import sys
import unicodedata
import zipfile
import zlib
from pathlib import Path

from . import DataError

STANDARD_INPUT = "-"
UNREADABLE = {b"\x28\xb5\x2f\xfd": "Zstandard", b"7z\xbc\xaf": "7-Zip", b"Rar!": "RAR"}  # the first bytes
MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}  # byte order marks


def normalise(text):
    """The one way in which a sentence is written everywhere: composed characters (NFC), single plain spaces."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def is_pipe(path):
    """Whether what the path names can be read only once."""
    if path == STANDARD_INPUT:
        return True
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


def read_lines(path, skip_bad_lines=False):
    """The lines of a text file. Only a line feed ends a line; a carriage return before it belongs to the end.

    skip_bad_lines: a line that is not UTF-8 is None, instead of a DataError
    """
    lines = _without_end(_decode(path, _unpack(path, _read(path)), skip_bad_lines))
    while lines and lines[-1] == "":
        lines.pop()  # what follows the last line feed
        break
    if not any(line is None or line.strip() for line in lines):
        raise DataError(f"{path} is empty")
    if len(lines) == 1 and lines[0] and lines[0].count("\r") > 1:
        raise DataError(f"the lines of {path} end in carriage returns alone: convert them, with tr '\\r' '\\n'")
    return lines


def _without_end(lines):
    return [line.removesuffix("\r") if line is not None else None for line in lines]


def _read(path):
    try:
        if path == STANDARD_INPUT:
            return sys.stdin.buffer.read()
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise DataError(f"there is no file {path}") from None
    except IsADirectoryError:
        raise DataError(f"there is no file {path}: it is a folder") from None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def _unpack(path, data):
    """The bytes inside; what kind of archive it is, the first bytes tell, whatever the name."""
    for mark, kind in UNREADABLE.items():
        if data.startswith(mark):
            raise DataError(f"{path} is a {kind} archive: unpack it first")
    kinds = {b"\x1f\x8b": ("gzip", gzip.decompress), b"BZh": ("bzip2", bz2.decompress)}
    kinds |= {b"\xfd7zXZ\0": ("xz", lzma.decompress), b"PK\x03\x04": ("zip", lambda packed: _unzip(path, packed))}
    kind, unpack = next((value for mark, value in kinds.items() if data.startswith(mark)), (None, None))
    name = str(path).lower()
    if not kind and data and name.endswith((".gz", ".bz2", ".xz", ".zip")):
        raise DataError(f"cannot read {path}: it is no {name.rpartition('.')[2]} archive, or a damaged one")
    try:
        data = unpack(data) if unpack else data
    except (OSError, EOFError, RuntimeError, ValueError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"cannot read {path}: the {kind} archive is damaged or locked ({error})") from error
    if data[257:262] == b"ustar":
        raise DataError(f"{path} is a tar archive: unpack it first")
    return data


def _unzip(path, packed):
    """The one text in a zip archive; names that begin with _ or . are remarks, as in those of Anki and macOS."""
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        names = [n for n in archive.namelist() if not n.endswith("/") and not any(p[0] in "_." for p in n.split("/"))]
        if len(names) != 1:
            held = ", ".join(names[:5]) or "no file"
            raise DataError(f"the zip archive {path} must hold one text, it holds {held}: unpack it, and name the file")
        return archive.read(names[0])


def _decode(path, data, skip_bad_lines):
    """The lines of the bytes, which are UTF-8, or what their byte order mark says."""
    encoding = next((name for mark, name in MARKS.items() if data.startswith(mark)), "utf-8")
    if skip_bad_lines and encoding != "utf-16":
        return [_decode_line(line) for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n")]
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        start = error.start + (3 if encoding == "utf-8-sig" else 0)
        line = data.count(b"\n", 0, start) + 1
        raise DataError(
            f"{path} is not UTF-8 (line {line}, byte {start}: {error.reason}): convert it, for example with "
            "iconv -t UTF-8, or leave such lines out with --skip-bad-lines"
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(f"{path}, line {line}: a NUL character; is it a text in UTF-8? Convert it with iconv -t UTF-8")
    return text.split("\n")


def _decode_line(line):
    try:
        return None if b"\0" in line else line.decode()
    except UnicodeDecodeError:
        return None
