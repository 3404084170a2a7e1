"""Text as it comes: plain, gzip, bzip2, xz or zip, from a file, a pipe or standard input."""

import bz2
import functools
import gzip
import io
import lzma
import os
import re
import stat
import sys
import unicodedata
import zipfile
import zlib
from pathlib import Path

from . import DataError

STANDARD_INPUT = "-"
UNPACK, EXPORT = "unpack it first", "export its text as UTF-8, such as CSV, first"
UNREADABLE = {  # the first bytes: what that is, and what to do with it
    b"\x28\xb5\x2f\xfd": ("a Zstandard archive", UNPACK),
    b"7z\xbc\xaf": ("a 7-Zip archive", UNPACK),
    b"Rar!": ("a RAR archive", UNPACK),
    b"PK\x05\x06": ("a zip archive with nothing in it", "name another file"),
    b"\xd0\xcf\x11\xe0": ("a document of Excel or Word", EXPORT),
    b"%PDF": ("a PDF", EXPORT),
    b"PAR1": ("a Parquet file", EXPORT),
    b"SQLite format": ("a database of SQLite", EXPORT),
    b"version https://git-lfs": ("a pointer of Git LFS", "fetch the file itself with git lfs pull"),
}
MARKS = {  # byte order marks, the longer first
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
    b"\xef\xbb\xbf": "utf-8-sig",
}
MARKUP = {  # what the first line of a text begins with that is no sentence
    "HTML": re.compile(r"\s*<(!doctype )?html\b", re.IGNORECASE),
    "XML or SGML": re.compile(r"\s*<(\?xml\b|!doctype\b|(src|ref|tst)set\b|tmx\b|doc\b|dataset\b)", re.IGNORECASE),
    "JSON": re.compile(r'\s*(\{\s*"[^"]*"\s*:|\{\s*$|\[\s*(\{|$))'),
}
PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"PK\x03\x04": "zip"}


def normalise(text):
    """The one way in which a sentence is written everywhere: composed characters (NFC), single plain spaces, and no
    byte order marks, which files that were joined have inside."""
    return " ".join(unicodedata.normalize("NFC", text.replace("\ufeff", "")).split())


def is_pipe(path):
    """Whether what the path names can be read only once."""
    if path == STANDARD_INPUT:
        return True
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def read_lines(path, skip_bad_lines=False):
    """The lines of a text file. Only a line feed ends a line; a carriage return before it belongs to the end.

    skip_bad_lines: a line that is not UTF-8 is None, instead of a DataError
    """
    lines = _without_end(_decode(path, _unpack(path, _read(path)), skip_bad_lines))
    if lines[-1] == "":
        lines.pop()  # what follows the last line feed
    first = next((line for line in lines if line is None or line.strip()), "")
    if first == "":
        raise DataError(f"{'standard input' if path == STANDARD_INPUT else path} is empty")
    _refuse_marked_up(path, first or "")
    if len(lines) == 1 and lines[0] and lines[0].count("\r") > 1:
        raise DataError(f"the lines of {path} end in carriage returns alone: convert them, with tr '\\r' '\\n'")
    return lines


def _without_end(lines):
    return [line.removesuffix("\r") if line is not None else None for line in lines]


def _read(path):
    try:
        if path == STANDARD_INPUT:
            return standard_input().read()
        if Path(path).is_char_device() and not _is_console(path):
            raise DataError(f"cannot read {path}: it is a device, which may never end")
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise DataError(f"there is no file {path}") from None
    except IsADirectoryError:
        raise DataError(f"there is no file {path}: it is a folder") from None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def standard_input():
    """Its bytes, as a file. Raises DataError if it is closed."""
    if sys.stdin is None:
        raise DataError("cannot read standard input: it is closed")
    return sys.stdin.buffer


def _is_console(path):
    with open(path, "rb") as file:
        return file.isatty()


def _unpack(path, data):
    """The bytes inside; what kind of archive it is, the first bytes tell, whatever the name."""
    _refuse_unreadable(path, data)
    kind = _packed(data)
    name = str(path).lower()
    if not kind and data and name.endswith((".gz", ".bz2", ".xz", ".zip")):
        raise DataError(f"cannot read {path}: it is no {name.rpartition('.')[2]} archive, or a damaged one")
    unpack = {"gzip": gzip.decompress, "bzip2": bz2.decompress, "xz": lzma.decompress}
    unpack["zip"] = functools.partial(_unzip, path)
    try:
        data = unpack[kind](data) if kind else data
    except (OSError, EOFError, RuntimeError, ValueError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"cannot read {path}: the {kind} archive is damaged or locked ({error})") from error
    if kind:
        _refuse_unreadable(path, data, "holds")
    inside = "tar" if data[257:262] == b"ustar" else _packed(data)
    if inside and (kind or inside == "tar"):
        raise DataError(f"{path} {'holds' if kind else 'is'} a {inside} archive: {UNPACK}")
    return data


def _packed(data):
    return next((kind for mark, kind in PACKED.items() if data.startswith(mark)), None)


def _refuse_unreadable(path, data, verb="is"):
    for mark, (kind, remedy) in UNREADABLE.items():
        if data.startswith(mark):
            raise DataError(f"{path} {verb} {kind}: {remedy}")


def _refuse_marked_up(path, line):
    """Raise DataError if the first line begins a document of another kind than lines of text."""
    kind = next((name for name, begins in MARKUP.items() if begins.match(line)), None)
    if kind:
        raise DataError(f"{path} looks like {kind}: write its sentences one on each line, or source TAB target")


def _unzip(path, packed):
    """The one text in a zip archive; names that begin with _ or . are remarks, as in those of Anki and macOS."""
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        if {"[Content_Types].xml", "mimetype"} & set(archive.namelist()):
            raise DataError(f"{path} is a document of Excel, Word or their like: {EXPORT}")
        names = [n for n in archive.namelist() if not n.endswith("/") and not any(p[0] in "_." for p in n.split("/"))]
        if len(names) != 1:
            held = ", ".join(names[:5]) or "no file"
            raise DataError(f"the zip archive {path} must hold one text, it holds {held}: unpack it, and name the file")
        return archive.read(names[0])


NO_UTF8 = "a text in UTF-16 or another encoding has: convert it, with iconv -f UTF-16LE -t UTF-8"


def _decode(path, data, skip_bad_lines):
    """The lines of the bytes, which are UTF-8, or what their byte order mark says."""
    encoding = next((name for mark, name in MARKS.items() if data.startswith(mark)), "utf-8")
    if skip_bad_lines and encoding not in ("utf-16", "utf-32"):
        return [_decode_line(line) for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n")]
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding in ("utf-16", "utf-32"):
            raise DataError(
                f"{path} begins as {encoding.upper()} does, but byte {error.start} does not go on so ({error.reason}): "
                "it is damaged or cut short, export it again"
            ) from error
        if b"\0" in data:
            raise DataError(f"{path} has NUL characters, as {NO_UTF8}") from error
        start = error.start + (3 if encoding == "utf-8-sig" else 0)
        line = data.count(b"\n", 0, start) + 1
        raise DataError(
            f"{path} is not UTF-8 (line {line}, byte {start}: {error.reason}): convert it, for example with "
            "iconv -t UTF-8, or leave such lines out with --skip-bad-lines"
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(f"{path}, line {line}: a NUL character, as {NO_UTF8}")
    return text.split("\n")


def _decode_line(line):
    try:
        return None if b"\0" in line else line.decode()
    except UnicodeDecodeError:
        return None
